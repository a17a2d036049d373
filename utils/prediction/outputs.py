"""What predict.py leaves: overlay pictures, ``predictions.json`` and ``counts.csv``."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.drawing import draw_objects, predicted_objects
from utils.evaluation.coco_evaluator import categories, coco_results
from utils.folders import write_json

OVERLAY_SUFFIXES = (".jpg", ".jpeg", ".png")  # others are saved as PNG


class PredictionWriter:
    """Collects the predictions of a run of predict.py and writes them to one folder."""

    def __init__(self, folder: Path, classes: tuple[str, ...]) -> None:
        self.folder = folder
        self.classes = classes
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.counts: dict[str, Counter[str]] = {}
        self.overlays: set[Path] = set()

    def add(self, name: str, image: np.ndarray, prediction: Prediction) -> Counter[str]:
        """Draw the overlay of one picture, remember its objects, and count them by class."""
        height, width = image.shape[:2]
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for result in coco_results(image_id, prediction):
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    **result,
                    "area": float(coco_mask.area(result["segmentation"])),
                    "iscrowd": 0,
                }
            )
        picture = draw_objects(image, predicted_objects(prediction, self.classes))
        path = self._overlay_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=92)
        labels = prediction["labels"].tolist()
        self.counts[name] = Counter(self.classes[label - 1] for label in labels)
        return self.counts[name]

    def _overlay_path(self, name: str) -> Path:
        path = self.folder / overlay_name(name)
        while path in self.overlays:  # a.bmp is drawn as a.bmp.png, which may be a picture too
            path = path.with_name(f"_{path.name}")
        self.overlays.add(path)
        return path

    def finish(self) -> Counter[str]:
        """Write ``predictions.json`` (a COCO data set with scores) and ``counts.csv``; totals."""
        write_json(
            self.folder / "predictions.json",
            {
                "images": self.images,
                "categories": categories(self.classes),
                "annotations": self.annotations,
            },
        )
        total = sum(self.counts.values(), Counter())
        with open(self.folder / "counts.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", *self.classes, "total"])
            for name, count in [*self.counts.items(), ("total", total)]:
                writer.writerow([name, *(count[c] for c in self.classes), count.total()])
        return total


def overlay_name(name: str) -> str:
    """The overlay's file name: the picture's own, as PNG where it is neither JPEG nor PNG."""
    path = PurePosixPath(name)
    return name if path.suffix.lower() in OVERLAY_SUFFIXES else f"{name}.png"
