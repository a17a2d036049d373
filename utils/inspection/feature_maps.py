"""Numbers of feature maps: what their channels do over several images, and where they answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.nn import functional as F

from utils.drawing import DrawnObject
from utils.inspection.subject import Subject
from utils.inspection.trace import Maps, Trace, on_cpu, outputs_of

OTHERS = 4  # images beside the subject's own: one image says little about a channel
CONSTANT = 1e-3  # of its own largest value a dead channel may vary by; bf16 rounds more coarsely
NOISY = 0.1  # lag-one autocorrelation below which neighbouring points know nothing of each other
# Where few points see the image each sees other objects, and neighbours differ in good networks.
LEAST_POINTS = 200


@dataclass(frozen=True)
class ChannelActivity:
    """What the C channels of a map did over some images.

    Attributes:
        lowest, highest: of their values, (C,).
        variance: within an image, (C,), the mean of the images.
        jump: mean squared difference of points side by side or one above the other, (C,).
        points: of the map, the mean of the images.
        images: how many they were.
    """

    lowest: Tensor
    highest: Tensor
    variance: Tensor
    jump: Tensor
    points: float
    images: int = 1

    @property
    def finite(self) -> Tensor:
        """Channels without values that are infinite or NaN, bool (C,)."""
        return self.lowest.isfinite() & self.highest.isfinite()

    @property
    def autocorrelation(self) -> Tensor:
        """How alike neighbouring points are, (C,): 1 in smooth maps, 0 in white noise, -1 in a
        chessboard (Moran's and Geary's statistics, for large maps); nan of constant channels."""
        return 1 - self.jump / 2 / self.variance

    @property
    def dead(self) -> Tensor:
        """Channels with one value at all points of all images, bool (C,); after a ReLU it is 0."""
        largest = torch.maximum(self.lowest.abs(), self.highest.abs())
        return self.finite & (self.highest - self.lowest <= CONSTANT * largest)

    @property
    def judges_noise(self) -> bool:
        """Whether the map has enough points to call its channels noisy."""
        return self.points >= LEAST_POINTS

    @property
    def noisy(self) -> Tensor:
        """Channels whose neighbouring points know nothing of each other, bool (C,)."""
        return self.finite & ~self.dead & (self.autocorrelation < NOISY) & self.judges_noise


def channel_activity(values: Tensor) -> ChannelActivity:
    """Of a map (C, h, w) of one image, of any floating-point type."""
    values = values.float()
    jumps = [values.diff(dim=axis).square_().flatten(1) for axis in (1, 2)]
    pairs = jumps[0].shape[1] + jumps[1].shape[1]
    return ChannelActivity(
        lowest=values.amin((1, 2)),
        highest=values.amax((1, 2)),
        variance=(values - values.mean((1, 2), keepdim=True)).square_().mean((1, 2)),
        jump=(jumps[0].sum(1) + jumps[1].sum(1)) / max(1, pairs),
        points=values[0].numel(),
    )


def over_images(parts: Sequence[ChannelActivity]) -> ChannelActivity:
    """What the same channels did over several images, each counted alike."""

    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(part, name) for part in parts])

    return ChannelActivity(
        lowest=stacked("lowest").amin(0),
        highest=stacked("highest").amax(0),
        variance=stacked("variance").mean(0),
        jump=stacked("jump").mean(0),
        points=sum(part.points for part in parts) / len(parts),
        images=len(parts),
    )


def channel_activities(subject: Subject) -> dict[str, ChannelActivity]:
    """Of all maps of backbone and pyramid, by name, over the subject's image and up to four others
    of its data set, of which only the backbone looks."""
    trace = subject.trace
    names = (*trace.body, *trace.features)
    parts = [[channel_activity(map) for map in own_maps(trace).values()]]
    for _, image, _ in subject.others(OTHERS):
        parts.append([channel_activity(map) for map in _maps_of(subject, image)])
    levels = zip(*parts, strict=True)
    return {name: over_images(level) for name, level in zip(names, levels, strict=True)}


def own_maps(trace: Trace) -> Maps:
    """The maps of backbone and pyramid without what lies over the padding, float32 (C, h, w)."""
    maps = {**trace.body, **trace.features}
    return {name: _own_part(values, trace.batch, trace.size) for name, values in maps.items()}


@torch.inference_mode()
def _maps_of(subject: Subject, image: Tensor) -> Iterable[Tensor]:
    model = subject.model
    batch, _ = model.transform([image])
    with (
        subject.precision.autocast(),
        outputs_of({"body": model.backbone.body, "backbone": model.backbone}) as kept,
    ):
        model.backbone(batch.tensors)
    maps = on_cpu([*kept["body"].values(), *kept["backbone"].values()])
    return (_own_part(values, batch.tensors, batch.image_sizes[0]) for values in maps)


def _own_part(values: Tensor, batch: Tensor, size: tuple[int, int]) -> Tensor:
    """Of a map (1, C, h, w) what looks at the image, (C, h, w), without the padding beside it."""
    rows, columns = (
        math.ceil(side * points / padded)
        for side, points, padded in zip(size, values.shape[2:], batch.shape[2:], strict=True)
    )
    return values[0, :, :rows, :columns].float()


def objectness_maps(trace: Trace) -> Maps:
    """For each level of the pyramid how sure the RPN is of an object at each point, float32 (h, w)
    in 0..1, the surest of the anchors there; without the padding, as ``own_maps``."""
    return {
        name: _own_part(logits[None, None], trace.batch, trace.size)[0].sigmoid()
        for name, logits in trace.surest().items()
    }


def object_cover(trace: Trace, objects: Sequence[DrawnObject]) -> Maps:
    """How much of what each point stands for is labelled, for each map, float32 (h, w) in 0..1;
    without the padding, as ``own_maps``. Every pixel of the image is its nearest point's."""
    union = coco_mask.decode(coco_mask.merge([one.rle for one in objects])).astype(np.float32)
    mask = F.interpolate(torch.from_numpy(union)[None, None], trace.size, mode="area")[0, 0]
    cover = {}
    for name, values in {**trace.body, **trace.features}.items():
        down, across = (
            _nearest(side, padded / points)
            for side, padded, points in zip(
                trace.size, trace.batch.shape[2:], values.shape[2:], strict=True
            )
        )
        cover[name] = down @ mask @ across.T / torch.outer(down.sum(1), across.sum(1))
    return cover


