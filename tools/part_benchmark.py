"""Parts of the network in torchvision's way and ours, by turns: RoIAlign, and the target masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from nets.roi_align import RowsRoIAlign, set_strides
from tools.benchmark_data import drawn_instances
from tools.machine import CPU, comparison, taking_turns
from utils.data.records import ImageRecord, instance_masks
from utils.data.targets import record_target

MAP_SIZES = ((32, 32), (64, 64), (128, 128), (200, 288))  # rows and columns of the largest map
IMAGES, CHANNELS, BOXES, BINS = 2, 256, 512, 7
LEVELS, STRIDES = ["0", "1", "2", "3"], (4, 8, 16, 32)
PICTURE = (800, 1200)  # height and width in pixels
OBJECTS, ROIS = (1, 10, 100, 300), 128


class Case(NamedTuple):
    """One comparison: two functions that do the same."""

    name: str
    reference: Callable[[], object]
    ours: Callable[[], object]


def roi_align_cases() -> Iterator[Case]:
    """RoIAlign over a pyramid: both dtypes, with and without the backward pass."""
    torch.manual_seed(0)
    for dtype in (torch.bfloat16, torch.float32):
        for training in (True, False):
            for rows, columns in MAP_SIZES:
                maps = {
                    name: torch.randn(IMAGES, CHANNELS, rows >> i, columns >> i, dtype=dtype)
                    .to(memory_format=torch.channels_last)
                    .requires_grad_(training)
                    for i, name in enumerate(LEVELS)
                }
                corner = torch.rand(IMAGES, BOXES, 2) * torch.tensor([3.2 * columns, 3.2 * rows])
                sides = 20 + 60 * torch.rand(IMAGES, BOXES, 2)
                boxes = list(torch.cat([corner, corner + sides], dim=2))
                what = "training" if training else "inference"
                name = f"roi-align {str(dtype)[6:]} {what} {rows * columns} cells"
                pools = [kind(LEVELS, BINS, 2) for kind in (MultiScaleRoIAlign, RowsRoIAlign)]
                for pool in pools:
                    set_strides(pool, STRIDES)
                size = (4 * rows, 4 * columns)
                ways = [partial(pool_once, pool, maps, boxes, size) for pool in pools]
                yield Case(name, *ways)


def pool_once(
    pool: MultiScaleRoIAlign, maps: dict[str, Tensor], boxes: list[Tensor], size: tuple[int, int]
) -> Tensor:
    """Forward and, for maps with a gradient, backward."""
    first = maps["0"]
    with (
        torch.set_grad_enabled(first.requires_grad),
        torch.autocast("cpu", torch.bfloat16, enabled=first.dtype == torch.bfloat16),
    ):
        out: Tensor = pool(maps, boxes, [size] * IMAGES)
    if out.requires_grad:
        out.float().sum().backward()
    return out


def mask_cases() -> Iterator[Case]:
    """Target masks on their way from the outline to the mask targets of the RoIs, at full size as
    torchvision has it and cut to their boxes: rasterised, resized as the model does, projected."""
    rng = np.random.default_rng(0)
    for objects in OBJECTS:
        instances = drawn_instances(rng, PICTURE, objects, (10, 60))
        record = ImageRecord(1, Path("drawn.png"), PICTURE[1], PICTURE[0], instances)
        ways = (partial(mask_targets, record, compact) for compact in (False, True))
        yield Case(f"masks {objects} objects", *ways)


def mask_targets(record: ImageRecord, compact: bool) -> Tensor:
    """The 28x28 targets of some regions."""
    if compact:
        masks = record_target(record, compact_masks=True)["masks"]
    else:
        masks = torch.from_numpy(instance_masks(record))
    image, boxes = torch.zeros(3, *PICTURE), record_boxes(record)
    transform = GeneralizedRCNNTransform(800, 1333, [0.0] * 3, [1.0] * 3)
    target = transform([image], [{"boxes": boxes, "masks": masks}])[1][0]
    numbers = torch.arange(ROIS) % len(boxes)
    return project_masks_on_boxes(target["masks"], target["boxes"][numbers], numbers, 28)


def record_boxes(record: ImageRecord) -> Tensor:
    """The boxes of all objects, float32 (N, 4) xyxy."""
    boxes = torch.tensor([instance.bbox for instance in record.instances])
    boxes[:, 2:] += boxes[:, :2]
    return boxes.float()


def compare(cases: Iterator[Case], rounds: int) -> Iterator[dict[str, Any]]:
    """Median seconds of both ways of each case."""
    for case in cases:
        medians = taking_turns({"reference": case.reference, "ours": case.ours}, CPU, rounds)
        yield comparison(case.name, **medians)
