"""What is advised does help: it is tried out, on built scenes and on real networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from inspected import make_model, make_subject
from test_inspection_journey import BOX, CAT, FAR, predicted, record_of, rectangle, scene

from utils.inspection.evidence import gather_evidence
from utils.inspection.journey import journey
from utils.inspection.remedy import remedy


def with_outline(evidence, outline):
    found = predicted([(CAT, rectangle(FAR), 0.9), (CAT, rectangle(outline), 0.8)])
    return replace(evidence, seen=replace(evidence.seen, prediction=found))


def suppressed():
    evidence = scene("NMS")
    return replace(evidence, detected=replace(evidence.detected, limit=2))


def advised(evidence, least=None):
    if least is not None:
        evidence = replace(evidence, thresholds=(least, 0.5))
    return remedy(evidence, journey(evidence, 0))


def test_a_lower_score_that_gives_the_object_back():
    text = advised(with_outline(scene("score threshold"), BOX))

    assert "With predict.py --score-threshold 0.800 it is found, and 0 more" in text


def test_a_lower_score_that_shows_a_poor_outline():
    text = advised(with_outline(scene("score threshold"), (10, 10, 30, 19)))

    assert "does not help: the object would then count as poor outline (mask IoU 0.45)" in text


def test_another_suppression_keeps_the_box():
    text = advised(suppressed(), least=0.5)

    assert "predict.py --nms-threshold 0.6 keeps a box of it, and 0 others; or train" in text


def test_a_box_that_is_kept_may_still_not_be_sure_enough():
    for evidence in (suppressed(), scene("detection limit")):
        text = advised(evidence, least=0.85)
        assert "; its score is 0.800 and cat counts from 0.850 on" in text


def test_a_suppression_that_no_setting_prevents():
    beside = (11, 10, 31, 30)  # another object, so near that their boxes have IoU 0.905
    evidence = scene("NMS", record=record_of((CAT, rectangle(BOX)), (CAT, rectangle(beside))))
    boxes = evidence.detected.boxes.clone()
    boxes[0] = torch.tensor(beside)
    detected = replace(evidence.detected, boxes=boxes, limit=2)
    text = advised(replace(evidence, detected=detected))

    assert "No predict.py --nms-threshold up to 0.9 keeps a box of it" in text


def test_more_detections_keep_it():
    text = advised(scene("detection limit"), least=0.5)

    assert "predict.py --max-detections 2 keeps it." in text


@pytest.fixture(scope="module")
def lost():
    """Evidence and ways of objects that random networks lose late."""
    found = []
    for number in range(4):
        evidence = gather_evidence(make_subject(number, make_model(box_score_thresh=0.01)))
        least = float(np.median(evidence.seen.prediction["scores"]))
        evidence = replace(evidence, thresholds=(least,) * 3)
        ways = [journey(evidence, index) for index in range(len(evidence.record.instances))]
        found += [(evidence, way) for way in ways if way.lost]
    return found


def test_every_loss_has_a_remedy(lost):
    assert len(lost) > 4
    for evidence, way in lost:
        assert remedy(evidence, way).endswith(".")
