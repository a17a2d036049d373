"""The RoIs that the heads are taught from one image: which object each is of, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from utils.inspection.training_trace import TrainingTrace


@dataclass(frozen=True)
class RoiSamples:
    """The sampled RoIs of an image with N objects: Q positives and B of background.

    Attributes:
        taught: what they were sorted from.
        positive: places of the positives among all RoIs, int64 (Q,).
        background: places of the others, int64 (B,).
        objects: which object each positive is taught to be, int64 (Q,).
        overlaps: IoU of each positive with its object, (Q,).
        own: bool (Q,): the box of the object itself, which torchvision adds to the proposals.
        nearest: the highest IoU of each background RoI with any object, (B,); 0 without objects.
        counts: how many positives each object got, its own box among them, int64 (N,).
        doubled: bool (N,), objects with the very box of an earlier one, to which all RoIs go that
            overlap both.
    """

    taught: TrainingTrace
    positive: Tensor
    background: Tensor
    objects: Tensor
    overlaps: Tensor
    own: Tensor
    nearest: Tensor
    counts: Tensor
    doubled: Tensor

    def by_overlap(self, kept: Tensor) -> list[int]:
        """The positives for which ``kept``, bool (Q,), is true, those with the lowest IoU first."""
        places = torch.where(kept)[0]
        return places[self.overlaps[places].argsort(stable=True)].tolist()


def roi_samples(taught: TrainingTrace) -> RoiSamples:
    """Sort the sampled RoIs of an image by what they teach."""
    positive, background = taught.positive, torch.where(taught.roi_labels == 0)[0]
    objects = taught.roi_objects[positive]
    boxes = taught.target["boxes"].to(taught.rois)
    over = torch.cat([taught.rois.new_zeros(len(taught.rois), 1), box_iou(taught.rois, boxes)], 1)
    return RoiSamples(
        taught=taught,
        positive=positive,
        background=background,
        objects=objects,
        overlaps=over[positive, objects + 1],
        own=(taught.rois[positive] == boxes[objects]).all(dim=1),
        nearest=over[background].amax(dim=1),
        counts=objects.bincount(minlength=len(boxes)),
        doubled=(boxes[:, None] == boxes).all(dim=2).tril(-1).any(dim=1),
    )


def box_changes(rois: Tensor, deltas: Tensor, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """What deltas in a box coder's units mean, as Faster R-CNN defines them.

    Args:
        rois: (Q, 4), xyxy.
        deltas: (Q, 4), dx, dy, dw, dh.
        weights: of the box coder, by which the deltas were multiplied.

    Returns:
        How far the centres move to the right and down, in pixels of the boxes, (Q, 2); by what
        share width and height grow, (Q, 2), above -1.
    """
    plain = deltas / deltas.new_tensor(list(weights))
    return plain[:, :2] * (rois[:, 2:] - rois[:, :2]), plain[:, 2:].expm1()


def share_inside(mask: Tensor, box: Tensor) -> float:
    """The share of a mask's pixels, (H, W) 0/1, with their centre in a box, xyxy; 0 without any."""
    x1, y1, x2, y2 = box.tolist()
    rows, columns = (torch.arange(side) + 0.5 for side in mask.shape)
    inside = mask[(rows > y1) & (rows < y2)][:, (columns > x1) & (columns < x2)]
    return float(inside.sum()) / max(float(mask.sum()), 1.0)


def spread(count: int, most: int) -> list[int]:
    """At most so many places of a row of ``count``, evenly apart, the first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / max(most - 1, 1)) for place in range(most)]
