"""Anchors fitted to the training objects, as ``--anchors auto`` asks.

An object trains the RPN well if some anchor overlaps it with an IoU of 0.7 (Faster R-CNN's
threshold, torchvision's ``rpn_fg_iou_thresh``). Because anchors lie on the grids of the feature
maps, the anchor of any size and ratio that overlaps an object most is the one on the grid point
nearest to its centre, so the best IoU is computed exactly and without listing the anchors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from nets.anchors import feature_strides, ratios_of, sizes_of
from nets.mask_rcnn import build_model
from utils.data.records import RecordSet
from utils.doctor.network_view import NetworkView

GOOD, FAIR = 0.7, 0.5  # IoU of an anchor with its object
MOST_OBJECTS = 5000  # evenly spread over a larger data set
LEAST_GAIN = 0.002  # in mean IoU; a smaller one is not worth leaving what an RPN was trained with
PADDING = 32  # torchvision pads images to a multiple of so many pixels
# Sizes are tried from a quarter to the double of the network's own, ratios from a quarter to four
# times, in quarters of an octave: a level far from its own size would see its objects through a
# grid too coarse, or as a small piece.
SIZE_STEPS, RATIO_STEPS = range(-8, 5), range(-8, 9)


@dataclass(frozen=True)
class AnchorFit:
    """The anchors to train with, and what they are worth.

    ``options`` are keywords of ``build_model``, none if the network's own anchors stay. ``before``
    and ``after`` are the shares of objects with an anchor of IoU >= 0.7 and >= 0.5.
    """

    sizes: tuple[float, ...]
    ratios: tuple[float, ...]
    before: tuple[float, float]
    after: tuple[float, float]
    options: dict[str, list[float]]

    def __str__(self) -> str:
        sizes, ratios = (", ".join(f"{x:g}" for x in v) for v in (self.sizes, self.ratios))
        kind = "fitted to the objects" if self.options else "the network's own fit best"
        shares = [
            f"{before:.1%} -> {after:.1%}" if self.options else f"{before:.1%}"
            for before, after in zip(self.before, self.after, strict=True)
        ]
        return (
            f"anchors: {kind}, sizes {sizes} px of the network's input, height / width {ratios}; "
            f"objects with an anchor of IoU >= {GOOD}: {shares[0]}, >= {FAIR}: {shares[1]}"
        )


def fit_anchors(
    data: RecordSet, view: NetworkView, arch: str, options: Mapping[str, Any]
) -> AnchorFit:
    """Fit the sizes and ratios of a network's anchors to the objects it is to be trained on.

    One size or ratio at a time is moved to where it raises the mean best IoU most, until none does;
    IoUs above 0.7 count as 0.7, they help no more. Numbers of anchors stay, and so does what no
    object asks for, so that a pretrained RPN is left as near to its own anchors as can be. If the
    outcome were worse in the mean of both shares, the network's own anchors would stay.

    Args:
        data: the training images; crowds do not count.
        view: the network's input; its anchors are not looked at.
        arch: a name in ``nets.mask_rcnn.ARCHITECTURES``.
        options: keywords of ``build_model`` that the network is built with.
    """
    with torch.device("meta"):  # no weights are made
        model = build_model(arch, 2, **options)
    own = Anchors.of(model)
    objects = PlacedObjects.of(*resized_boxes(data, view), model, feature_strides(model))
    before = objects.shares(own)
    fitted = _climb(own, objects)
    after = objects.shares(fitted)
    if fitted == own or sum(after) < sum(before):
        return AnchorFit(own.sizes, own.ratios, before, before, {})
    found = {"anchor_sizes": list(fitted.sizes), "aspect_ratios": list(fitted.ratios)}
    return AnchorFit(fitted.sizes, fitted.ratios, before, after, found)


class Anchors(NamedTuple):
    """Sizes and ratios of a network's anchors, both ascending."""

    sizes: tuple[float, ...]
    ratios: tuple[float, ...]

    @classmethod
    def of(cls, model: MaskRCNN) -> Anchors:
        """A network's own."""
        return cls(sizes_of(model), ratios_of(model))

    def moved(self, own: Anchors) -> Iterator[Anchors]:
        """All anchors that differ from these in one number and ascend too."""
        for field, steps, digits in (("sizes", SIZE_STEPS, 0), ("ratios", RATIO_STEPS, 3)):
            values: tuple[float, ...] = getattr(self, field)
            for place, start in enumerate(getattr(own, field)):
                for step in steps:
                    value = round(start * 2 ** (step / 4), digits)
                    other = (*values[:place], value, *values[place + 1 :])
                    if all(a < b for a, b in pairwise((0, *other))):
                        yield self._replace(**{field: other})


