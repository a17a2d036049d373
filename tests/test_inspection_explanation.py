"""What is told of objects: every verdict in words, one picture, and images nobody labelled."""

from dataclasses import replace

import numpy as np
import pytest
from inspected import make_model, make_subject
from test_inspection_journey import (
    BOX,
    CAT,
    DOG,
    FAR,
    STAGES,
    predicted,
    record_of,
    rectangle,
    scene,
)

from utils.data.records import DataError, Instance
from utils.evaluation.error_kinds import OBJECT_KINDS
from utils.inspection.canvas import Canvas
from utils.inspection.chapter import Figure, Table
from utils.inspection.chapters import explanation
from utils.inspection.chapters.explanation import (
    explanation_chapter,
    explanation_lines,
    verdict,
)
from utils.inspection.journey import journey
from utils.inspection.remedy import ADVICE

LEFT, RIGHT = rectangle((10, 10, 20, 30)), rectangle((20, 10, 30, 30))
WHOLE = rectangle(BOX)
VERDICTS = {
    "found": ([(CAT, WHOLE)], [(CAT, WHOLE, 0.9)], "found (score 0.90, mask IoU 1.00)"),
    "wrong class": (
        [(CAT, WHOLE)], [(DOG, WHOLE, 0.9)], "found as dog, not cat (score 0.90, mask IoU 1.00)",
    ),
    "split": (
        [(CAT, WHOLE)],
        [(CAT, rectangle((10, 10, 18, 30)), 0.9), (CAT, rectangle((22, 10, 30, 30)), 0.8)],
        "split: 2 detections lie on parts of it; the best (score 0.90, mask IoU 0.40)",
    ),
    "merged": (
        [(CAT, LEFT), (DOG, WHOLE), (CAT, rectangle((30, 10, 50, 30))), (CAT, rectangle(FAR))],
        [(CAT, rectangle((10, 10, 50, 30)), 0.9)],
        "merged: one detection (score 0.90, mask IoU 0.25) covers objects 1 and 3",
    ),
    "poor outline": (
        [(CAT, WHOLE)], [(CAT, rectangle((10, 10, 30, 18)), 0.9)],
        "found with a poor outline (score 0.90, mask IoU 0.40)",
    ),
    "missed": ([(CAT, WHOLE)], [(CAT, rectangle(FAR), 0.9)], "missed"),
    "ignored": ([(CAT, WHOLE, 1)], [], "a crowd, which is not judged"),
}  # fmt: skip


def looked_at(objects, items):
    evidence = scene(record=record_of(*objects))
    prediction = predicted(items)
    kept = {name: prediction[name] for name in ("boxes", "labels", "scores")}
    return replace(
        evidence, seen=replace(evidence.seen, prediction=prediction, detections=kept),
        thresholds=(0.5, 0.5),
    )  # fmt: skip


@pytest.mark.parametrize("kind", OBJECT_KINDS)
def test_every_verdict_has_its_words(kind):
    objects, items, words = VERDICTS[kind]
    evidence = looked_at(objects, items)
    way = journey(evidence, 0)

    assert way.verdict.kind == kind
    assert verdict(evidence, way) == words


def told(monkeypatch, evidence, **which):
    """The chapter of a built scene."""
    subject = make_subject(0)
    pixels = np.full((64, 64, 3), 90, np.uint8)
    monkeypatch.setattr(explanation, "gather_evidence", lambda subject: evidence)
    return explanation_chapter(replace(subject, pixels=pixels, record=evidence.record), **which)


@pytest.mark.parametrize("name", STAGES)
def test_a_lost_object_is_told_stage_by_stage_until_there(monkeypatch, name):
    chapter = told(monkeypatch, scene(name), missed=1)
    table = chapter.parts[1]
    lines = explanation_lines(chapter)

    assert chapter.introduction.startswith("Verdict: ")
    advice = ADVICE[name][0].upper() + ADVICE[name][1:]
    assert f", lost at: {name}. {advice}" in chapter.introduction
    assert [row[0] for row in table.rows] == list(STAGES[: STAGES.index(name) + 1])
    assert "The label: 20x20 pixels, 20x20 in the network's input" in table.text
    assert lines == [
        "Object 1 (cat) of scene.png:", *(f"{row[0]}: {row[1]}" for row in table.rows),
        chapter.introduction,
    ]  # fmt: skip


@pytest.mark.parametrize("which", [{"number": 1}, {}])
def test_nothing_stands_on_the_page_twice(monkeypatch, which):
    chapter = told(monkeypatch, scene("NMS"), **which)
    texts = [chapter.title, chapter.introduction, *chapter.findings]
    for part in chapter.parts:
        texts += [part.title, part.text]
        texts += [cell for row in getattr(part, "rows", ()) for cell in row if len(cell) > 20]

    for at, text in enumerate(texts):
        assert not [other for other in texts[:at] + texts[at + 1 :] if text in other]


