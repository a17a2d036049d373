"""What is known of an image whose labelled objects are followed through a network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou, clip_boxes_to_image

from utils.data.mask_crops import crop_rles, to_rles
from utils.data.records import ImageRecord, Rle
from utils.evaluation import error_kinds
from utils.evaluation.error_kinds import ImageErrors
from utils.inspection.detections import DetectionSteps, detection_steps
from utils.inspection.proposals import ProposalSteps, proposal_steps, refined_anchors
from utils.inspection.subject import Subject
from utils.inspection.trace import Trace


@dataclass(frozen=True)
class Evidence:
    """All that is known of an image with N labelled objects. Boxes are float32, xyxy in pixels of
    the network's input.

    Attributes:
        record: the labels.
        classes: names in label order.
        thresholds: the lowest score that counts for each class, in label order.
        seen: the image on its way through the network.
        refined: where the RPN moves each of the A anchors, within the image, (A, 4).
        proposed, detected: what became of them, and of the proposals.
    """

    record: ImageRecord
    classes: tuple[str, ...]
    thresholds: tuple[float, ...]
    seen: Trace
    refined: Tensor
    proposed: ProposalSteps
    detected: DetectionSteps

    @cached_property
    def errors(self) -> ImageErrors:
        """The verdicts, by the rules of test.py."""
        return error_kinds.sort_errors(self.record, self.seen.prediction, np.array(self.thresholds))

    @cached_property
    def rles(self) -> list[Rle]:
        """Run lengths of the N objects."""
        size = self.record.height, self.record.width
        return to_rles([one.segmentation for one in self.record.instances], *size)

    @cached_property
    def boxes(self) -> Tensor:
        """Of the objects' pixels, (N, 4); zeros for crowds and what has no pixel: not judged."""
        boxes = torch.zeros(len(self.rles), 4)
        for index, crop in enumerate(crop_rles(self.rles)):
            if crop is not None and not self.record.instances[index].iscrowd:
                height, width = crop.mask.shape
                corners = crop.x, crop.y, crop.x + width, crop.y + height
                boxes[index] = torch.tensor(corners) * torch.tensor(self.seen.scale * 2)
        return boxes

    def of_class(self, label: int) -> Tensor:
        """``boxes``, with zeros for objects of other classes."""
        return self.boxes * torch.tensor([[one.label == label] for one in self.record.instances])

    def whose(self, box: Tensor, objects: Tensor) -> str:
        """Which of the objects (N, 4) a box (4,) overlaps most, in words."""
        over, index = box_iou(box[None], objects)[0].nan_to_num().max(dim=0)
        return f"object {int(index) + 1}" if over >= error_kinds.NEAR_IOU else "no labelled object"

    def name(self, index: int) -> str:
        """An object's number, from 1 on, and its class: "3 person"."""
        return f"{index + 1} {self.classes[self.record.instances[index].label - 1]}"

    @property
    def summary(self) -> str:
        """How many objects are found, and what the other detections are, in words."""
        objects = Counter(one.kind for one in self.errors.objects)
        wrong = Counter(one.kind for one in self.errors.detections)
        del wrong["correct"], wrong["ignored"]
        judged = objects.total() - objects["ignored"]
        found = f"{objects['found']} of {judged} labelled objects are found"
        kinds = ", ".join(f"{count} {kind}" for kind, count in wrong.items()) or "none"
        return f"{found if objects else 'No object is labelled'}. Wrong detections: {kinds}."


def gather_evidence(subject: Subject) -> Evidence:
    """What is known of a labelled image; classes that its data does not label are not judged."""
    assert subject.record is not None
    model, seen = subject.model, subject.trace
    unlabelled = subject.dataset.data.unlabelled if subject.dataset else ()
    thresholds = enumerate(subject.weights.thresholds, 1)
    return Evidence(
        subject.record,
        subject.classes,
        tuple(np.inf if label in unlabelled else least for label, least in thresholds),
        seen,
        clip_boxes_to_image(refined_anchors(model.rpn, seen), seen.size),
        proposal_steps(model.rpn, seen),
        detection_steps(model.roi_heads, seen),
    )
