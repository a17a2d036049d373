"""Every picture the program draws: objects over an image, and panels of several images."""

from __future__ import annotations

import colorsys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask

from nets.contract import Prediction, Target
from utils.data.channels import rgb_view
from utils.data.records import ImageRecord, encode_mask, to_rle

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MASK_OPACITY = 0.45
GOLDEN_RATIO = 0.618034  # steps of it around the colour wheel keep neighbours apart
SMALLEST_TEXT, TEXT_SHARE = 11, 0.03  # text height in pixels, and as a share of the longer side
PANEL_SIDE = 360  # longer side of an image in a panel
CAPTION_SIZE = 15
LAST_EUROPEAN = "\u2e7f"  # before the scripts of East Asia
# Fonts with Chinese, Japanese and Korean letters, as systems name them; Pillow finds their folder.
WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "wqy-zenhei.ttc", "simhei.ttf")


@dataclass(frozen=True)
class DrawnObject:
    """One object to draw: run lengths at image size, xyxy box in pixels, and its label text."""

    rle: dict[str, Any]
    box: tuple[float, float, float, float]
    text: str


def predicted_objects(prediction: Prediction, classes: Sequence[str]) -> list[DrawnObject]:
    """The objects of a prediction, best first."""
    return [
        DrawnObject(rle, tuple(box), f"{classes[label - 1]} {score:.2f}")
        for rle, box, label, score in zip(
            prediction["masks"],
            prediction["boxes"].tolist(),
            prediction["labels"].tolist(),
            prediction["scores"].tolist(),
            strict=True,
        )
    ]


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
        image: uint8 RGB (H, W, 3), or other channels, of which ``rgb_view`` is drawn.
        objects: best first; the best are drawn on top.
        size: (width, height) of the result; the image's own by default. Text is never scaled, so a
            small image drawn larger has readable labels.
    """
    height, width = image.shape[:2]
    size = size or (width, height)
    canvas = np.asarray(
        Image.fromarray(rgb_view(image)).resize(size, Image.Resampling.BILINEAR)
    ).copy()
    colours = [instance_colour(i) for i in range(len(objects))]
    for item, colour in reversed(list(zip(objects, colours, strict=True))):
        mask = coco_mask.decode(item.rle)
        if size != (width, height):
            mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        _paint(canvas, mask.astype(bool), colour)

    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    scale = np.array([size[0] / width, size[1] / height] * 2)
    line = max(1, round(max(size) / 500))
    boxes = [(np.array(item.box) * scale).round().astype(int).tolist() for item in objects]
    for (x1, y1, x2, y2), colour in reversed(list(zip(boxes, colours, strict=True))):
        draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=colour, width=line)
    text_size = max(SMALLEST_TEXT, round(max(size) * TEXT_SHARE))
    taken: list[tuple[int, int, int, int]] = []
    for item, box, colour in zip(objects, boxes, colours, strict=True):
        _label(draw, item.text, box, colour, text_size, size, taken)
    return picture


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


def panel_size(image: np.ndarray) -> tuple[int, int]:
    """The (width, height) an image gets in a panel."""
    height, width = image.shape[:2]
    scale = PANEL_SIDE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def text_font(text: str, size: int) -> Font:
    """A font that has the letters of ``text``; ``size`` is its height in pixels."""
    return _font(size, _is_wide(text))


def instance_colour(index: int) -> Colour:
    """A bright colour for the n-th object of an image."""
    hue = (index * GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _paint(canvas: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Tint the mask's pixels and trace its outline, in place; only its box is touched."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, pixels = mask[window], canvas[window]
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    tint = np.array(colour, np.float32)
    pixels[inside] = (1 - MASK_OPACITY) * pixels[inside] + MASK_OPACITY * tint
    pixels[inside & ~core] = colour


def _label(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: list[int],
    colour: Colour,
    text_size: int,
    size: tuple[int, int],
    taken: list[tuple[int, int, int, int]],
) -> None:
    """Write ``text`` on its object's colour, inside the picture and clear of earlier labels."""
    font = text_font(text, text_size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    pad = max(1, text_size // 8)
    width, height = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
    x = min(max(box[0], 0), max(size[0] - width, 0))
    places = [box[1] - height, box[1], box[3] - height, box[3]]
    places = [min(max(y, 0), max(size[1] - height, 0)) for y in places]
    areas = [(x, y, x + width, y + height) for y in places]
    area = next((a for a in areas if not any(_overlap(a, b) for b in taken)), areas[0])
    taken.append(area)
    draw.rectangle(area, fill=colour)
    luminance = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    ink = "black" if luminance > 128 else "white"
    draw.text((area[0] + pad - left, area[1] + pad - top), text, ink, font)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
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