def test_what_helps_with_a_kind_of_error_is_told_too(monkeypatch):
    objects, items, _ = VERDICTS["merged"]
    chapter = told(monkeypatch, looked_at(objects, items), number=1)

    assert "Objects that are merged with a neighbour: more training images" in chapter.introduction


def test_a_found_object_needs_no_advice(monkeypatch):
    chapter = told(monkeypatch, scene(), number=1)

    assert chapter.introduction == "Verdict: found (score 0.80, mask IoU 1.00)."
    assert [row[2] for row in chapter.parts[1].rows] == ["1.00"] * len(STAGES)


def colours(figure):
    return {key.text for key in figure.keys}


def test_the_legend_names_what_is_drawn_and_nothing_else(monkeypatch):
    lost = told(monkeypatch, scene("NMS"), number=1).parts[0]
    found = told(monkeypatch, scene(), number=1).parts[0]

    assert colours(found) == {
        "the object's label", "the best anchor or proposal", "the best box of its class",
        "labelled and detected",
    }  # fmt: skip
    assert colours(lost) == {
        "the object's label", "the best anchor or proposal", "the box that was lost there",
        "the surer box that removed it", "labelled only",
    }  # fmt: skip


def test_all_objects_are_listed_with_what_became_of_them(monkeypatch):
    chapter = told(monkeypatch, scene("NMS"))
    figure, table = chapter.parts

    assert chapter.introduction == "1 of 2 labelled objects are found. Wrong detections: none."
    assert table.rows == (
        ("1 cat", "missed, lost at: NMS", "1.00", "1.00", "0.80"),
        ("2 cat", "found (score 0.90, mask IoU 1.00)", "1.00", "1.00", "0.90"),
    )
    assert colours(figure) == {"labelled", "not found"}
    assert explanation_lines(chapter) == [
        "What became of the objects of scene.png:", "1 cat: missed, lost at: NMS",
        "2 cat: found (score 0.90, mask IoU 1.00)", chapter.introduction,
    ]  # fmt: skip


def test_those_that_are_missed_come_first(monkeypatch):
    evidence = scene("NMS")
    turned = replace(evidence.record, instances=evidence.record.instances[::-1])
    table = told(monkeypatch, replace(evidence, record=turned)).parts[1]

    assert [row[0] for row in table.rows] == ["2 cat", "1 cat"]


def test_what_was_not_sure_enough_is_shown_with_its_outline(monkeypatch):
    figure = told(monkeypatch, scene("score threshold"), number=1).parts[0]

    # Its outline is the upper nine of twenty rows.
    assert {"labelled and detected", "labelled only"} <= colours(figure)
    assert "detected only" not in colours(figure)


def test_areas_beside_the_close_up_are_not_in_the_legend(monkeypatch):
    objects = [(CAT, rectangle((0, 0, 4, 4)))]
    far_too = rectangle((0, 0, 4, 4)) | rectangle((60, 60, 64, 64))
    near_too = rectangle((0, 0, 4, 4)) | rectangle((6, 0, 8, 2))
    pixels = np.full((64, 64, 3), 90, np.uint8)
    found = []
    for mask in (far_too, near_too):
        evidence = looked_at(objects, [(CAT, mask, 0.9)])
        way = journey(evidence, 0)
        canvas = Canvas(pixels, 100, (0, 0, 32, 32))
        found.append([key.text for key in explanation._outline(canvas, evidence, way, 0)[0]])

    assert found == [["labelled and detected"], ["labelled and detected", "detected only"]]


def test_wrong_detections_are_counted_by_kind(monkeypatch):
    objects, items, _ = VERDICTS["missed"]
    chapter = told(monkeypatch, looked_at(objects, items))

    assert chapter.introduction.startswith(
        "0 of 1 labelled objects are found. Wrong detections: 1 background."
    )
    assert "wrong detection, its kind and score" in colours(chapter.parts[0])


def test_crowds_are_not_judged(monkeypatch):
    evidence = scene(record=record_of((CAT, rectangle(BOX), 1), (CAT, rectangle(FAR))))
    chapter = told(monkeypatch, evidence, number=1)

    assert chapter.introduction.startswith(
        "Object 1: a crowd, which is not judged. 1 of 1 labelled objects are found."
    )
    assert "labelled, not judged" in colours(chapter.figures[0])


def test_an_object_without_a_pixel_is_said_to_have_none(monkeypatch):
    evidence = scene(record=record_of((CAT, rectangle((0, 0, 0, 0))), (CAT, rectangle(FAR))))
    chapter = told(monkeypatch, evidence, missed=1)

    assert chapter.introduction.startswith("Object 1: has no pixel")


