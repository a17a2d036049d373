"""Writer for labelme's old folders per picture: picture, label picture, both in one, class list."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
from PIL import Image, ImageDraw

from utils.conversion.converted_images import ConvertedImage
from utils.conversion.id_mask_files import COVERED, paint_objects
from utils.conversion.output_files import OutputFile, label_names
from utils.conversion.pictures import encoded
from utils.data.records import DataError
from utils.drawing import text_font

MOST_CLASSES = 255  # a palette has 256 colours, the first is the background's
KINDS = {"img": "png", "label": "png", "label_viz": "png", "label_names": "txt"}
OPACITY = 0.5
Pixels = Callable[[ConvertedImage], np.ndarray]

SMALLEST_TEXT, TEXT_SHARE = 11, 0.03  # text height in pixels, and as a share of the longer side


def label_png_files(
    classes: tuple[str, ...], images: Sequence[ConvertedImage], by_kind: bool
) -> list[OutputFile]:
    """``NAME_json/`` holds ``img.png``, ``label.png``, ``label_viz.png`` and ``label_names.txt``;
    with ``by_kind``, ``img/``, ``label/``, ``label_viz/`` and ``label_names/`` hold ``NAME.png`` or
    ``NAME.txt``. A value in a label picture is the line in the class list, counted from 0.

    Raises:
        DataError: too many classes for a palette.
    """
    if len(classes) > MOST_CLASSES:
        raise DataError(f"label-png holds {MOST_CLASSES} classes, the data has {len(classes)}")
    # The files of a picture are made one after the other, so each picture is decoded and its
    # objects are drawn once, and no others are held meanwhile.
    pixels, labels = lru_cache(1)(ConvertedImage.pixels), lru_cache(1)(_class_of_pixels)
    files = []
    for image in images:
        makers = (
            partial(_img, image, pixels),
            partial(_label, image, labels),
            partial(_label_viz, classes, image, pixels, labels),
            partial(label_names, classes),
        )
        for (kind, suffix), maker in zip(KINDS.items(), makers, strict=True):
            by_picture = f"{image.stem}_json/{kind}.{suffix}"
            name = f"{kind}/{image.stem}.{suffix}" if by_kind else by_picture
            files.append(OutputFile(name, maker))
    return files


def voc_palette() -> np.ndarray:
    """The 256 colours of Pascal VOC's label pictures, uint8 (256, 3): the bits of a label, spread
    over the high bits of red, green and blue in turn."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((labels >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours


def _class_of_pixels(image: ConvertedImage) -> np.ndarray:
    """uint8 (H, W), 0 is background; pixels that an object of another class covers are counted."""
    values, covered = paint_objects(image, [one.label for one in image.objects])
    image.not_kept.add(COVERED, image.name, covered)
    return values.astype(np.uint8)


def _img(image: ConvertedImage, pixels: Pixels) -> bytes:
    return encoded(pixels(image))


def _label(image: ConvertedImage, labels: Pixels) -> bytes:
    picture = Image.fromarray(labels(image))
    picture.putpalette(voc_palette().ravel().tolist())  # which makes it a palette picture
    return encoded(picture)


def _label_viz(
    classes: tuple[str, ...], image: ConvertedImage, pixels: Pixels, labels: Pixels
) -> bytes:
    """The picture tinted by class, and a legend at its right."""
    tinted = pixels(image).astype(np.float32)
    inside = labels(image) > 0
    values = labels(image)[inside]
    colours = voc_palette()
    tinted[inside] = (1 - OPACITY) * tinted[inside] + OPACITY * colours[values]
    picture = Image.fromarray(tinted.round().astype(np.uint8))
    size = max(SMALLEST_TEXT, round(max(picture.size) * TEXT_SHARE))
    shown = {classes[n - 1]: tuple(colours[n].tolist()) for n in np.unique(values)}
    legend = _legend(shown, size)
    sheet = Image.new(
        "RGB", (picture.width + legend.width, max(picture.height, legend.height)), "white"
    )
    sheet.paste(picture, (0, 0))
    sheet.paste(legend, (picture.width, 0))
    return encoded(sheet)


def _legend(entries: Mapping[str, tuple[int, ...]], size: int) -> Image.Image:
    """Names beside squares of their colours, on white; text of ``size`` pixels."""
    lengths = [text_font(name, size).getlength(name) for name in entries]
    row = size * 3 // 2
    width = 3 * size + math.ceil(max(lengths, default=0))
    legend = Image.new("RGB", (width, row * len(entries) + size), "white")
    draw = ImageDraw.Draw(legend)
    for number, (name, colour) in enumerate(entries.items()):
        top = size // 2 + row * number
        draw.rectangle((size // 2, top, size // 2 + size, top + size), fill=colour)
        draw.text((2 * size, top), name, "black", text_font(name, size))
    return legend
