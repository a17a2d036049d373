"""From anchors to proposals, step by step, as torchvision's RPN goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

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
    refined = rpn.box_coder.decode(seen.deltas, [seen.anchors]).reshape(-1, 4)[anchors]
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


def recalls(proposals: Tensor, objects: Tensor, counts: list[int], iou: float) -> list[float]:
    """The shares of objects that one of the first so many proposals overlaps by ``iou`` at least.

    Args:
        proposals: (P, 4), xyxy, the surest first.
        objects: boxes (N, 4); N is at least 1.
        counts: of proposals.
    """
    over = box_iou(objects, proposals) >= iou
    return [float(over[:, :count].any(dim=1).float().mean()) for count in counts]
