"""Writer for labelme: a JSON file beside each picture, and the class list."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from typing import Any

from utils.conversion.converted_images import ConvertedImage
from utils.conversion.drawn_outlines import polygons_of
from utils.conversion.output_files import OutputFile, json_bytes, label_names
from utils.conversion.pictures import encoded
from utils.data.mask_crops import crop_mask
from utils.data.records import ImageRecord, Instance

VERSION = "5.5.0"  # of labelme, the first fields of whose files these are


def labelme_files(
    classes: tuple[str, ...], images: Sequence[ConvertedImage], simplify: float
) -> list[OutputFile]:
    """An object is a polygon, several of one ``group_id`` if it has parts, or a mask if it has a
    hole. Crowd regions are left out."""
    files: list[OutputFile] = []
    for image in images:
        files.append(OutputFile(image.name, image.picture))
        files.append(OutputFile(f"{image.stem}.json", partial(_json, classes, image, simplify)))
    return [*files, OutputFile("label_names.txt", partial(label_names, classes))]


def _json(classes: tuple[str, ...], image: ConvertedImage, simplify: float) -> bytes:
    shapes: list[dict[str, Any]] = []
    for number, instance in enumerate(image.objects, start=1):
        name = classes[instance.label - 1]
        shapes += _shapes(instance, image.record, name, number, simplify)
    content: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image.name,
        "imageData": None,
        "imageHeight": image.record.height,
        "imageWidth": image.record.width,
    }
    return json_bytes(content, indent=2)


def _shapes(
    instance: Instance, record: ImageRecord, name: str, number: int, simplify: float
) -> list[dict[str, Any]]:
    """The shapes of one object, the ``number``-th of its picture."""
    polygons = polygons_of(instance, record, simplify)
    if polygons is None:
        return [_mask_shape(instance, record, name)]
    group = number if len(polygons) > 1 else None
    return [
        _shape(name, list(zip(flat[::2], flat[1::2], strict=True)), "polygon", group)
        for flat in polygons
    ]


def _mask_shape(instance: Instance, record: ImageRecord, name: str) -> dict[str, Any]:
    """The object's pixels as a PNG; its points are the first and the last pixel of their box."""
    crop = crop_mask(instance, record.height, record.width)
    assert crop is not None  # it has a hole
    height, width = crop.mask.shape
    corners = [(crop.x, crop.y), (crop.x + width - 1, crop.y + height - 1)]
    png = base64.b64encode(encoded(crop.mask != 0)).decode("ascii")
    return {**_shape(name, corners, "mask", None), "mask": png}


def _shape(
    name: str, points: list[tuple[float, float]], kind: str, group: int | None
) -> dict[str, Any]:
    return {
        "label": name,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
    }
