"""Writer for COCO: ``images/`` and, last, ``annotations.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from utils.conversion.drawn_outlines import polygons_of
from utils.conversion.output_files import OutputFile, json_bytes
from utils.conversion.scenes import Scene
from utils.data.records import ImageRecord, Instance, Polygons, Rle
from utils.evaluation.coco_evaluator import categories


def coco_files(
    classes: tuple[str, ...], scenes: Sequence[Scene], simplify: float
) -> list[OutputFile]:
    """Polygons and run lengths stay what they are, crowd regions stay, category ids are labels.

    With ``simplify``, run lengths without holes become polygons that a person can edit.
    """

    def annotations() -> bytes:
        return json_bytes(coco_content(classes, scenes, simplify))

    pictures = [OutputFile(f"images/{scene.name}", scene.picture) for scene in scenes]
    return [*pictures, OutputFile("annotations.json", annotations)]


def coco_content(
    classes: tuple[str, ...], scenes: Sequence[Scene], simplify: float
) -> dict[str, Any]:
    """The lists of a COCO file; annotation ids count from 1."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for scene in scenes:
        record = scene.record
        images.append(
            {
                "id": record.image_id,
                "file_name": scene.name,
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
    return {"images": images, "annotations": annotations, "categories": categories(classes)}


def _segmentation(instance: Instance, record: ImageRecord, simplify: float) -> Rle | Polygons:
    if simplify and not instance.iscrowd:
        return polygons_of(instance, record, simplify) or instance.segmentation
    return instance.segmentation
