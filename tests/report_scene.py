"""Drawn images with squares of two classes and what a made-up model found in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from nets.contract import Prediction
from utils.data.records import ImageRecord, Instance, RecordSet, encode_mask
from utils.evaluation.assessment import Assessment, assess

SIDE = 64
CLASSES = ("cat", "dog")
CAT, DOG = 1, 2
# Squares as (label, x, y, side), and detections as the same with a score. Every threshold is 0.5.
SCENES = [
    ([(CAT, 4, 4, 20), (DOG, 34, 34, 24)], [(CAT, 4, 4, 20, 0.9), (DOG, 34, 34, 24, 0.8)]),
    ([(CAT, 10, 10, 30)], []),  # missed
    ([(DOG, 8, 8, 40)], [(DOG, 8, 8, 38, 0.95), (DOG, 8, 8, 40, 0.6)]),  # a duplicate
    ([], [(CAT, 20, 20, 12, 0.7), (CAT, 2, 2, 12, 0.2)]),  # a false alarm, an unsure one
    ([(CAT, 12, 12, 30)], [(DOG, 12, 12, 30, 0.85)]),  # wrong class
]


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[y : y + side, x : x + side] = 1
    return mask


def prediction(found: list[tuple]) -> Prediction:
    """Squares as (label, x, y, side, score), by falling score."""
    boxes = [(x, y, x + side, y + side) for _, x, y, side, _ in found]
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([one[0] for one in found], dtype=torch.int64),
        scores=torch.tensor([one[4] for one in found], dtype=torch.float32),
        masks=[encode_mask(square(*one[1:4])) for one in found],
    )


def drawn_set(scenes=SCENES, classes=CLASSES, name="{:02}.png", root=Path("drawn")) -> RecordSet:
    records = [
        ImageRecord(
            number + 1, root / name.format(number), SIDE, SIDE,
            tuple(Instance.from_mask(label, square(*place)) for label, *place in objects),
        )
        for number, (objects, _) in enumerate(scenes)
    ]  # fmt: skip
    return RecordSet(root, "drawn", tuple(classes), tuple(records))


def drawn_assessment(scenes=SCENES, point="precision=0.5", **keywords) -> Assessment:
    """The scenes judged; what ``drawn_set`` does not know goes to ``assess``."""
    known = {name: keywords.pop(name) for name in ("classes", "name") if name in keywords}
    data = drawn_set(scenes, **known)
    found = {i + 1: prediction(one) for i, (_, one) in enumerate(scenes)}
    return assess(data, found, point, **keywords)


def pixels(number: int) -> np.ndarray:
    """A grey image."""
    return np.full((SIDE, SIDE, 3), 90, dtype=np.uint8)
