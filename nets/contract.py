"""The contract between data, network and evaluation: what a target and a prediction are.

Every ``Dataset`` of this project yields ``(image, Target)``; every predictor yields ``Prediction``.
torchvision's Mask R-CNN accepts many wrong targets silently (masks of another size, value 255,
label 0, NaN boxes) and trains a wrong model on them, so ``check_target`` looks at each one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from nets.compact_masks import CompactMasks


class Target(TypedDict):
    """The objects of one image; N may be 0, with shapes (0, 4), (0,) and (0, H, W)."""

    boxes: Tensor  # float32 (N, 4) xyxy in pixels, x1 < x2, y1 < y2, inside the image
    labels: Tensor  # int64 (N,) 1..K; 0 is background and never appears
    masks: Tensor | CompactMasks  # uint8 0/1 (N, H, W)
    image_id: int
    area: Tensor  # float32 (N,), mask pixels
    iscrowd: Tensor  # int64 (N,) 0/1


class Prediction(TypedDict):
    """The objects found in one image, at the size of the original image; M may be 0."""

    boxes: Tensor  # float32 (M, 4) xyxy in pixels
    labels: Tensor  # int64 (M,) 1..K
    scores: Tensor  # float32 (M,) 0..1, sorted down
    masks: list[dict[str, Any]]  # M COCO run-length codes {"size": [H, W], "counts": str}


class TargetError(ValueError):
    """A target breaks the contract; the message says where it came from and how."""


def check_target(target: Target, height: int, width: int, num_classes: int, source: str) -> None:
    """Hold one target against the contract.

    Args:
        target: what the dataset yields beside its image.
        height, width: the image's size in pixels.
        num_classes: K + 1, background included.
        source: names the image in the message, usually its path.

    Raises:
        TargetError: naming ``source``, the field, and what is wrong with it.
    """

    def fail(field: str, problem: str) -> None:
        raise TargetError(f"{source}: target {field!r} {problem}")

    for field in sorted(Target.__required_keys__ - target.keys()):
        fail(field, "is missing")
    boxes, labels, masks = target["boxes"], target["labels"], target["masks"]
    count = len(labels)
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {
        "boxes": (torch.float32, (count, 4)),
        "labels": (torch.int64, (count,)),
        "masks": (torch.uint8, (count, height, width)),
        "area": (torch.float32, (count,)),
        "iscrowd": (torch.int64, (count,)),
    }
    for field, (dtype, shape) in expected.items():
        value: Tensor = target[field]  # type: ignore[literal-required]
        if value.dtype != dtype or tuple(value.shape) != shape:
            found = f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
            fail(field, f"is {found}, must be {str(dtype).removeprefix('torch.')} {shape}")
    if count == 0:
        return
    if not torch.isfinite(boxes).all():
        fail("boxes", "holds a number that is not finite")
    if not (boxes[:, 2:] > boxes[:, :2]).all():
        fail("boxes", "holds a box without width or height")
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    if (boxes < 0).any() or (boxes > limit).any():
        fail("boxes", f"reaches outside the {width}x{height} image")
    if int(labels.min()) < 1 or int(labels.max()) >= num_classes:
        fail("labels", f"must lie in 1..{num_classes - 1}, found {sorted(set(labels.tolist()))}")
    crops = masks.crops() if isinstance(masks, CompactMasks) else list(masks)
    highest = max(int(crop.max()) if crop.numel() else 0 for crop in crops)
    if highest > 1:
        fail("masks", f"must be 0 or 1, found {highest}")
    if not all(crop.any() for crop in crops):
        fail("masks", "holds a mask without a pixel")


def above(prediction: Prediction, thresholds: Sequence[float]) -> Prediction:
    """The detections with a score of at least the threshold of their class."""
    return chosen(prediction, are_shown(prediction["scores"], prediction["labels"], thresholds))


def are_shown(scores: Tensor, labels: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Which scores (M,) are at least the threshold of their class, bool (M,).

    Args:
        scores: floats (M,).
        labels: int64 (M,), 1..K.
        thresholds: of the K classes, in label order.
    """
    # In float64: in float32 a threshold between two neighbouring scores would be one of them.
    return scores.double() >= torch.tensor(thresholds, dtype=torch.float64)[labels - 1]


def chosen(prediction: Prediction, kept: Tensor) -> Prediction:
    """Some of the detections; ``kept`` is bool (M,)."""
    return Prediction(
        boxes=prediction["boxes"][kept],
        labels=prediction["labels"][kept],
        scores=prediction["scores"][kept],
        masks=[mask for mask, is_kept in zip(prediction["masks"], kept, strict=True) if is_kept],
    )
