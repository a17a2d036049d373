"""Every picture the program draws: objects over an image, and panels of several images."""

from __future__ import annotations

import colorsys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nets.contract import Prediction, Target
from utils.data.channels import rgb_view
from utils.data.mask_crops import Crop, crop_rle
from utils.data.records import ImageRecord, encode_mask, to_rle

Colour = tuple[int, int, int]
Area = tuple[int, int, int, int]  # left, top, right, bottom
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MASK_OPACITY = 0.45
GOLDEN_RATIO = 0.618034  # steps of it around the colour wheel keep neighbours apart
SMALLEST_TEXT, TEXT_SHARE = 11, 0.03  # text height in pixels, and as a share of the longer side
LABELS_SHARE = 0.1  # of the picture: labels that cover more are written smaller, if they can be
MOST_LABELS = 1 / 3  # of the picture: no more labels are written than cover this
PANEL_SIDE = 360  # longer side of an image in a panel
CAPTION_SIZE = 15
LAST_EUROPEAN = "\u2e7f"  # before the scripts of East Asia
# Fonts with Chinese, Japanese and Korean letters, as systems name them; Pillow finds their folder.
WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "wqy-zenhei.ttc", "simhei.ttf")


@dataclass(frozen=True)
class DrawnObject:
    """One object to draw.

    Attributes:
        rle: run lengths of its mask at the image's own size.
        box: xyxy in pixels of that size.
        text: its label.
        colour: which of ``instance_colour``; that of its place among the objects by default.
    """

    rle: dict[str, Any]
    box: tuple[float, float, float, float]
    text: str
    colour: int | None = None


def predicted_objects(
    prediction: Prediction, classes: Sequence[str], tracks: Sequence[int] = ()
) -> list[DrawnObject]:
    """The objects of a prediction, best first; with the numbers of their tracks in a video, the
    labels say them and the colours follow them."""
    objects = []
    numbers: Sequence[int | None] = tracks or [None] * len(prediction["masks"])
    for rle, box, label, score, track in zip(
        prediction["masks"],
        prediction["boxes"].tolist(),
        prediction["labels"].tolist(),
        prediction["scores"].tolist(),
        numbers,
        strict=True,
    ):
        text = f"{classes[label - 1]} {score:.2f}"
        numbered = text if track is None else f"{track}: {text}"
        objects.append(DrawnObject(rle, tuple(box), numbered, track))
    return objects


def recorded_objects(record: ImageRecord, classes: Sequence[str]) -> list[DrawnObject]:
    """The labelled objects of an image."""
    objects = []
    for instance in record.instances:
        x, y, width, height = instance.bbox
        text = classes[instance.label - 1] + (" (crowd)" if instance.iscrowd else "")
        rle = to_rle(instance.segmentation, record.height, record.width)
        objects.append(DrawnObject(rle, (x, y, x + width, y + height), text))
    return objects


def target_objects(target: Target, classes: Sequence[str]) -> list[DrawnObject]:
    """The objects of a training target, as the network is taught them."""
    parts = zip(target["masks"], target["boxes"].tolist(), target["labels"].tolist(), strict=True)
    return [
        DrawnObject(encode_mask(mask.numpy()), tuple(box), classes[label - 1])
        for mask, box, label in parts
    ]


