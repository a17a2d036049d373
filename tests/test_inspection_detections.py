"""Detections step by step, on scenes that can be worked out by hand."""

import torch
from inspected import make_model, make_subject
from torch.testing import assert_close
from torchvision.ops import box_iou

from nets.contract import above
from utils.inspection.detections import (
    DetectionSteps,
    detection_steps,
    distinct,
    refined_boxes,
)

LEFT, RIGHT = [0.0, 0, 10, 10], [50.0, 0, 60, 10]
NEARLY_LEFT = [0.0, 0, 10, 9]


def steps_of(scores, proposals, labels, suppressed_by, survivors, limit):
    boxes = torch.zeros(len(scores), len(scores[0]), 4)
    lists = (torch.tensor(one).long() for one in (proposals, labels, suppressed_by, survivors))
    return DetectionSteps(torch.tensor(scores), boxes, *lists, limit, 0.05)


def test_each_step_is_counted_per_class():
    scores = [[0.0, 0.9, 0.1], [0.0, 0.8, 0.2], [0.1, 0.3, 0.6]]
    # Of six pairs the last four are candidates; the second is a double of the first.
    steps = steps_of(scores, [0, 1, 2, 2], [1, 1, 1, 2], [-1, 0, -1, -1], [0, 3, 2], limit=2)

    assert steps.counts([0.5, 0.7]).tolist() == [[3, 3], [3, 1], [2, 1], [1, 1], [1, 0]]
    assert steps.counts([0.95, 0.6]).tolist()[-1] == [0, 1]  # at the threshold is enough


def test_without_candidates_nothing_is_counted():
    steps = steps_of([[1.0, 0.0, 0.0]], [], [], [], [], limit=100)

    assert steps.counts([0.5, 0.5]).tolist() == [[1, 1], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_counts_of_a_network_are_those_of_its_detections():
    subject = make_subject(1)
    steps = detection_steps(subject.model.roi_heads, subject.trace)
    thresholds = (0.3, 0.5, 0.7)
    counts = steps.counts(thresholds)
    labels = subject.trace.detections["labels"]

    assert counts[0].tolist() == [50, 50, 50]
    assert int(counts[1].sum()) == int((subject.trace.class_logits.softmax(1)[:, 1:] > 0.05).sum())
    assert counts[3].tolist() == [int((labels == label).sum()) for label in (1, 2, 3)]
    shown = above(subject.trace.prediction, thresholds)["labels"]
    assert counts[4].tolist() == [int((shown == label).sum()) for label in (1, 2, 3)]
    assert int(counts[4].sum()) < int(counts[3].sum())


def test_of_boxes_at_one_place_the_one_of_highest_worth_stays():
    boxes = torch.tensor([LEFT, RIGHT, NEARLY_LEFT])

    assert distinct(boxes, torch.tensor([1.0, 2, 3]), 9).tolist() == [2, 1]
    assert distinct(boxes, torch.tensor([3.0, 2, 1]), 1).tolist() == [0]
    assert distinct(torch.zeros(0, 4), torch.zeros(0), 5).tolist() == []


def test_boxes_are_refined_as_the_box_coder_says():
    heads = make_model().roi_heads
    # dx, dy in tenths of the box, dw, dh in fifths of the logarithm, by the coder's weights.
    regression = torch.tensor([[0, 0, 0, 0, 1.0, -2, 0, 0, 0, 0, 5, 0, 90, 0, 0, 0]])
    boxes = refined_boxes(heads, regression, torch.tensor([[20.0, 40, 30, 60]]), (100, 40))[0]

    assert heads.box_coder.weights == (10, 10, 5, 5)
    width = 10 * torch.e
    wanted = [[20, 40, 30, 60], [21, 36, 31, 56], [25 - width / 2, 40, 25 + width / 2, 60]]
    assert_close(boxes[:3], torch.tensor(wanted))
    assert boxes[3].tolist() == [40, 40, 40, 60]  # within the image, whose width is 40


def test_the_boxes_that_training_asks_for_undo_the_deltas():
    subject = make_subject(1)
    taught, place = subject.training, subject.training.positive
    codes = taught.roi_deltas[place].repeat(1, 4)
    boxes = refined_boxes(subject.model.roi_heads, codes, taught.rois[place], subject.trace.size)
    asked = taught.target["boxes"][taught.roi_objects[place]]

    assert len(place) > 0
    assert (box_iou(boxes[:, 1], asked).diagonal() > 0.999).all()