def resized_boxes(data: RecordSet, view: NetworkView) -> tuple[Tensor, Tensor]:
    """The objects of a data set as a network sees them, evenly spread over a large one.

    Returns:
        Boxes, xyxy in pixels of its input, float64 (N, 4), and width and height of the padded
        input that each lies in, float64 (N, 2).
    """
    rows = [
        (*one.bbox, record.width, record.height)
        for record in data.images
        for one in record.instances
        if not one.iscrowd and one.area
    ]
    rows = rows[:: -(-len(rows) // MOST_OBJECTS) or 1]
    numbers = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    images = numbers[:, 4:]
    scales = torch.tensor([view.scale(width, height) for width, height in images.tolist()])
    resized = (images * scales.reshape(-1, 1)).floor().clamp(min=1)
    ratio = resized / images  # torchvision resizes boxes by what became of the sides
    corners, sides = numbers[:, :2] * ratio, numbers[:, 2:4] * ratio
    return torch.cat([corners, corners + sides], dim=1), padded(resized)


def padded(size: Tensor) -> Tensor:
    """What torchvision pads sizes of resized images to, whole pixels of any shape."""
    return (size / PADDING).ceil() * PADDING


@dataclass(frozen=True)
class PlacedObjects:
    """Objects as the network sees them: half sides (N, 2), and for each level the distances of
    their centres from its nearest grid point, (L, N, 2), in pixels, x before y.

    ``places`` are level and number of the size for every kind of anchor but its ratio.
    """

    halves: Tensor
    distances: Tensor
    places: tuple[tuple[int, int], ...]

    @classmethod
    def of(
        cls, boxes: Tensor, inputs: Tensor, model: MaskRCNN, strides: Sequence[int]
    ) -> PlacedObjects:
        """Boxes and inputs as of ``resized_boxes``, or one input (2,) for all; strides as of
        ``feature_strides``."""
        corners, others = boxes.double().split(2, dim=1)
        halves, centers = (others - corners) / 2, (others + corners) / 2
        inputs = inputs.expand_as(centers)
        grids = torch.stack([(inputs / stride).ceil() for stride in strides])
        steps = inputs // grids  # torchvision's own: whole pixels, where the map was rounded up
        nearest = (centers / steps).round().clamp(min=0).minimum(grids - 1) * steps
        own = sizes_of(model)
        places = tuple(
            (level, own.index(size))
            for level, sizes in enumerate(model.rpn.anchor_generator.sizes)
            for size in sizes
        )
        return cls(halves, (centers - nearest).abs(), places)

    def best_ious(self, anchors: Anchors) -> Tensor:
        """The largest IoU of each object with an anchor, float64 (N,)."""
        places = [(level, anchors.sizes[n], r) for level, n in self.places for r in anchors.ratios]
        level, size, ratio = (
            torch.tensor(v, dtype=torch.float64) for v in zip(*places, strict=True)
        )
        sides = size[:, None] * torch.stack([1 / ratio.sqrt(), ratio.sqrt()], dim=1)
        halves = (sides / 2).round()[:, None]  # as AnchorGenerator rounds; (A, 1, 2)
        reach = halves + self.halves - self.distances[level.long()]
        overlap = reach.minimum(2 * halves).minimum(2 * self.halves).clamp(min=0).prod(2)
        areas = 4 * (halves.prod(2) + self.halves.prod(1))
        return (overlap / (areas - overlap)).amax(0)

    def score(self, anchors: Anchors) -> float:
        """The mean best IoU, as far as it helps."""
        return float(self.best_ious(anchors).clamp(max=GOOD).mean())

    def shares(self, anchors: Anchors) -> tuple[float, float]:
        """The shares of objects with an anchor of IoU >= 0.7 and >= 0.5; 1 without objects."""
        best = self.best_ious(anchors)
        good, fair = (
            float((best >= least).double().mean()) if len(best) else 1.0 for least in (GOOD, FAIR)
        )
        return good, fair


def _climb(own: Anchors, objects: PlacedObjects) -> Anchors:
    """The steepest way up from a network's own anchors."""
    best, score = own, objects.score(own)
    while len(objects.halves):
        tried = {anchors: objects.score(anchors) for anchors in best.moved(own)}
        found = max(tried, key=lambda anchors: tried[anchors])
        if tried[found] < score + LEAST_GAIN:
            break
        best, score = found, tried[found]
    return best
