"""Writer for labelme's old folders per picture: picture, label picture, both in one, class list."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from utils.conversion.id_mask_files import COVERED, paint_objects
from utils.conversion.output_files import OutputFile, label_names
from utils.conversion.pictures import encoded
from utils.conversion.scenes import Scene
from utils.data.records import DataError
from utils.drawing import text_font

MOST_CLASSES = 255  # a palette has 256 colours, the first is the background's
KINDS = {"img": "png", "label": "png", "label_viz": "png", "label_names": "txt"}
OPACITY = 0.5
SMALLEST_TEXT, TEXT_SHARE = 11, 0.03  # text height in pixels, and as a share of the longer side


def label_png_files(
    classes: tuple[str, ...], scenes: Sequence[Scene], by_kind: bool
) -> list[OutputFile]:
    """``NAME_json/`` holds ``img.png``, ``label.png``, ``label_viz.png`` and ``label_names.txt``;
    with ``by_kind``, ``img/``, ``label/``, ``label_viz/`` and ``label_names/`` hold ``NAME.png`` or
    ``NAME.txt``. A value in a label picture is the line in the class list, counted from 0.

    Raises:
        DataError: too many classes for a palette.
    """
    if len(classes) > MOST_CLASSES:
        raise DataError(f"label-png holds {MOST_CLASSES} classes, the data has {len(classes)}")
    files = []
    for scene in scenes:
        makers = (
            partial(_img, scene),
            partial(_label, scene),
            partial(_label_viz, classes, scene),
            partial(label_names, classes),
        )
        for (kind, suffix), maker in zip(KINDS.items(), makers, strict=True):
            by_picture = f"{scene.stem}_json/{kind}.{suffix}"
            name = f"{kind}/{scene.stem}.{suffix}" if by_kind else by_picture
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


def _class_of_pixels(scene: Scene) -> tuple[np.ndarray, int]:
    """uint8 (H, W), 0 is background, and how many pixels a later object of another class covers."""
    values, covered = paint_objects(scene, [one.label for one in scene.objects])
    return values.astype(np.uint8), covered


def _img(scene: Scene) -> bytes:
    return encoded(scene.pixels())


def _label(scene: Scene) -> bytes:
    labels, covered = _class_of_pixels(scene)
    scene.losses.add(COVERED, scene.name, covered)
    picture = Image.fromarray(labels)
    picture.putpalette(voc_palette().ravel().tolist())  # which makes it a palette picture
    return encoded(picture)


def _label_viz(classes: tuple[str, ...], scene: Scene) -> bytes:
    """The picture tinted by class, and a legend at its right."""
    labels, _ = _class_of_pixels(scene)
    pixels = scene.pixels().astype(np.float32)
    inside = labels > 0
    colours = voc_palette()
    pixels[inside] = (1 - OPACITY) * pixels[inside] + OPACITY * colours[labels[inside]]
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    size = max(SMALLEST_TEXT, round(max(picture.size) * TEXT_SHARE))
    shown = {classes[n - 1]: tuple(colours[n].tolist()) for n in np.unique(labels[inside])}
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
