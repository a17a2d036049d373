"""A score threshold for each class, in place of torchvision's one for all.

It acts before the cut to the surest detections, so that what no one asked for takes no place among
them, and before the mask head. Non-maximum suppression is per class and goes from the surest down:
what is removed before it would not have removed anything that stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

SMALLEST = 1e-2  # sides of a box in pixels, as in torchvision
Parts = tuple[list[Tensor], list[Tensor], list[Tensor]]


def set_class_thresholds(heads: RoIHeads, thresholds: Sequence[float]) -> None:
    """Let the heads give detections of at least these scores, by class in label order.

    Raises:
        ValueError: another number of thresholds than of classes.
    """
    classes = heads.box_predictor.cls_score.out_features - 1
    if len(thresholds) != classes:
        raise ValueError(f"{len(thresholds)} thresholds for {classes} classes")
    heads.postprocess_detections = partial(_postprocess, heads, _least(thresholds))


def _least(thresholds: Sequence[float]) -> Tensor:
    """The least float32 scores that are not below these numbers.

    Merely rounded, a threshold between two neighbouring scores would be one of them.
    """
    exact = torch.tensor(thresholds, dtype=torch.float64)
    rounded = exact.float()
    return torch.where(rounded < exact, rounded.nextafter(torch.tensor(torch.inf)), rounded)


def _postprocess(
    heads: RoIHeads,
    least: Tensor,
    class_logits: Tensor,
    box_regression: Tensor,
    proposals: list[Tensor],
    image_shapes: list[tuple[int, int]],
) -> Parts:
    """As ``RoIHeads.postprocess_detections``; only the boxes that stay are decoded."""
    scores = class_logits.softmax(-1)[:, 1:]
    codes = box_regression.view(*class_logits.shape, 4)[:, 1:]
    counts = [len(boxes) for boxes in proposals]
    parts = [
        _of_image(heads, least.to(scores.device), *image)
        for image in zip(
            proposals, image_shapes, scores.split(counts), codes.split(counts), strict=True
        )
    ]
    boxes, found, labels = zip(*parts, strict=True)
    return list(boxes), list(found), list(labels)


def _of_image(
    heads: RoIHeads,
    least: Tensor,
    proposals: Tensor,
    shape: tuple[int, int],
    scores: Tensor,
    codes: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, columns = torch.where(scores >= least)
    boxes = heads.box_coder.decode_single(codes[rows, columns], proposals[rows])
    boxes = clip_boxes_to_image(boxes, shape)
    large = remove_small_boxes(boxes, SMALLEST)
    boxes, found, labels = boxes[large], scores[rows, columns][large], columns[large] + 1
    kept = batched_nms(boxes, found, labels, heads.nms_thresh)[: heads.detections_per_img]
    return boxes[kept], found[kept], labels[kept]
