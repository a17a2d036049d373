"""From proposals to detections, step by step, as torchvision's RoI heads go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import batched_nms, clip_boxes_to_image, nms, remove_small_boxes

from nets.contract import are_shown
from utils.inspection.suppression import suppressors
from utils.inspection.trace import Trace

SMALLEST = 1e-2  # sides of a detection's box in pixels, as in torchvision
SAME_PLACE = 0.5  # IoU from which on two boxes are about the same thing


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

    def counts(self, thresholds: Sequence[float]) -> Tensor:
        """What each step leaves of each class, int64 (5, K): pairs of proposal and class,
        candidates, those not suppressed, detections, detections of at least their class's
        threshold."""
        classes = self.scores.shape[1] - 1
        shown = self.kept[are_shown(self.candidate_scores, self.labels, thresholds)[self.kept]]
        steps = (torch.arange(len(self.labels)), self.survivors, self.kept, shown)
        left = [self.labels[step].bincount(minlength=classes + 1)[1:] for step in steps]
        return torch.stack([torch.full((classes,), len(self.scores)), *left])


@torch.inference_mode()
def detection_steps(heads: RoIHeads, seen: Trace) -> DetectionSteps:
    """Follow the box head of a network in evaluation mode through an image that it looked at."""
    scores = seen.class_logits.softmax(-1)
    boxes = refined_boxes(heads, seen.box_regression, seen.proposals, seen.size)
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


@torch.inference_mode()
def refined_boxes(
    heads: RoIHeads, box_regression: Tensor, rois: Tensor, size: tuple[int, int]
) -> Tensor:
    """What the box head makes of R boxes for each class, within the image, (R, K + 1, 4) xyxy.

    Args:
        heads: of the network.
        box_regression: its output, (R, (K + 1) * 4).
        rois: (R, 4), xyxy in pixels of the input.
        size: height and width of the image in it.
    """
    boxes = heads.box_coder.decode(box_regression, [rois])
    # Without RoIs the coder leaves out the axis of the classes.
    return clip_boxes_to_image(boxes.reshape(len(rois), box_regression.shape[1] // 4, 4), size)


def distinct(boxes: Tensor, worth: Tensor, most: int) -> Tensor:
    """The boxes of highest worth at different places, at most so many, int64, highest first: of
    those that overlap by more than ``SAME_PLACE`` only the highest.

    Args:
        boxes: (N, 4), xyxy.
        worth: (N,), any numbers.
        most: how many.
    """
    return nms(boxes, worth.float(), SAME_PLACE)[:most]
