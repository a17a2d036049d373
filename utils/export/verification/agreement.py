"""How far a network computed in fewer bits agrees with the network itself.

It cannot be equal. What counts is whether it finds what the network is sure of, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.ops import box_iou

from nets.mask_paste import paste_masks
from utils.export.verification.reference import Detections

LEAST_IOU = 0.5  # of boxes of the same object
LEAST_SHARE = 0.8  # of the sure detections that are found again
MOST_SCORE = 0.1  # mean difference of scores
LEAST_MASK_IOU = 0.7  # mean
FEW = 5  # with fewer sure detections a share says nothing


@dataclass(frozen=True)
class Agreement:
    """Over several images.

    Attributes:
        sure: how many detections of the network have at least the score from which they count.
        found: how many of them the file finds too: same label, box with an IoU of at least 0.5.
        sure_of_file, confirmed: the same the other way round.
        score: mean difference of the scores of ``found``.
        mask_iou: their mean IoU of masks.
    """

    sure: int = 0
    found: int = 0
    sure_of_file: int = 0
    confirmed: int = 0
    score: float = 0.0
    mask_iou: float = 1.0

    def line(self) -> str:
        """For a person."""
        return (
            f"of {self.sure} sure detections {self.found} are found again; of the file's "
            f"{self.sure_of_file} the network has {self.confirmed}; scores differ by "
            f"{self.score:.3f} in the mean, the masks' mean IoU is {self.mask_iou:.3f}"
        )

    def fault(self) -> str:
        """Why the file is not good enough; empty if it is."""
        is_little = self.found < FEW
        wishes = {
            f"{LEAST_SHARE:.0%} found again": _is_enough(self.found, self.sure),
            f"{LEAST_SHARE:.0%} confirmed": _is_enough(self.confirmed, self.sure_of_file),
            f"scores that differ by {MOST_SCORE} at most": is_little or self.score <= MOST_SCORE,
            f"a mask IoU of {LEAST_MASK_IOU}": is_little or self.mask_iou >= LEAST_MASK_IOU,
        }
        unmet = [wish for wish, is_met in wishes.items() if not is_met]
        return f"{self.line()}; wanted is {', '.join(unmet)}" if unmet else ""


def agreement(
    images: Sequence[tuple[Detections, Detections, tuple[int, int]]], thresholds: Sequence[float]
) -> Agreement:
    """Measure it.

    Args:
        images: for each, the detections of the network and of the file, its height and width.
        thresholds: from which score on a detection counts, by class in label order.
    """
    sure = found = sure_of_file = confirmed = 0
    scores: list[float] = []
    ious: list[float] = []
    for network, file, size in images:
        for one, other in _pairs(network, file, thresholds):
            sure += 1
            if other is not None:
                found += 1
                scores.append(abs(float(network.scores[one]) - float(file.scores[other])))
                ious.append(_mask_iou(network, one, file, other, size))
        back = _pairs(file, network, thresholds)
        sure_of_file += len(back)
        confirmed += sum(other is not None for _, other in back)
    return Agreement(
        sure, found, sure_of_file, confirmed,
        float(np.mean(scores)) if scores else 0.0, float(np.mean(ious)) if ious else 1.0,
    )  # fmt: skip


def _is_enough(some: int, whole: int) -> bool:
    return whole < FEW or some >= LEAST_SHARE * whole


def _pairs(
    ones: Detections, others: Detections, thresholds: Sequence[float]
) -> list[tuple[int, int | None]]:
    """Each sure one with that of the others which is at its place, each of them once at most."""
    ious = box_iou(torch.from_numpy(ones.boxes), torch.from_numpy(others.boxes)).numpy()
    ious[ones.labels[:, None] != others.labels] = 0
    pairs: list[tuple[int, int | None]] = []
    for one in np.flatnonzero(ones.scores >= np.asarray(thresholds)[ones.labels - 1]).tolist():
        best = int(ious[one].argmax()) if ious.shape[1] else None
        if best is not None and ious[one, best] >= LEAST_IOU:
            ious[:, best] = 0
            pairs.append((one, best))
        else:
            pairs.append((one, None))
    return pairs


def _mask_iou(
    ones: Detections, one: int, others: Detections, other: int, size: tuple[int, int]
) -> float:
    (first,), (second,) = (
        paste_masks(
            torch.from_numpy(found.masks[number][None, None]),
            torch.from_numpy(found.boxes[number][None]),
            *size,
        )
        for found, number in ((ones, one), (others, other))
    )
    iou: Any = coco_mask.iou([first], [second], [0])
    return float(iou[0][0])
