"""From proposals to detections, step by step, as torchvision's RoI heads go."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from utils.inspection.suppression import suppressors
from utils.inspection.trace import Trace

SMALLEST = 1e-2  # sides of a detection's box in pixels, as in torchvision


@dataclass(frozen=True)
class DetectionSteps:
    """What became of P proposals for K classes; a candidate is a proposal taken for a class.

    Attributes:
        scores: softmax over background and classes, (P, K + 1).
        boxes: of each proposal for each class, refined and within the image, (P, K + 1, 4) xyxy in
            pixels of the input; those of background mean nothing.
        proposals: of each of the C candidates above the score threshold, int64 (C,).
        labels: int64 (C,), 1..K.
        suppressed_by: which candidate removed it in the suppression within its class, int64 (C,);
            -1 if none did.
        survivors: those left then, int64 (S,), the surest first.
        limit: how many of them are given at most; these are the detections.
        least: the score a candidate must be above.
    """

    scores: Tensor
    boxes: Tensor
    proposals: Tensor
    labels: Tensor
    suppressed_by: Tensor
    survivors: Tensor
    limit: int
    least: float

    @property
    def kept(self) -> Tensor:
        """Which candidates became detections, int64 (D,), the surest first."""
        return self.survivors[: self.limit]

    @property
    def candidate_scores(self) -> Tensor:
        """Of each candidate for its class, (C,)."""
        return self.scores[self.proposals, self.labels]

    @property
    def candidate_boxes(self) -> Tensor:
        """Of each candidate for its class, (C, 4)."""
        return self.boxes[self.proposals, self.labels]


@torch.inference_mode()
def detection_steps(heads: RoIHeads, seen: Trace) -> DetectionSteps:
    """Follow the box head of a network in evaluation mode through an image that it looked at."""
    scores = seen.class_logits.softmax(-1)
    boxes = heads.box_coder.decode(seen.box_regression, [seen.proposals])
    boxes = clip_boxes_to_image(boxes, seen.size)
    rows, columns = torch.where(scores[:, 1:] > heads.score_thresh)
    labels = columns + 1
    large = remove_small_boxes(boxes[rows, labels], SMALLEST)
    rows, labels = rows[large], labels[large]
    of_class = boxes[rows, labels]
    left = batched_nms(of_class, scores[rows, labels], labels, heads.nms_thresh)
    removed_by = suppressors(of_class, labels, left, heads.nms_thresh)
    return DetectionSteps(
        scores, boxes, rows, labels, removed_by, left, heads.detections_per_img, heads.score_thresh
    )
