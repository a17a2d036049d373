"""What predict.py leaves: overlay pictures, ``predictions.json`` and ``counts.csv``."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.drawing import draw_objects, predicted_objects
from utils.evaluation.coco_evaluator import categories, coco_results
from utils.folders import write_json

OVERLAY_SUFFIXES = (".jpg", ".jpeg", ".png")  # others are saved as PNG


class Predicted(NamedTuple):
    """One picture in the outputs: its COCO entry, its objects (without ids), how many per class."""

    image: dict[str, Any]
    objects: list[dict[str, Any]]
    counts: Counter[str]


class PredictionWriter:
    """Writes what a run of predict.py found to one folder.

    Several processes have a writer each, for pictures of their own; one of them finishes.

    Args:
        folder: is there already.
        classes: names in label order.
        names: of all pictures of the run, in order; none twice.
    """

    def __init__(self, folder: Path, classes: tuple[str, ...], names: Sequence[str]) -> None:
        self.folder = folder
        self.classes = classes
        self.names = names
        self.overlays = overlay_names(names)
        self.predicted: list[Predicted] = []

    def add(self, number: int, image: np.ndarray, prediction: Prediction) -> Counter[str]:
        """Draw the overlay of picture ``number`` of the names, remember its objects, and count them
        by class."""
        height, width = image.shape[:2]
        image_id, name = number + 1, self.names[number]
        objects = [
            {**result, "area": float(coco_mask.area(result["segmentation"])), "iscrowd": 0}
            for result in coco_results(image_id, prediction)
        ]
        picture = draw_objects(image, predicted_objects(prediction, self.classes))
        path = self.folder / self.overlays[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=92)
        counts = Counter(self.classes[label - 1] for label in prediction["labels"].tolist())
        entry = {"id": image_id, "file_name": name, "width": width, "height": height}
        self.predicted.append(Predicted(entry, objects, counts))
        return counts

    def finish(self, others: Iterable[Predicted] = ()) -> Counter[str]:
        """Write ``predictions.json`` (a COCO data set with scores) and ``counts.csv`` of these
        pictures and those of other processes, in the order of the names; totals by class."""
        predicted = sorted([*self.predicted, *others], key=lambda one: one.image["id"])
        objects = [found for one in predicted for found in one.objects]
        write_json(
            self.folder / "predictions.json",
            {
                "images": [one.image for one in predicted],
                "categories": categories(self.classes),
                "annotations": [{"id": n, **found} for n, found in enumerate(objects, 1)],
            },
        )
        total = sum((one.counts for one in predicted), Counter())
        rows = [(one.image["file_name"], one.counts) for one in predicted]
        with open(self.folder / "counts.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", *self.classes, "total"])
            for name, count in [*rows, ("total", total)]:
                writer.writerow([name, *(count[c] for c in self.classes), count.total()])
        return total


def overlay_names(names: Iterable[str]) -> list[str]:
    """What the overlays of some pictures are called, none like another."""
    taken: dict[str, None] = {}  # in their order
    for name in names:
        path = PurePosixPath(overlay_name(name))
        while str(path) in taken:  # a.bmp is drawn as a.bmp.png, which may be a picture too
            path = path.with_name(f"_{path.name}")
        taken[str(path)] = None
    return list(taken)


def overlay_name(name: str) -> str:
    """The overlay's file name: the picture's own, as PNG where it is neither JPEG nor PNG."""
    path = PurePosixPath(name)
    return name if path.suffix.lower() in OVERLAY_SUFFIXES else f"{name}.png"
