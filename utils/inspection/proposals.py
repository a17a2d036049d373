"""From anchors to proposals, step by step, as torchvision's RPN goes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from nets.box_iou import sliced_box_iou
from utils.evaluation.coco_parameters import IOU_THRESHOLDS
from utils.inspection.subject import Subject
from utils.inspection.suppression import NOBODY, suppressors
from utils.inspection.trace import Trace


@dataclass(frozen=True)
class ProposalSteps:
    """What became of the T anchors that the RPN takes a nearer look at, the surest of each level.

    Attributes:
        anchors: their places among all anchors, int64 (T,).
        levels: int64 (T,), from 0 on.
        scores: objectness in 0..1, (T,).
        refined: the boxes the RPN makes of them, float32 (T, 4) xyxy in pixels of the input.
        clipped: the same within the image.
        large: bool (T,): neither too small nor below the RPN's score threshold (0 by default).
        suppressed_by: int64 (T,): which of the T removed it in the suppression within its level;
            -1 if none did.
        survivors: int64 (S,): those of the T that are left then, the surest first.
        limit: how many of the survivors are handed on; these are the proposals.
    """

    anchors: Tensor
    levels: Tensor
    scores: Tensor
    refined: Tensor
    clipped: Tensor
    large: Tensor
    suppressed_by: Tensor
    survivors: Tensor
    limit: int

    @property
    def kept(self) -> Tensor:
        """Which of the T became proposals, int64 (P,), the surest first."""
        return self.survivors[: self.limit]


@torch.inference_mode()
def proposal_steps(rpn: RegionProposalNetwork, seen: Trace) -> ProposalSteps:
    """Follow the RPN of a network in evaluation mode through an image that it looked at."""
    most, limit = rpn.pre_nms_top_n(), rpn.post_nms_top_n()
    offsets = [sum(seen.counts[:level]) for level in range(len(seen.counts))]
    chosen = [
        logits.topk(min(most, len(logits))).indices + offset
        for logits, offset in zip(seen.objectness.split(seen.counts), offsets, strict=True)
    ]
    anchors = torch.cat(chosen)
    levels = seen.levels[anchors]
    scores = seen.objectness[anchors].sigmoid()
    refined = refined_anchors(rpn, seen)[anchors]
    clipped = clip_boxes_to_image(refined, seen.size)
    large = torch.zeros_like(scores, dtype=torch.bool)
    large[remove_small_boxes(clipped, rpn.min_size)] = True
    large &= scores >= rpn.score_thresh
    places = torch.where(large)[0]
    boxes, groups = clipped[places], levels[places]
    left = batched_nms(boxes, scores[places], groups, rpn.nms_thresh)
    removed_by = suppressors(boxes, groups, left, rpn.nms_thresh)
    suppressed_by = torch.full((len(anchors),), NOBODY)
    lost = removed_by != NOBODY
    suppressed_by[places[lost]] = places[removed_by[lost]]
    return ProposalSteps(
        anchors, levels, scores, refined, clipped, large, suppressed_by, places[left], limit
    )


def refined_anchors(rpn: RegionProposalNetwork, seen: Trace) -> Tensor:
    """All anchors, moved as the RPN wants them, float32 (A, 4) xyxy in pixels of the input."""
    return rpn.box_coder.decode(seen.deltas, [seen.anchors]).reshape(-1, 4)


def objectness_map(seen: Trace) -> Tensor:
    """The highest objectness at each pixel of the network's input, 0..1, float32 (H, W), without
    the padding: over all anchors of the nearest point of each level."""
    height, width = seen.size
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    highest = torch.full((height, width), -torch.inf)
    for at_point in seen.surest().values():
        down, across = at_point.shape
        # torchvision's AnchorGenerator puts the points at whole multiples of the stride.
        steps = (
            side // count for side, count in zip(seen.batch.shape[-2:], (down, across), strict=True)
        )
        row, column = (
            (pixels / step).round().long().clamp(max=count - 1)
            for pixels, step, count in zip((rows, columns), steps, (down, across), strict=True)
        )
        highest = highest.maximum(at_point[row[:, None], column])
    return highest.sigmoid()


def level_counts(seen: Trace, steps: ProposalSteps) -> dict[str, list[int]]:
    """How many boxes of each level there are after each step, by the step's name as in
    ``journey``."""

    def counted(levels: Tensor) -> list[int]:
        return levels.bincount(minlength=len(seen.counts)).tolist()

    return {
        "anchors": seen.counts,
        "RPN ranking": counted(steps.levels[steps.large]),
        "RPN NMS": counted(steps.levels[steps.survivors]),
        "proposals": counted(steps.levels[steps.kept]),
    }


def best_fits(objects: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The highest IoU of each object, (N, 4) xyxy, with one of the boxes, (M, 4), and which of them
    it is, float32 and int64 (N,); 0 and -1 if there are no boxes."""
    if not len(boxes):
        return torch.zeros(len(objects)), torch.full((len(objects),), -1)
    best = sliced_box_iou(objects, boxes).max(dim=1)
    return best.values, best.indices


