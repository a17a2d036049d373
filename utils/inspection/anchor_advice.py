"""Objects of an image that no anchor overlaps well, and the settings of a training that would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from nets.anchors import sizes_of
from nets.mask_rcnn import input_size
from utils.data.records import RecordSet
from utils.doctor.network_view import NetworkView
from utils.inspection.anchors import misfit
from utils.inspection.subject import Subject
from utils.training.anchor_fit import (
    GOOD,
    Anchors,
    PlacedObjects,
    fit_anchors,
    padded,
    resized_boxes,
)

# Of the input's size, half an octave apart; those near to the present size are tried first.
FACTORS = (1, 1.41, 0.71, 2, 0.5, 2.83, 0.35, 4, 0.25)
LARGEST_INPUT = 3000  # pixels; few GPUs train on more
MOST_OBJECTS = 500  # of a data set that settings are judged by; evenly spread over more
GAIN = 0.05  # in mean IoU that is worth a training
LOSS = 0.02  # in the share of a data set's objects that is too much for it
MOST_NAMED = 3


@dataclass(frozen=True)
class Alternative:
    """Other settings of ``train.py``, and what they would be worth.

    Attributes:
        flags: as given on the command line.
        about: what they change.
        iou: of the best anchor of each of the image's N objects then, (N,).
        shares: of the sampled objects that have an anchor of IoU >= 0.7, now and then.
        sampled: how many objects of the data set these are.
    """

    flags: str
    about: str
    iou: Tensor
    shares: tuple[float, float]
    sampled: int

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
    model, own, some = subject.model, Anchors.of(subject.model), _sample(subject)
    placed = _placed(subject, *resized_boxes(some, _view(model)))
    (now, _), sampled = placed.shares(own), len(placed.halves)
    found = []
    if outside.any():
        factor, iou = _other_size(subject, boxes, outside)
        view = _view(model, factor)
        flags = f"--min-size {view.min_size} --max-size {view.max_size}"
        about = f"the image would be {factor:g} times as large to the network"
        then, _ = _placed(subject, *resized_boxes(some, view)).shares(own)
        found.append(Alternative(flags, about, iou, (now, then), sampled))
    fit = fit_anchors(some, _view(model), subject.weights.arch, subject.weights.options)
    if fit.options:
        height, width = subject.trace.batch.shape[-2:]
        here = _placed(subject, boxes, torch.tensor([width, height]))
        iou = here.best_ious(Anchors(fit.sizes, fit.ratios)).float()
        sizes, ratios = (", ".join(f"{x:g}" for x in values) for values in (fit.sizes, fit.ratios))
        about = f"sizes {sizes} px, height / width {ratios}"
        found.append(Alternative("--anchors auto", about, iou, (now, fit.after[0]), sampled))
    return found


def factors(model: MaskRCNN) -> list[float]:
    """How many times as large the network's input is tried."""
    return [one for one in FACTORS if one <= 1 or _view(model, one).max_size <= LARGEST_INPUT]


def _other_size(subject: Subject, boxes: Tensor, few: Tensor) -> tuple[float, Tensor]:
    """The factor of the input's size at which anchors meet these few of the objects best, the least
    change among those about as good, and the best IoU of each object then."""
    model, trace = subject.model, subject.trace
    high, own = model.rpn.proposal_matcher.high_threshold, Anchors.of(model)
    present = torch.tensor(trace.size[::-1])
    tried = {}
    for factor in factors(model):
        scale = _view(model, factor).scale(*trace.original[::-1])
        size = (torch.tensor(trace.original[::-1]) * scale).floor().clamp(min=1)
        there = _placed(subject, boxes * (size / present).repeat(2), padded(size))
        tried[factor] = there.best_ious(own).float()
    best = max(tried, key=lambda one: round(float(tried[one][few].clamp(max=high).mean()), 1))
    return best, tried[best]


def _view(model: MaskRCNN, factor: float = 1) -> NetworkView:
    shorter, longer = input_size(model)
    return NetworkView(round(shorter * factor), round(longer * factor))


def _placed(subject: Subject, boxes: Tensor, inputs: Tensor) -> PlacedObjects:
    strides = list(subject.trace.strides().values())
    return PlacedObjects.of(boxes, inputs, subject.model, strides)


def _sample(subject: Subject) -> RecordSet:
    """Some images of the subject's part of its data, evenly spread."""
    assert subject.dataset is not None
    data = subject.dataset.data
    count = sum(len(record.instances) for record in data.images)
    return replace(data, images=data.images[:: max(1, count // MOST_OBJECTS)])


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
    text += f": {'; '.join(named)}"
    text += f"; {count - len(named)} more." if count > len(named) else "."
    sizes, known = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt(), sizes_of(model)
    outside = poor & ((sizes < min(known)) | (sizes > max(known)))
    helpful = [
        f"Training with `{one.flags}` ({one.about}) would raise their mean best IoU from "
        f"{iou[poor].mean():.2f} to {one.iou[poor].mean():.2f}; of {one.sampled} sampled objects "
        f"of this part {one.shares[1]:.0%}, now {one.shares[0]:.0%}, would have an anchor of IoU "
        f"{GOOD}; training may fit others."
        for one in alternatives(subject, boxes, outside)
        if one.helps(iou, poor, (matcher.low_threshold, matcher.high_threshold))
    ]
    return [" ".join([text, *(helpful or [_nothing_found(model, bool(outside.any()))])])]


def _nothing_found(model: MaskRCNN, resized: bool) -> str:
    tried = "Fitted anchors (`--anchors auto`) were tried"
    if resized:
        sizes = ", ".join(f"{one:g}" for one in sorted(factors(model)) if one != 1)
        tried += f", and inputs {sizes} times as large"
    return f"{tried}; nothing helps them without harm to others."
