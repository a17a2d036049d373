"""A chapter of the story: figures and tables in the order they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

from utils.drawing import Colour, png, text_font
from utils.inspection.canvas import Style, draw_line

TITLE, TEXT, MARGIN = 24, 17, 14
NARROWEST = 640  # a sheet has room for a title
INK = (30, 30, 30)
KEY_WIDTH = 44


@dataclass(frozen=True)
class Key:
    """A line of a legend: what a colour means, as a line, a filled area or a dot."""

    colour: Colour
    text: str
    style: Style | Literal["area", "dot"] = "solid"


@dataclass(frozen=True)
class Figure:
    """A picture that can be understood by itself. A notebook shows it.

    Attributes:
        name: of its file, without suffix, unique in its chapter.
        title: what to look for.
        picture: RGB.
        text: a sentence or two about this very picture, with its numbers.
        keys: the legend.
    """

    name: str
    title: str
    picture: Image.Image
    text: str
    keys: tuple[Key, ...] = ()

    def sheet(self, with_title: bool = True) -> Image.Image:
        """The picture on white, with its title above and its legend below."""
        width = max(self.picture.width, NARROWEST)
        lines = wrapped(self.title, width, TITLE) if with_title else []
        rows = _key_rows(self.keys, width)
        top = MARGIN + len(lines) * (TITLE + 8)
        below = top + self.picture.height + MARGIN
        height = below + len(rows) * (TEXT + 12)
        sheet = Image.new("RGB", (width + 2 * MARGIN, height), "white")
        draw = ImageDraw.Draw(sheet)
        for i, line in enumerate(lines):
            draw.text((MARGIN, MARGIN // 2 + i * (TITLE + 8)), line, INK, text_font(line, TITLE))
        sheet.paste(self.picture, (MARGIN, top))
        for i, row in enumerate(rows):
            for x, key in row:
                _draw_key(draw, MARGIN + x, below + i * (TEXT + 12), key)
        return sheet

    def png(self) -> bytes:
        """The sheet as a file."""
        return png(self.sheet())

    def _repr_png_(self) -> bytes:
        return self.png()


@dataclass(frozen=True)
class Table:
    """Numbers to be read; ``text`` says what to look for."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: str = ""


@dataclass(frozen=True)
class Chapter:
    """A part of the story.

    Attributes:
        name: as on the command line.
        title: of the page's section.
        introduction: what this part of the network does, in a few sentences.
        parts: in the order they are read; none if there is nothing to show, which the introduction
            says.
        findings: what the reader should do something about, in whole sentences.
    """

    name: str
    title: str
    introduction: str
    parts: tuple[Figure | Table, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Its pictures."""
        return tuple(part for part in self.parts if isinstance(part, Figure))


def wrapped(text: str, width: int, size: int) -> list[str]:
    """A text in lines of at most so many pixels; a longer word has a line of its own."""
    draw, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), text_font(text, size)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _key_rows(keys: Sequence[Key], width: int) -> list[list[tuple[int, Key]]]:
    """The keys in rows, each with the place across where it begins."""
    draw, x = ImageDraw.Draw(Image.new("RGB", (1, 1))), width + 1
    rows: list[list[tuple[int, Key]]] = []
    for key in keys:
        wide = KEY_WIDTH + int(draw.textlength(key.text, text_font(key.text, TEXT)))
        if x + wide > width:
            rows.append([])
            x = 0
        rows[-1].append((x, key))
        x += wide + 26
    return rows


def _draw_key(draw: ImageDraw.ImageDraw, x: int, y: int, key: Key) -> None:
    middle = y + TEXT // 2 + 2
    # On grey, as in the picture, so that light colours are seen too.
    draw.rectangle((x, y - 2, x + KEY_WIDTH - 10, y + TEXT + 4), fill=(96, 96, 96))
    inner = x + 4, KEY_WIDTH - 18
    if key.style == "area":
        draw.rectangle((inner[0], y + 1, inner[0] + inner[1], y + TEXT + 1), fill=key.colour)
    elif key.style == "dot":
        centre = x + (KEY_WIDTH - 10) // 2
        draw.ellipse((centre - 5, middle - 5, centre + 5, middle + 5), fill=key.colour)
    else:
        draw_line(draw, inner[0], middle - 1, inner[1], key.colour, key.style, 3)
    draw.text((x + KEY_WIDTH, middle), key.text, INK, text_font(key.text, TEXT), anchor="lm")
