"""Writer for labelme: a JSON file beside each picture, and the class list."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
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
    """The pictures, each with what ``labelme_content`` says; crowd regions are left out."""
    files: list[OutputFile] = []
    for image in images:
        files.append(OutputFile(image.name, image.picture))
        files.append(OutputFile(f"{image.stem}.json", partial(_json, classes, image, simplify)))
    return [*files, OutputFile("label_names.txt", partial(label_names, classes))]


def labelme_content(
    record: ImageRecord,
    classes: Sequence[str],
    image_path: str,
    simplify: float,
    scores: Sequence[float] = (),
) -> dict[str, Any]:
    """What labelme's file of a picture holds, as plain values.

    An object is a polygon, several of one ``group_id`` if it has parts, or a mask if it has a hole;
    nothing if it has no pixel.

    Args:
        record: of the picture.
        classes: names in label order.
        image_path: of the picture, from the folder that the file lies in.
        simplify: as for ``polygons_of``, in pixels.
        scores: of objects that were predicted; the description is ``score 0.934`` then.
    """
    texts = [f"score {score:.3f}" for score in scores] or [""] * len(record.instances)
    shapes: list[dict[str, Any]] = []
    for number, (instance, text) in enumerate(zip(record.instances, texts, strict=True), start=1):
        name = classes[instance.label - 1]
        for shape in _shapes(instance, record, name, number, simplify):
            shapes.append({**shape, "description": text})
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": record.height,
        "imageWidth": record.width,
    }


def _json(classes: tuple[str, ...], image: ConvertedImage, simplify: float) -> bytes:
    record = replace(image.record, instances=image.objects)
    return json_bytes(labelme_content(record, classes, image.name, simplify), indent=2)


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
