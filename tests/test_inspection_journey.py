"""Objects on their way through built networks: each is lost at the one stage that is broken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from inspected import make_subject
from pycocotools import mask as coco_mask
from torch.testing import assert_close
from torchvision.ops import box_iou

from nets.contract import Prediction
from utils.data.records import ImageRecord, Instance, encode_mask
from utils.inspection.detections import DetectionSteps
from utils.inspection.evidence import Evidence, gather_evidence
from utils.inspection.journey import iou_text, journey, own_ious
from utils.inspection.proposals import ProposalSteps
from utils.inspection.remedy import ADVICE
from utils.inspection.trace import Trace

STAGES = (
    "anchors", "RPN boxes", "RPN ranking", "RPN NMS", "proposals", "box head", "class scores",
    "NMS", "detection limit", "score threshold", "outline", "match",
)  # fmt: skip
BOX, FAR = (10.0, 10.0, 30.0, 30.0), (36.0, 36.0, 60.0, 60.0)
SIDE = 64
CAT, DOG = 1, 2


def rectangle(box):
    mask = np.zeros((SIDE, SIDE), bool)
    x1, y1, x2, y2 = map(int, box)
    mask[y1:y2, x1:x2] = True
    return mask


def record_of(*objects):
    """``objects``: (label, mask) or (label, mask, iscrowd)."""
    instances = tuple(Instance.from_mask(*item) for item in objects)
    return ImageRecord(7, Path("7.png"), SIDE, SIDE, instances)


def predicted(items):
    """``items``: (label, mask, score)."""
    rles = [encode_mask(mask) for _, mask, _ in items]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in map(coco_mask.toBbox, rles)]
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for label, *_ in items], dtype=torch.int64),
        scores=torch.tensor([score for *_, score in items], dtype=torch.float32),
        masks=rles,
    )


def trace_of(anchors, objectness, proposals, prediction):
    none = torch.zeros(0)
    return Trace(
        torch.zeros(1, 3, SIDE, SIDE), (SIDE, SIDE), (SIDE, SIDE), {},
        {"P4": torch.zeros(1, 1, 4, 4)}, torch.tensor(anchors), [len(anchors)],
        torch.tensor(objectness), none, proposals, none, none,
        {name: prediction[name] for name in ("boxes", "labels", "scores")}, none, prediction,
    )  # fmt: skip


def scene(lost="", anchors=None, record=None, small=False):
    """A cat and a surer cat in the other corner. The first is handed on from stage to stage until
    it is lost at the one that is named."""
    until = STAGES.index(lost) if lost else len(STAGES)

    def holds(stage):
        return STAGES.index(stage) < until

    def place(stage):
        return BOX if holds(stage) else FAR

    refined = torch.tensor([place("RPN boxes"), FAR])
    ranked = [0, 1] if holds("RPN ranking") or small else [1]
    of = torch.tensor(ranked)
    survivors = [len(of) - 1, *([0] if holds("RPN NMS") else [])]
    proposed = ProposalSteps(
        anchors=of, levels=torch.zeros_like(of), scores=torch.tensor([0.6, 0.8])[of],
        refined=refined[of], clipped=refined[of],
        large=torch.tensor([holds("RPN ranking"), True])[of],
        suppressed_by=torch.tensor([-1 if holds("RPN NMS") else 1, -1])[of],
        survivors=torch.tensor(survivors), limit=2 if holds("proposals") else 1,
    )  # fmt: skip
    proposals = proposed.clipped[proposed.kept]
    boxes = torch.tensor([FAR, place("box head")])[: len(proposals), None].expand(-1, 3, -1)
    sure = 0.8 if holds("class scores") else 0.03
    scores = torch.tensor([[0.04, 0.9, 0.06], [0.9 - sure, sure, 0.1]])[: len(proposals)]
    candidates = 2 if holds("class scores") else 1
    detected = DetectionSteps(
        scores=scores, boxes=boxes, proposals=torch.arange(candidates),
        labels=torch.full((candidates,), CAT),
        suppressed_by=torch.tensor([-1, -1 if holds("NMS") else 0])[:candidates],
        survivors=torch.arange(2 if holds("NMS") else 1),
        limit=2 if holds("detection limit") else 1, least=0.05,
    )  # fmt: skip
    outline = rectangle(BOX) if holds("outline") else rectangle((10, 10, 30, 19))
    found = [(CAT, rectangle(FAR), 0.9), (CAT, outline, 0.8)][
        : 2 if holds("detection limit") else 1
    ]
    if record is None:
        twice = [] if lost != "match" else [(CAT, rectangle(BOX))]
        record = record_of((CAT, rectangle(BOX)), (CAT, rectangle(FAR)), *twice)
    return Evidence(
        record, ("cat", "dog"), (0.5 if holds("score threshold") else 0.85, 0.5),
        trace_of(anchors or [place("anchors"), FAR], [0.4, 1.4], proposals, predicted(found)),
        refined, proposed, detected,
    )  # fmt: skip


def test_there_is_advice_for_every_stage():
    assert tuple(ADVICE) == STAGES


def test_what_goes_through_is_found():
    way = journey(scene(), 0)

    assert way.verdict.kind == "found"
    assert not way.missed
    assert way.lost is None
    assert [stage.name for stage in way.told] == list(STAGES)
    assert [stage.iou for stage in way.told] == [1.0] * len(STAGES)
    assert way.score == pytest.approx(0.8)


@pytest.mark.parametrize("name", STAGES)
def test_an_object_is_lost_where_its_last_box_is(name):
    way = journey(scene(name), 0)
    at = STAGES.index(name)

    assert way.missed
    assert way.lost.name == name
    assert [stage.name for stage in way.told] == list(STAGES[: at + 1])
    assert all(stage.iou >= 0.5 for stage in way.told[:-1])
    assert way.lost.iou < 0.5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("RPN ranking", "was number 2 of its level by objectness; the first 1 go on"),
        ("RPN NMS", "was removed by one of more objectness (0.800 against 0.599) on object 2"),
        ("proposals", "was number 2 by objectness; the first 1 go on"),
        ("class scores", "was scored cat 0.030, background 0.870, dog 0.100; more than 0.05 is"),
        ("NMS", "was removed by a surer cat (0.900 against 0.800) on object 2, which overlaps it"),
        ("detection limit", "was number 2 by score; the first 1 go on"),
        ("score threshold", "Of the 1 above its threshold, none is on this object. A box of IoU 1"),
        ("score threshold", "has score 0.800; cat counts from 0.850 on"),
        ("outline", "mask IoU 0.45"),
        ("match", "counts for object 3, and can for one only"),
    ],
)
def test_the_sentence_says_to_what_it_was_lost(name, words):
    assert words in journey(scene(name), 0).lost.text


@pytest.mark.parametrize("name", ["RPN NMS", "NMS"])
def test_the_box_and_the_one_that_removed_it_are_kept(name):
    lost = journey(scene(name), 0).lost

    assert tuple(lost.gone.tolist()) == BOX
    assert tuple(lost.rival.tolist()) == FAR


def test_a_box_may_be_too_small_for_the_rpn():
    lost = journey(scene("RPN ranking", small=True), 0).lost

    assert lost.name == "RPN ranking"
    assert "was too small" in lost.text


def test_of_several_boxes_that_were_lost_the_surest_is_told_of():
    evidence = scene("RPN ranking")
    close = (12.0, 10.0, 30.0, 30.0)
    seen = trace_of(
        [BOX, close, FAR], [0.4, 1.4, 2.4], evidence.seen.proposals, evidence.seen.prediction
    )
    proposed = replace(evidence.proposed, anchors=torch.tensor([2]))
    evidence = replace(
        evidence, seen=seen, proposed=proposed, refined=torch.tensor([BOX, close, FAR])
    )
    lost = journey(evidence, 0).lost

    assert "A box of IoU 0.90 was number 2 of its level by objectness; the first 1" in lost.text
    assert tuple(lost.gone.tolist()) == close


def test_a_poor_anchor_is_no_loss_if_the_rpn_moves_it_well():
    way = journey(scene("score threshold", anchors=[[0.0, 0, 12, 12], FAR]), 0)

    assert way.told[0].iou < 0.05
    assert way.lost.name == "score threshold"


def test_proposals_are_told_with_their_rank():
    assert "Of 2 proposals (number 2 is its best), the best has IoU 1.00" in (
        journey(scene(), 0).stages[4].text
    )
    assert "is its best" not in journey(scene("proposals"), 0).stages[4].text


def test_a_better_box_that_went_is_told_of_though_the_object_stays():
    evidence = scene()
    refined = torch.tensor([BOX, (12.0, 10.0, 30.0, 30.0)])
    steps = replace(
        evidence.proposed, refined=refined, clipped=refined, survivors=torch.tensor([1]),
        suppressed_by=torch.tensor([1, -1]),
    )  # fmt: skip
    stage = journey(replace(evidence, refined=refined, proposed=steps), 0).stages[3]

    assert stage.iou == pytest.approx(0.9)
    assert "A box of IoU 1.00 was removed by one of more objectness" in stage.text
    assert tuple(stage.box.tolist()) == (12.0, 10.0, 30.0, 30.0)
    assert stage.rival is None


@pytest.mark.parametrize("one", [(CAT, rectangle(BOX), 1), (CAT, rectangle((0, 0, 0, 0)))])
def test_crowds_and_objects_without_a_pixel_go_no_way(one):
    evidence = scene(record=record_of(one, (CAT, rectangle(FAR))))
    way = journey(evidence, 0)

    assert (way.stages, way.told, way.lost) == ((), (), None)
    assert evidence.boxes.tolist() == [[0, 0, 0, 0], list(FAR)]
    assert way.missed == (len(one) == 2)
    assert journey(evidence, 1).verdict.kind == "found"


def test_a_box_is_that_of_the_object_it_overlaps_most():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator) * 40
    boxes = torch.cat([corners, corners + 5 + 20 * torch.rand(60, 2, generator=generator)], 1)
    boxes[5] = 0  # without a pixel
    objects, boxes = boxes[:6], boxes[6:]
    owned = 0
    for index in range(5):
        found = own_ious(boxes, objects, index)
        for box, iou in zip(boxes, found, strict=True):
            ious = [float(box_iou(box[None], one[None])) for one in objects[:5]]
            mine = ious[index] == max(ious)
            assert float(iou) == pytest.approx(ious[index] if mine else 0.0)
            owned += bool(iou > 0)
        assert (found < box_iou(boxes, objects)[:, index]).any()
    assert owned > 10


def test_objects_of_another_class_have_no_claim_on_detections():
    near = rectangle((10, 10, 30, 31))  # which the boxes of a cat overlap a little less

    def stages(label):
        found = scene(record=record_of((CAT, near), (label, rectangle(BOX))))
        return {stage.name: stage.iou for stage in journey(found, 0).stages}

    assert stages(DOG)["proposals"] == stages(CAT)["proposals"] == 0
    assert stages(DOG)["box head"] == pytest.approx(20 / 21)
    assert stages(CAT)["box head"] == 0


@pytest.fixture(scope="module")
def evidence():
    return gather_evidence(make_subject(1))


def test_of_a_network_the_numbers_are_those_of_its_boxes(evidence):
    seen, count = evidence.seen, len(evidence.boxes)
    assert torch.equal(evidence.refined[evidence.proposed.anchors], evidence.proposed.clipped)
    assert count > 1
    for index in range(count):
        way = journey(evidence, index)
        iou = {stage.name: stage.iou for stage in way.stages}
        overlaps = [
            (ious[index] if ious[index] == ious.max() else torch.tensor(0.0))
            for ious in box_iou(seen.proposals, evidence.boxes)
        ]
        assert list(iou) == list(STAGES)
        assert iou["proposals"] == pytest.approx(float(torch.stack(overlaps).max()))
        assert iou["anchors"] == pytest.approx(
            float(box_iou(seen.anchors, evidence.boxes)[:, index].max())
        )
        assert way.verdict == evidence.errors.objects[index]


def test_boxes_are_those_the_network_is_taught():
    subject = make_subject(1)
    small = replace(subject, pixels=subject.pixels)
    subject.model.transform.min_size = (160,)
    subject.model.transform.max_size = 160
    found, taught = gather_evidence(small), small.training.target["boxes"]

    assert found.seen.scale == (1.25, 1.25)
    assert_close(found.boxes, taught)


def test_classes_that_the_labels_do_not_know_are_not_judged():
    subject = make_subject(1)
    subject.dataset.data = replace(subject.dataset.data, unlabelled=frozenset({2}))

    assert gather_evidence(subject).thresholds == (0.5, float("inf"), 0.5)


@pytest.mark.parametrize(
    ("iou", "text"), [(0.0, "0.00"), (0.4999, "0.49"), (0.5, "0.50"), (0.444, "0.44"), (1, "1.00")]
)
def test_what_does_not_reach_is_not_rounded_up(iou, text):
    assert iou_text(iou) == text
