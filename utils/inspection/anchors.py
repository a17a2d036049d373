"""Anchors and the objects of an image: where they stand, and which meet.

best = best_anchors(subject.trace, boxes)   # boxes of objects in the network's input
best.iou.min(), subject.trace.anchors[best.index]
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from nets.anchors import ratios_of, sizes_of
from nets.box_iou import sliced_box_iou
from utils.inspection.trace import Trace
from utils.inspection.training_trace import TrainingTrace


@dataclass(frozen=True)
class BestAnchors:
    """The anchor that overlaps each of N objects most.

    Attributes:
        iou: of the anchor with its object, float32 (N,).
        index: its place in ``trace.anchors``, int64 (N,); the first of several that are as good.
        level: of the feature pyramid that it is of, int64 (N,), from 0 on.
    """

    iou: Tensor
    index: Tensor
    level: Tensor


def best_anchors(trace: Trace, boxes: Tensor) -> BestAnchors:
    """The best anchor for each of the boxes (N, 4), xyxy in pixels of the network's input."""
    iou, index = sliced_box_iou(boxes, trace.anchors).max(dim=1)
    return BestAnchors(iou, index, trace.levels[index])


@dataclass(frozen=True)
class PositiveAnchors:
    """The P anchors that an image teaches as objects.

    Attributes:
        index: their places among all anchors, int64 (P,).
        object: which object each is to find, int64 (P,).
        forced: bool (P,): below the RPN's threshold, but no anchor overlaps some object more.
    """

    index: Tensor
    object: Tensor
    forced: Tensor


def positive_anchors(trace: Trace, taught: TrainingTrace, threshold: float) -> PositiveAnchors:
    """The anchors that ``taught.anchor_labels`` calls objects, and which object each is matched to;
    ``threshold`` is ``model.rpn.proposal_matcher.high_threshold``."""
    index = torch.where(taught.anchor_labels == 1)[0]
    if not len(index):
        return PositiveAnchors(index, index, index.bool())
    iou, objects = sliced_box_iou(trace.anchors[index], taught.target["boxes"]).max(dim=1)
    return PositiveAnchors(index, objects, iou < threshold)


@dataclass(frozen=True)
class AnchorLevel:
    """The anchors of a feature map.

    Attributes:
        name: of the map, P2...
        grid: rows and columns of the map.
        step: pixels of the network's input between its points, down and across.
        sizes: square roots of the anchors' areas, in pixels of the input.
        ratios: heights over widths.
        shapes: the anchors of a point at (0, 0), by ratio and then by size, (C, 4) xyxy.
    """

    name: str
    grid: tuple[int, int]
    step: tuple[int, int]
    sizes: tuple[float, ...]
    ratios: tuple[float, ...]
    shapes: Tensor

    def points(self) -> Tensor:
        """Where its anchors are centred, int64 (rows * columns, 2), x before y, row by row."""
        down, across = (torch.arange(n) * s for n, s in zip(self.grid, self.step, strict=True))
        return torch.cartesian_prod(down, across).flip(1)

    def near(self, places: Tensor) -> Tensor:
        """The anchors of the points nearest to places (N, 2), x before y: boxes (N, C, 4)."""
        step, last = torch.tensor(self.step), torch.tensor(self.grid) - 1
        cells = (places.flip(1) / step).round().long().clamp(min=0).minimum(last)
        return (cells * step).flip(1).repeat(1, 2)[:, None] + self.shapes


def anchor_levels(model: MaskRCNN, trace: Trace) -> list[AnchorLevel]:
    """The levels that a network's anchors are of, for an image that it looked at."""
    generator, padded = model.rpn.anchor_generator, trace.batch.shape[-2:]
    levels = []
    for name, sizes, ratios in zip(
        trace.features, generator.sizes, generator.aspect_ratios, strict=True
    ):
        height, width = trace.features[name].shape[-2:]
        step = padded[0] // height, padded[1] // width  # AnchorGenerator's own, in whole pixels
        shapes = generator.generate_anchors(list(sizes), list(ratios))
        levels.append(AnchorLevel(name, (height, width), step, sizes, ratios, shapes))
    return levels


def misfit(model: MaskRCNN, box: Tensor) -> str:
    """Which size or ratio of a box (4,) no anchor has, in a few words; empty if it is neither."""
    width, height = (box[2:] - box[:2]).tolist()
    kinds = (
        ("size", math.sqrt(width * height), " px", sizes_of(model)),
        ("height / width", height / width, "", ratios_of(model)),
    )
    return " and ".join(
        f"{name} {round(value, 2):g}{unit}, anchors have {min(known):g} to {max(known):g}{unit}"
        for name, value, unit, known in kinds
        if not min(known) <= value <= max(known)
    )
