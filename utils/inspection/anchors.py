"""Anchors and the objects of an image: where they stand, which meet, and what would meet better.

best = best_anchors(subject.trace, boxes)   # boxes of objects in the network's input
best.iou.min(), subject.trace.anchors[best.index]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator

from nets.anchors import ratios_of, sizes_of
from nets.box_iou import sliced_box_iou
from nets.mask_rcnn import input_size
from utils.doctor.network_view import NetworkView
from utils.inspection.subject import Subject
from utils.inspection.trace import Trace
from utils.inspection.training_trace import TrainingTrace
from utils.training.anchor_fit import GOOD, PADDING, AnchorFit, fit_anchors

# Of the input's size, half an octave apart; those near to the present size are tried first.
FACTORS = (1, 1.41, 0.71, 2, 0.5, 2.83, 0.35, 4, 0.25)
LARGEST_INPUT = 3000  # pixels; few GPUs train on more
MOST_OBJECTS = 500  # of a data set that settings are judged by; evenly spread over more
GAIN, LOSS = (
    0.05,
    0.02,
)  # in mean IoU that is worth a training; in the share of a data set's objects
MOST_NAMED = 3


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
    return _levels(model.rpn.anchor_generator, trace, tuple(trace.batch.shape[-2:]))


def _levels(generator: AnchorGenerator, trace: Trace, padded: Sequence[int]) -> list[AnchorLevel]:
    """The same with other anchors, or for a padded input of another height and width."""
    levels = []
    kinds = zip(trace.strides().items(), generator.sizes, generator.aspect_ratios, strict=True)
    for (name, stride), sizes, ratios in kinds:
        height, width = (-(-side // stride) for side in padded)
        step = padded[0] // height, padded[1] // width  # AnchorGenerator's own, in whole pixels
        shapes = generator.generate_anchors(list(sizes), list(ratios)).to(trace.anchors.dtype)
        levels.append(AnchorLevel(name, (height, width), step, sizes, ratios, shapes))
    return levels


def best_ious(levels: Sequence[AnchorLevel], boxes: Tensor) -> Tensor:
    """The largest IoU of each of the boxes (N, 4) with an anchor of the levels, (N,); N >= 1.

    Of all anchors of a shape, the one on the point nearest to a box's centre overlaps it most, so
    that no others need be made.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = torch.cat([level.near(centres).flatten(0, 1) for level in levels])
    return sliced_box_iou(boxes, near).amax(1)


@dataclass(frozen=True)
class Alternative:
    """Other settings of ``train.py``, and what they would be worth.

    Attributes:
        flags: as given on the command line.
        about: what they change.
        iou: of the best anchor of each of the image's N objects then, (N,).
        shares: of the data set's objects that have an anchor of IoU >= 0.7, now and then.
    """

    flags: str
    about: str
    iou: Tensor
    shares: tuple[float, float]

    def helps(self, now: Tensor, poor: Tensor, thresholds: Sequence[float]) -> bool:
        """Whether it is worth a training.

        Args:
            now: the present best IoUs, (N,).
            poor: bool (N,), the objects that are to gain.
            thresholds: of IoU, that more objects are to reach.
        """
        reached, before = (sum(int((i >= t).sum()) for t in thresholds) for i in (self.iou, now))
        gain = float((self.iou - now)[poor].mean())
        return reached > before and gain >= GAIN and self.shares[1] >= self.shares[0] - LOSS


def alternatives(subject: Subject, boxes: Tensor, outside: Tensor) -> list[Alternative]:
    """Other settings under which anchors may meet the objects of a labelled image better.

    Args:
        subject: the image is one of its data set.
        boxes: of the objects in the network's input, xyxy (N, 4).
        outside: bool (N,), those too small or too large for the anchors' sizes. If there are any,
            the size of the input is found at which anchors meet them best.
    """
    found, fit = [], _fit(subject)
    if outside.any():
        factor, ious = _other_size(subject, boxes, outside)
        view = _view(subject.model, factor)
        flags = f"--min-size {view.min_size} --max-size {view.max_size}"
        about = f"the image would be {factor:g} times as large to the network"
        shares = fit.before[0], _fit(subject, factor).before[0]
        found.append(Alternative(flags, about, ious, shares))
    if fit.options:
        model, trace = subject.model, subject.trace
        new = dict(zip(sizes_of(model), fit.sizes, strict=True))
        kinds = tuple(tuple(map(new.__getitem__, one)) for one in model.rpn.anchor_generator.sizes)
        generator = AnchorGenerator(kinds, (fit.ratios,) * len(kinds))
        ious = best_ious(_levels(generator, trace, trace.batch.shape[-2:]), boxes)
        sizes, ratios = (", ".join(f"{x:g}" for x in values) for values in (fit.sizes, fit.ratios))
        about = f"sizes {sizes} px, height / width {ratios}"
        found.append(Alternative("--anchors auto", about, ious, (fit.before[0], fit.after[0])))
    return found