def test_none_is_missed_is_said(monkeypatch):
    chapter = told(monkeypatch, scene(), missed=3)

    assert chapter.introduction == (
        "None is missed. 2 of 2 labelled objects are found. Wrong detections: none."
    )


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"number": 3}, "no object 3; its objects are numbered from 1 to 2"),
        ({"number": 0}, "no object 0"),
        ({"missed": 2}, "--missed 2, but 1 are missed: object 1"),
    ],
)
def test_wrong_numbers_are_refused_with_those_there_are(monkeypatch, which, message):
    with pytest.raises(DataError, match=message):
        told(monkeypatch, scene("NMS"), **which)


@pytest.mark.parametrize("which", [{"number": 1}, {"missed": 1}])
@pytest.mark.parametrize(
    ("options", "words"),
    [({"with_labels": False}, "has no labels"), ({"without_objects": True}, "no labelled objects")],
)
def test_where_nothing_is_labelled_nothing_is_explained(options, words, which):
    with pytest.raises(DataError, match=words):
        explanation_chapter(make_subject(0, **options), **which)


def checked(chapter):
    """Whole figures and tables, all of them with words."""
    for part in chapter.parts:
        assert isinstance(part, Figure | Table)
        assert part.title
        assert part.text
    for figure in chapter.figures:
        assert figure.sheet().width >= figure.picture.width
        assert np.asarray(figure.picture).std() > 0
    assert chapter.introduction
    return chapter


def test_an_image_without_labels_shows_its_detections():
    subject = make_subject(0, with_labels=False)
    low = replace(subject, weights=replace(subject.weights, score_threshold=0.0))
    high = replace(subject, weights=replace(subject.weights, score_threshold=1.1))
    count = len(subject.trace.prediction["scores"])
    chapter = checked(explanation_chapter(low))

    assert "has no labels" in chapter.introduction
    assert chapter.figures[0].text.startswith(f"{count} of {count} detections")
    assert colours(chapter.figures[0]) == {"detection, with its score"}
    assert explanation_chapter(high).figures[0].text.startswith(f"0 of {count} detections")


def test_an_image_without_objects_has_false_alarms_alone():
    subject = make_subject(0, without_objects=True)
    subject = replace(subject, weights=replace(subject.weights, score_threshold=0.0))
    count = len(subject.trace.prediction["scores"])
    chapter = checked(explanation_chapter(subject))

    assert chapter.introduction == f"No object is labelled. Wrong detections: {count} background."
    assert len(chapter.parts) == 1


def test_a_network_that_finds_nothing_lost_all_objects():
    subject = make_subject(0, make_model(box_score_thresh=1.1))
    chapter = checked(explanation_chapter(subject))
    one = checked(explanation_chapter(subject, missed=1))

    assert {row[1].split(",")[0] for row in chapter.parts[1].rows} == {"missed"}
    assert one.figures[0].name == "way"


@pytest.mark.parametrize(
    "model",
    [
        lambda: make_model("maskrcnn_mobilenet_v3_large_fpn"),
        lambda: make_model(rpn_pre_nms_top_n_test=2, rpn_post_nms_top_n_test=1),
    ],
    ids=["two levels of one stride", "one proposal"],
)
def test_other_networks_tell_as_much(model):
    subject = make_subject(1, model())
    chapter = checked(explanation_chapter(subject))

    assert len(chapter.parts[1].rows) == len(subject.record.instances)
    checked(explanation_chapter(subject, 1))


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels(channels):
    subject = make_subject(1, make_model(channels=channels))
    pixels = np.random.default_rng(0).random((128, 128, channels)).astype(np.float32)
    checked(explanation_chapter(replace(subject, pixels=pixels, number=None), 1))


def with_objects(shape, masks):
    """A subject of that shape with these objects."""
    subject = make_subject(0)
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    instances = tuple(Instance.from_mask(1, mask) for mask in masks)
    height, width = shape
    record = replace(subject.record, instances=instances, width=width, height=height)
    return replace(subject, pixels=pixels, record=record)


def test_a_tiny_object_in_a_very_wide_image():
    mask = np.zeros((60, 480), bool)
    mask[30:32, 470:473] = True
    subject = with_objects((60, 480), [mask])
    figure = checked(explanation_chapter(subject, 1)).figures[0]

    assert min(figure.picture.size) > 200
    checked(explanation_chapter(subject))


def test_of_many_objects_some_are_told_and_all_are_listed():
    masks = []
    for place in range(120):
        mask = np.zeros((128, 128), bool)
        mask[place // 12 * 12 :, place % 12 * 10 :][:8, :8] = True
        masks.append(mask)
    chapter = checked(explanation_chapter(with_objects((128, 128), masks)))
    lines = explanation_lines(chapter)

    assert len(chapter.parts[1].rows) == 120
    assert (len(lines), lines[-2]) == (23, "and 100 more")