def _nearest(side: int, stride: float) -> Tensor:
    """Which pixels of a row are nearest to each of n points, which stand where anchors do, the
    first in the corner: float32 (n, side), 1 or 0."""
    points = torch.arange(math.ceil(side / stride))
    nearest = ((torch.arange(side) + 0.5) / stride).round().clamp(max=len(points) - 1)
    return (nearest == points[:, None]).float()


def strength_inside(values: Tensor, cover: Tensor) -> float:
    """The mean of (h, w) inside objects in units of that outside, nan if there is none; ``cover``
    as of ``object_answers``."""
    inside, outside = _inside_and_outside(values[None], cover)
    return float(inside / outside)


def object_answers(values: Tensor, cover: Tensor) -> Tensor:
    """How much higher channels are on objects: mean inside minus mean outside, in standard
    deviations over the image.

    Args:
        values: float (C, h, w).
        cover: (h, w) in 0..1, 1 inside.

    Returns:
        (C,); 0 of channels that are constant or not finite, and of all if there is no inside or
        no outside.
    """
    inside, outside = _inside_and_outside(values, cover)
    answers = (inside - outside) / values.std((1, 2), correction=0)
    return torch.where(answers.isfinite(), answers, 0)


def _inside_and_outside(values: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """Means of (C, h, w), two (C,); nan of what there is not."""
    inside, outside = ((values * share).sum((1, 2)) / share.sum() for share in (cover, 1 - cover))
    return inside, outside
