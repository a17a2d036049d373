"""Writer for COCO: ``images/`` and, last, ``annotations.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from utils.conversion.converted_images import ConvertedImage
from utils.conversion.drawn_outlines import polygons_of
from utils.conversion.output_files import OutputFile, json_bytes
from utils.data.label_map import coco_categories
from utils.data.records import ImageRecord, Instance, Polygons, Rle


def coco_files(
    classes: tuple[str, ...], images: Sequence[ConvertedImage], simplify: float
) -> list[OutputFile]:
    """Polygons and run lengths stay what they are, crowd regions stay, category ids are labels.

    With ``simplify``, run lengths without holes become polygons that a person can edit.
    """

    def annotations() -> bytes:
        return json_bytes(coco_content(classes, images, simplify))

    pictures = [OutputFile(f"images/{image.name}", image.picture) for image in images]
    return [*pictures, OutputFile("annotations.json", annotations)]


def coco_content(
    classes: tuple[str, ...], images: Sequence[ConvertedImage], simplify: float
) -> dict[str, Any]:
    """The lists of a COCO file; annotation ids count from 1."""
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        record = image.record
        entries.append(
            {
                "id": record.image_id,
                "file_name": image.name,
                "width": record.width,
                "height": record.height,
            }
        )
        for instance in record.instances:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record.image_id,
                    "category_id": instance.label,
                    "segmentation": _segmentation(instance, record, simplify),
                    "area": instance.area,
                    "bbox": list(instance.bbox),
                    "iscrowd": instance.iscrowd,
                }
            )
    return {"images": entries, "annotations": annotations, "categories": coco_categories(classes)}


def _segmentation(instance: Instance, record: ImageRecord, simplify: float) -> Rle | Polygons:
    if simplify and not instance.iscrowd:
        return polygons_of(instance, record, simplify) or instance.segmentation
    return instance.segmentation
