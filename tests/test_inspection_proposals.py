"""Each number that is told of the RPN is recounted by hand, by brute force, or is its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from inspected import make_model, make_subject, with_instances
from torch.testing import assert_close

from utils.data.records import Instance
from utils.inspection.canvas import OBJECT, POSITIVE, Canvas
from utils.inspection.chapter import Table
from utils.inspection.chapters.proposals import proposals_chapter
from utils.inspection.evidence import gather_evidence
from utils.inspection.journey import RPN_STAGES, journey
from utils.inspection.proposals import (
    best_fits,
    best_of_first,
    data_boxes,
    level_counts,
    objectness_map,
    proposal_steps,
    ranked_boxes,
    recall_lines,
    refined_anchors,
)
from utils.inspection.remedy import ADVICE
from utils.inspection.trace import trace_image

BOXES = torch.tensor([[50.0, 50, 60, 60], [0, 0, 10, 10], [20, 20, 30, 30]])
OBJECTS = torch.tensor([[0.0, 0, 10, 9], [20, 20, 30, 30]])  # IoU 0.9 with the second, 1 the third
NONE = torch.zeros(0, 4)


@pytest.fixture(scope="module")
def subject():
    return make_subject(1)


@pytest.fixture(scope="module")
def steps(subject):
    return proposal_steps(subject.model.rpn, subject.trace)


def with_objects(subject, boxes):
    """The subject with these labelled boxes, (x1, y1, x2, y2) whole numbers, in its own image."""
    height, width = subject.pixels.shape[:2]
    masks = np.zeros((len(boxes), height, width), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    instances = tuple(Instance.from_mask(1, mask) for mask in masks)
    return with_instances(subject, {subject.number: instances})


def figure(chapter, name):
    return next(figure for figure in chapter.figures if figure.name == name)


def tables(chapter):
    return [part for part in chapter.parts if isinstance(part, Table)]


@pytest.mark.parametrize("size", [(128, 128), (90, 128)])
def test_the_map_is_the_surest_anchor_of_the_nearest_points(size):
    model = make_model()
    seen = trace_image(model, torch.rand(3, *size, generator=torch.Generator().manual_seed(0)))
    found = objectness_map(seen)
    centres = (seen.anchors[:, :2] + seen.anchors[:, 2:]) / 2
    scores = seen.objectness.sigmoid()

    assert found.shape == seen.size
    for y, x in ((0, 0), (5, 77), (33, 46), (found.shape[0] - 1, 126), (61, 3)):
        wanted = 0.0
        for level in range(5):
            of_level = seen.levels == level
            away = (centres[of_level] - torch.tensor([x + 0.5, y + 0.5])).square().sum(dim=1)
            nearest = away <= away.min() + 1.5  # the anchors of a point, their corners rounded
            wanted = max(wanted, float(scores[of_level][nearest].max()))
        assert float(found[y, x]) == pytest.approx(wanted)


def test_levels_are_counted_after_each_step(subject, steps):
    counts = level_counts(subject.trace, steps)

    assert list(counts) == ["anchors", "RPN ranking", "RPN NMS", "proposals"]
    assert counts["anchors"] == [3072, 768, 192, 48, 12]
    ranked = steps.levels[steps.large].tolist()
    assert counts["RPN ranking"] == [ranked.count(level) for level in range(5)]
    assert [
        top >= count
        for top, count in zip([100, 100, 100, 48, 12], counts["RPN ranking"], strict=True)
    ] == [True] * 5
    kept = steps.levels[steps.kept].tolist()
    assert counts["proposals"] == [kept.count(level) for level in range(5)]
    left = steps.levels[steps.survivors].tolist()
    assert counts["RPN NMS"] == [left.count(level) for level in range(5)]


def test_refined_anchors_are_those_of_the_steps(subject, steps):
    assert torch.equal(
        refined_anchors(subject.model.rpn, subject.trace)[steps.anchors], steps.refined
    )


def test_best_fits_are_found():
    best, places = best_fits(OBJECTS, BOXES)

    assert_close(best, torch.tensor([0.9, 1.0]))
    assert places.tolist() == [1, 2]


def test_nothing_fits_where_nothing_is():
    best, places = best_fits(OBJECTS, NONE)

    assert (best.tolist(), places.tolist()) == ([0, 0], [-1, -1])
    assert [len(values) for values in best_fits(NONE, BOXES)] == [0, 0]


def test_the_best_of_the_first_never_gets_worse():
    found = best_of_first(BOXES, OBJECTS, [0, 1, 2, 3, 10])

    assert_close(found, torch.tensor([[0, 0, 0.9, 0.9, 0.9], [0, 0, 0, 1, 1]]))
    assert best_of_first(NONE, OBJECTS, [1, 5]).tolist() == [[0, 0], [0, 0]]


def test_recall_is_of_all_objects_of_all_images():
    lines = recall_lines([(BOXES, OBJECTS), (BOXES[:1], OBJECTS[:1] + 50)], [1, 2, 3])

    # Of three objects one is reached by the first box of its image, with an IoU of 0.9.
    assert_close(lines["IoU 0.5"], [1 / 3, 2 / 3, 1.0])
    assert lines["IoU 0.7"] == lines["IoU 0.5"]
    # Of the ten thresholds 0.9 meets nine; 0.95 is met by the box that is exact alone.
    assert_close(lines["mean of 0.5 to 0.95"], [0.3, 0.6, 0.6 + 1 / 3], atol=1e-6, rtol=0)


def test_all_boxes_are_ranked_as_the_network_ranks_them(subject, steps):
    image, target = subject.dataset[1]
    boxes, objects = ranked_boxes(subject.model, image, target["boxes"])

    assert len(boxes) > 50 == len(subject.trace.proposals)
    assert torch.equal(boxes, steps.clipped[steps.survivors])
    assert torch.equal(objects, subject.object_boxes)
    assert subject.model.rpn.post_nms_top_n() == 50


def test_other_images_are_ranked_too():
    subject = make_subject(2, images=4)
    sizes = [len(subject.dataset[number][1]["boxes"]) for number in (0, 1, 3)]

    assert [len(objects) for _, objects in data_boxes(subject, 10)] == sizes
    assert data_boxes(make_subject(0, with_labels=False), 3) == []
    assert data_boxes(replace(subject, number=None), 3) == []


def test_the_chapter_has_all_its_pictures(subject, steps):
    chapter = proposals_chapter(subject)
    names = [part.name for part in chapter.figures]
    funnel, objects = tables(chapter)

    assert names == [
        "objectness", "refinement", "clipping", "suppression", "objects", "recall", "recall-images"
    ]  # fmt: skip
    assert funnel.head == ("step", "all", "P2", "P3", "P4", "P5", "P6")
    assert funnel.rows[0] == ("anchors", "4,092", "3,072", "768", "192", "48", "12")
    assert funnel.rows[-1][:2] == ("proposals", "50")
    assert len(objects.rows) == len(subject.record.instances)
    assert f"{int((steps.suppressed_by >= 0).sum())} of" in figure(chapter, "suppression").text
    above = int((subject.trace.objectness.sigmoid() >= 0.5).sum())
    assert f"{above:,} of 4,092 anchors" in figure(chapter, "objectness").text
    assert "4 images" in figure(chapter, "recall-images").title


def test_an_object_without_a_proposal_is_a_finding(subject):
    # A strip of one pixel's height: no anchor, not even a moved one, has an IoU of 0.5 with it.
    chapter = proposals_chapter(with_objects(subject, [(2, 60, 126, 61)]))
    (finding,) = chapter.findings

    assert "1 of 1" in finding
    assert finding.startswith(f"Lost at anchors: {ADVICE['anchors']} Affected: 1 of 1")
    assert "1 square (124x1 pixels)" in finding
    assert tables(chapter)[1].rows[0][-1] == "-"
    assert [key.text for key in figure(chapter, "objects").keys] == [
        "labelled object",
        "object that none overlaps by 0.1",
    ]


def test_objects_are_lost_where_their_journey_says_so(subject):
    # Of two that touch, a box is that of the one it overlaps more, and the strip is lost.
    box = subject.trace.proposals[6].round().int().tolist()
    looked_into = with_objects(subject, [box, [box[0], box[1], box[2], box[1] + 2]])
    evidence, chapter = gather_evidence(looked_into), proposals_chapter(looked_into)
    rows = {row[0]: row for row in tables(chapter)[1].rows}

    assert tables(chapter)[1].head == ("object", "size", *RPN_STAGES, "rank")
    for index, row in enumerate((rows["1 square"], rows["2 square"])):
        way = journey(evidence, index)
        assert row[2:-1] == tuple(f"{stage.iou:.2f}" for stage in way.stages[:5])
        told = [one.split(":")[0] for one in chapter.findings if f"{row[0]} (" in one]
        assert told == ([f"Lost at {way.lost.name}"] if way.lost.name in RPN_STAGES else [])
    assert "Affected: 1 of 2" in chapter.findings[0]


def test_an_object_that_the_best_proposal_fits_is_no_finding(subject, monkeypatch):
    box = subject.trace.proposals[6].round().int().tolist()
    drawn, draw = [], Canvas.box

    def noted(canvas, box, *look, **more):
        drawn.append((torch.as_tensor(box).tolist(), *look))
        draw(canvas, box, *look, **more)

    monkeypatch.setattr(Canvas, "box", noted)
    chapter = proposals_chapter(with_objects(subject, [box]))
    row = tables(chapter)[1].rows[0]

    assert chapter.findings == ()
    proposal = subject.trace.proposals[6].tolist()
    assert (proposal, POSITIVE, "dashed", f"1 square: IoU {row[-2]}, rank 7") in drawn
    assert ([float(edge) for edge in box], OBJECT, "solid") in drawn
    assert float(row[-2]) > 0.9
    assert "1 of 1 have one" in figure(chapter, "objects").text
    assert figure(chapter, "recall").text.startswith("With the proposals handed on, 100% of 1")


def test_of_many_objects_those_reached_worst_are_shown(subject):
    boxes = [(x, y, x + 2, y + 2) for x in range(0, 120, 10) for y in range(0, 120, 10)]
    chapter = proposals_chapter(with_objects(subject, boxes))

    assert len(tables(chapter)[1].rows) == 20
    assert figure(chapter, "objects").text.startswith("20 of 144 labelled objects")
    assert all("144 of 144" in finding for finding in chapter.findings)
    assert all("square (2x2 pixels) and 139 more." in finding for finding in chapter.findings)
    assert all(finding.count("square") == 5 for finding in chapter.findings)


@pytest.mark.parametrize("with_labels", [True, False])
def test_without_objects_the_rest_is_shown(with_labels):
    subject = make_subject(0, without_objects=True) if with_labels else make_subject(
        0, with_labels=False
    )  # fmt: skip
    chapter = proposals_chapter(subject)
    names = [part.name for part in chapter.figures]

    assert "no labelled objects" in chapter.introduction
    assert chapter.findings == ()
    assert names[:4] == ["objectness", "refinement", "clipping", "suppression"]
    assert names[4:] == (["recall-images"] if with_labels else [])
    assert figure(chapter, "objectness").keys == ()


def test_a_network_without_proposals_says_so():
    chapter = proposals_chapter(make_subject(0, make_model(rpn_score_thresh=1.1)))
    funnel, objects = tables(chapter)

    assert funnel.rows[-1][:2] == ("proposals", "0")
    assert "only 0 were left" in funnel.text
    assert {row[-1] for row in objects.rows} == {"-"}
    assert any(ADVICE["RPN ranking"] in finding for finding in chapter.findings)
    assert "0% of 3" in figure(chapter, "recall").text


@pytest.mark.parametrize("images", [1, 2])
def test_recall_of_several_needs_several(images):
    names = [part.name for part in proposals_chapter(make_subject(0, images=images)).figures]

    assert ("recall-images" in names) == (images > 1)


def test_networks_with_two_levels_of_one_stride():
    chapter = proposals_chapter(make_subject(0, make_model("maskrcnn_mobilenet_v3_large_fpn")))

    assert tables(chapter)[0].head == ("step", "all", "P5", "P5b", "P6")


@pytest.mark.parametrize("channels", [1, 4])
def test_other_images_than_rgb(channels):
    subject = make_subject(0, make_model(channels=channels), with_labels=False)
    pixels = np.random.default_rng(0).random((40, 400, channels), np.float32)  # and very wide
    chapter = proposals_chapter(replace(subject, pixels=pixels))

    assert len(chapter.figures) >= 3
    assert figure(chapter, "objectness").picture.width == 960


def test_proposals_fewer_than_expected_are_all_handed_on():
    model = make_model(rpn_post_nms_top_n_test=5000)
    chapter = proposals_chapter(make_subject(0, model))

    assert "they get them all" in tables(chapter)[0].text
    assert figure(chapter, "recall").text.startswith("With the proposals handed on")