def _other_size(subject: Subject, boxes: Tensor, few: Tensor) -> tuple[float, Tensor]:
    """The factor of the input's size at which anchors meet these few of the objects best, the least
    change among those about as good, and the best IoU of each object then."""
    model, trace = subject.model, subject.trace
    high = model.rpn.proposal_matcher.high_threshold
    tried = {}
    for factor in FACTORS:
        view = _view(model, factor)
        if factor <= 1 or view.max_size <= LARGEST_INPUT:
            scale = view.scale(*trace.original[::-1])
            size = [max(1, int(side * scale)) for side in trace.original]
            padded = [-(-side // PADDING) * PADDING for side in size]
            across, down = size[1] / trace.size[1], size[0] / trace.size[0]
            levels = _levels(model.rpn.anchor_generator, trace, padded)
            tried[factor] = best_ious(levels, boxes * torch.tensor([across, down, across, down]))
    best = max(tried, key=lambda one: round(float(tried[one][few].clamp(max=high).mean()), 1))
    return best, tried[best]


def _view(model: MaskRCNN, factor: float) -> NetworkView:
    shorter, longer = input_size(model)
    return NetworkView(round(shorter * factor), round(longer * factor))


def _fit(subject: Subject, factor: float = 1) -> AnchorFit:
    """Anchors fitted to the data set, maybe with a larger input."""
    assert subject.dataset is not None
    data, weights = subject.dataset.data, subject.weights
    count = sum(len(record.instances) for record in data.images)
    some = replace(data, images=data.images[:: max(1, count // MOST_OBJECTS)])
    return fit_anchors(some, _view(subject.model, factor), weights.arch, weights.options)


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


def advice(subject: Subject, iou: Tensor, boxes: Tensor, names: Sequence[str]) -> list[str]:
    """The objects that no anchor reaches, why, and the settings that were found to help.

    Args:
        subject: the image is one of its data set.
        iou: of the best anchor of each of N objects, (N,).
        boxes: of the objects, in the network's input, xyxy (N, 4).
        names: of the objects.

    Returns:
        One text, or none if anchors reach all objects.
    """
    model, matcher = subject.model, subject.model.rpn.proposal_matcher
    poor = iou < matcher.high_threshold
    if not poor.any():
        return []
    count, lost = int(poor.sum()), int((iou < matcher.low_threshold).sum())
    named = [
        f"{names[i]} ({iou[i]:.2f}: {misfit(model, boxes[i]) or 'between two sizes or points'})"
        for i in iou.argsort()[: min(MOST_NAMED, count)].tolist()
    ]
    text = f"{count} of {len(iou)} objects have no anchor of IoU {matcher.high_threshold:g}"
    text += f", {lost} of them none of {matcher.low_threshold:g}" if lost else ""
    text += f": {'; '.join(named)}" + (
        f"; {count - len(named)} more." if count > len(named) else "."
    )
    now = best_ious(anchor_levels(model, subject.trace), boxes)
    sizes, known = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt(), sizes_of(model)
    outside = poor & ((sizes < min(known)) | (sizes > max(known)))
    helpful = [
        f"Training with `{one.flags}` ({one.about}) would raise their mean best IoU from "
        f"{now[poor].mean():.2f} to {one.iou[poor].mean():.2f}; of all labelled objects "
        f"{one.shares[1]:.0%}, now {one.shares[0]:.0%}, would have an anchor of IoU {GOOD}."
        for one in alternatives(subject, boxes, outside)
        if one.helps(now, poor, (matcher.low_threshold, matcher.high_threshold))
    ]
    tried = (
        "No input up to 4 times as large or small and no fitted" if outside.any() else "No fitted"
    )
    none = f"{tried} anchors (`--anchors auto`) were found that help them without harm to others."
    return [" ".join([text, *(helpful or [none])])]