@torch.inference_mode()
def ranked_boxes(model: MaskRCNN, image: Tensor, objects: Tensor) -> tuple[Tensor, Tensor]:
    """All boxes that the suppression leaves, also those that are not handed on; the network is run
    as far as that.

    Args:
        model: of ``build_model``, in evaluation mode.
        image: float32 (channels, H, W) in 0..1, on the model's device.
        objects: boxes in it, (N, 4) xyxy.

    Returns:
        The boxes, (S, 4), the surest first, and the objects, both on the CPU, xyxy in pixels of the
        network's input.
    """
    batch, targets = model.transform([image], [{"boxes": objects}])
    rpn = copy(model.rpn)
    rpn.post_nms_top_n = lambda: sys.maxsize  # of the copy alone
    boxes, _ = rpn(batch, model.backbone(batch.tensors))
    return boxes[0].cpu(), targets[0]["boxes"].cpu()


def data_boxes(subject: Subject, count: int) -> list[tuple[Tensor, Tensor]]:
    """``ranked_boxes`` of so many other images of the data; none for a picture of one's own."""
    if subject.number is None:
        return []
    with subject.precision.autocast():
        return [
            ranked_boxes(subject.model, image, target["boxes"])
            for _, image, target in subject.others(count)
        ]


def best_of_first(proposals: Tensor, objects: Tensor, counts: list[int]) -> Tensor:
    """The best IoU of each object with one of the first so many proposals, float32 (N, counts).

    Args:
        proposals: (P, 4), xyxy, the surest first.
        objects: boxes (N, 4).
        counts: of proposals; there may be fewer.
    """
    over = torch.cat([torch.zeros(len(objects), 1), sliced_box_iou(objects, proposals)], dim=1)
    return over.cummax(dim=1).values[:, [min(count, len(proposals)) for count in counts]]


def recalls(proposals: Tensor, objects: Tensor, counts: list[int], iou: float) -> list[float]:
    """The shares of objects that one of the first so many proposals overlaps by ``iou`` at least.

    Args:
        proposals: (P, 4), xyxy, the surest first.
        objects: boxes (N, 4); N is at least 1.
        counts: of proposals.
    """
    return _recall(best_of_first(proposals, objects, counts), [iou])


def recall_lines(
    found: Sequence[tuple[Tensor, Tensor]], counts: list[int]
) -> dict[str, list[float]]:
    """The recall of all objects of several images with the first so many proposals of each: at an
    IoU of 0.5, of 0.7, and the mean over COCO's thresholds, by these names.

    Args:
        found: of each image, boxes (P, 4), the surest first, and objects (N, 4); at least one.
        counts: of boxes.
    """
    best = torch.cat([best_of_first(boxes, objects, counts) for boxes, objects in found])
    thresholds = {
        "IoU 0.5": [0.5], "IoU 0.7": [0.7], "mean of 0.5 to 0.95": IOU_THRESHOLDS.tolist()
    }  # fmt: skip
    return {name: _recall(best, ious) for name, ious in thresholds.items()}


def _recall(best: Tensor, ious: Sequence[float]) -> list[float]:
    """The share of objects whose best IoU, (N, counts), is that high, by count; the mean of it over
    several thresholds."""
    return torch.stack([(best >= iou).float().mean(dim=0) for iou in ious]).mean(dim=0).tolist()