def draw_objects(
    image: np.ndarray, objects: Sequence[DrawnObject], size: tuple[int, int] | None = None
) -> Image.Image:
    """Masks, boxes and labels over an image, one colour per object.

    Args:
        image: uint8 RGB (H, W, 3), or other channels, of which ``rgb_view`` is drawn. It may have
            been made smaller than the objects' own size, which their run lengths tell.
        objects: best first; the best are drawn on top.
        size: (width, height) of the result; the image's own by default. Text is never scaled, so a
            small image drawn larger has readable labels.
    """
    height, width = image.shape[:2]
    size = size or (width, height)
    canvas = rgb_view(image)
    if size != (width, height):
        canvas = np.asarray(Image.fromarray(canvas).resize(size, Image.Resampling.BILINEAR))
    canvas = canvas.copy()
    own = tuple(objects[0].rle["size"][::-1]) if objects else size
    shown = ShownMasks(own, size)
    colours = [
        instance_colour(i if item.colour is None else item.colour) for i, item in enumerate(objects)
    ]
    for item, colour in reversed(list(zip(objects, colours, strict=True))):
        if crop := crop_rle(item.rle):
            _paint(canvas, shown.crop(crop), colour)

    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    scale = np.array([size[0] / own[0], size[1] / own[1]] * 2)
    line = max(1, round(max(size) / 500))
    boxes = [(np.array(item.box) * scale).round().astype(int).tolist() for item in objects]
    for (x1, y1, x2, y2), colour in reversed(list(zip(boxes, colours, strict=True))):
        thin = max(1, min(line, (x2 - x1) // 10, (y2 - y1) // 10))  # a small mask is seen within
        draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=colour, width=thin)
    write_labels(draw, [item.text for item in objects], boxes, colours, size)
    return picture


class ShownMasks:
    """Masks of a picture that is shown at another size: each shown pixel is that of the mask under
    its centre, as ``Image.Resampling.NEAREST`` of Pillow.

    Args:
        own: (width, height) of the picture.
        shown: (width, height) that it is shown with.
    """

    def __init__(self, own: tuple[int, int], shown: tuple[int, int]) -> None:
        self.same = own == shown
        self.columns, self.rows = (_nearest(*sides) for sides in zip(own, shown, strict=True))

    def crop(self, crop: Crop) -> Crop:
        """The mask as shown, which may have no pixel left."""
        if self.same:
            return crop
        height, width = crop.mask.shape
        left, right = np.searchsorted(self.columns, (crop.x, crop.x + width))
        top, bottom = np.searchsorted(self.rows, (crop.y, crop.y + height))
        rows, columns = self.rows[top:bottom] - crop.y, self.columns[left:right] - crop.x
        return Crop(int(left), int(top), crop.mask[np.ix_(rows, columns)])


def _nearest(own: int, shown: int) -> np.ndarray:
    """The pixel of a row of ``own`` that each of ``shown`` pixels shows, by Pillow itself."""
    row = Image.fromarray(np.arange(own, dtype=np.int32)[None])
    return np.asarray(row.resize((shown, 1), Image.Resampling.NEAREST))[0]


def panel(pictures: Sequence[Image.Image], captions: Sequence[str], columns: int) -> Image.Image:
    """A grid of pictures, each with a line of text above it, on white."""
    cell_width = max(picture.width for picture in pictures)
    cell_height = max(picture.height for picture in pictures) + CAPTION_SIZE + 6
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    gap = 6
    sheet = Image.new(
        "RGB", (columns * (cell_width + gap) + gap, rows * (cell_height + gap) + gap), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x = gap + i % columns * (cell_width + gap)
        y = gap + i // columns * (cell_height + gap)
        font = text_font(caption, CAPTION_SIZE)
        shown = caption
        while len(shown) > 4 and draw.textlength(shown, font) > cell_width:
            shown = "..." + shown.removeprefix("...")[1:]
        draw.text((x, y), shown, "black", font)
        sheet.paste(picture, (x, y + CAPTION_SIZE + 6))
    return sheet


def panel_size(image: np.ndarray, side: int = PANEL_SIDE) -> tuple[int, int]:
    """The (width, height) an image gets in a panel; ``side`` is the longer of them."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def png(picture: Image.Image) -> bytes:
    """A picture as a PNG file."""
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def text_font(text: str, size: int) -> Font:
    """A font that has the letters of ``text``; ``size`` is its height in pixels."""
    return _font(size, _is_wide(text))


def instance_colour(index: int) -> Colour:
    """A bright colour for the n-th object of an image."""
    hue = (index * GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _paint(canvas: np.ndarray, crop: Crop, colour: Colour) -> None:
    """Tint the mask's pixels and trace its outline, in place; only its box is touched."""
    height, width = crop.mask.shape
    inside = crop.mask.astype(bool)
    pixels = canvas[crop.y : crop.y + height, crop.x : crop.x + width]
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    tint = np.array(colour, np.float32)
    levels = np.arange(256)[:, None]  # tinted once each, not at every pixel
    tinted = ((1 - MASK_OPACITY) * levels + MASK_OPACITY * tint).astype(np.uint8)
    for i, channel in enumerate(np.moveaxis(pixels, 2, 0)):
        np.copyto(channel, np.take(tinted[:, i], channel), where=inside)
    pixels[inside & ~core] = colour


class _Label:
    """A text in its font, with a margin."""

    def __init__(self, draw: ImageDraw.ImageDraw, text: str, size: int) -> None:
        self.text, self.font = text, text_font(text, size)
        left, top, right, bottom = draw.textbbox((0, 0), text, self.font)
        pad = max(1, size // 8)
        self.offset = pad - left, pad - top
        self.width, self.height = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
        self.area = self.width * self.height

    def place(self, box: list[int], size: tuple[int, int], taken: list[Area]) -> Area | None:
        """The first place at its box, inside the picture, that is clear of other labels."""
        x = min(max(box[0], 0), max(size[0] - self.width, 0))
        tall = self.height
        between = range(box[1] + tall, box[3] - tall, tall)
        for y in (box[1] - tall, box[1], box[3] - tall, box[3], *between):
            top = min(max(y, 0), size[1] - tall)
            area = (x, top, x + self.width, top + tall)
            if top >= 0 and not any(_overlap(area, other) for other in taken):
                return area
        return None

    def write(self, draw: ImageDraw.ImageDraw, area: Area, colour: Colour) -> None:
        """Write it on its object's colour."""
        draw.rectangle(area, fill=colour)
        luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
        ink = "black" if luminance > 128 else "white"
        draw.text((area[0] + self.offset[0], area[1] + self.offset[1]), self.text, ink, self.font)


def write_labels(
    draw: ImageDraw.ImageDraw,
    texts: Sequence[str],
    boxes: Sequence[list[int]],
    colours: Sequence[Colour],
    size: tuple[int, int],
) -> None:
    """Write labels at their boxes, best first, until they find no place or would hide the picture.

    No two overlap, so some may stay away.
    """
    pixels = size[0] * size[1]
    text_size = max(SMALLEST_TEXT, round(max(size) * TEXT_SHARE))
    labels = [_Label(draw, text, text_size) for text in texts]
    share = sum(label.area for label in labels) / pixels
    if share > LABELS_SHARE:
        text_size = max(SMALLEST_TEXT, int(text_size * (LABELS_SHARE / share) ** 0.5))
        labels = [_Label(draw, text, text_size) for text in texts]
    taken: list[Area] = []
    room = MOST_LABELS * pixels
    for label, box, colour in zip(labels, boxes, colours, strict=True):
        area = label.place(box, size, taken)
        if area and label.area <= room:
            room -= label.area
            taken.append(area)
            label.write(draw, area, colour)


def _overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_wide(text: str) -> bool:
    """Whether Pillow's own font, which knows European letters, lacks some."""
    return any(letter > LAST_EUROPEAN for letter in text)


@lru_cache(maxsize=32)
def _font(size: int, wide: bool) -> Font:
    if wide:
        for name in WIDE_FONTS:
            try:
                return ImageFont.truetype(name, size)
            except OSError:
                continue
        warnings.warn(
            "no font here has the letters of a label, boxes are drawn for them; install one such "
            "as Noto Sans CJK",
            stacklevel=2,
        )
    return ImageFont.load_default(size)
