"""The heads' chapter: what it says of scenes whose answer is known, and that none breaks it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from inspected import ARCH, OPTIONS, make_model, make_subject, with_instances
from PIL import Image
from torchvision.ops import box_iou

from nets.weights_file import WeightsFile
from utils.data.records import Instance, encode_mask
from utils.device import Precision
from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.inspection.canvas import NEGATIVE, NEUTRAL, POSITIVE
from utils.inspection.chapter import Table
from utils.inspection.chapters.box_head import class_scores, refinement, suppression
from utils.inspection.chapters.cards import card, grid, map_at
from utils.inspection.chapters.explanation import explanation_chapter
from utils.inspection.chapters.heads import findings, heads_chapter
from utils.inspection.chapters.losses import box_costs, class_costs, mask_costs
from utils.inspection.chapters.mask_head import masks, result
from utils.inspection.close_up import close_up
from utils.inspection.detections import detection_steps
from utils.inspection.evidence import gather_evidence
from utils.inspection.heat_map import STOPS
from utils.inspection.subject import Subject

STEPS = ["class-scores", "refinement", "score-histogram", "suppression", "masks", "result"]
COSTS = ["class-costs", "box-costs", "mask-costs"]
SIZE = 128


def names(chapter):
    return [figure.name for figure in chapter.figures]


def findings_of(subject):
    evidence = gather_evidence(subject)
    return findings(subject, evidence.detected, evidence)


def with_thresholds(subject, *thresholds):
    costs = dict.fromkeys(subject.classes, Cost(1, 0, 0))
    chosen = dict(zip(subject.classes, thresholds, strict=True))
    point = OperatingPoint("f1", chosen, costs, {}).to_dict()
    return replace(subject, weights=replace(subject.weights, operating_point=point))


def with_objects(subject, boxes, labels):
    """The subject with other labels: filled boxes, xyxy."""
    instances = []
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        mask = np.zeros(subject.pixels.shape[:2], np.uint8)
        mask[y1:y2, x1:x2] = 1
        instances.append(Instance.from_mask(label, mask))
    dataset, record = subject.dataset, replace(subject.record, instances=tuple(instances))
    images = [*dataset.data.images]
    images[subject.number] = record
    dataset.data = replace(dataset.data, images=tuple(images))
    pixels = subject.pixels
    dataset.read = lambda key: (pixels, dataset.data.images[key.number])
    return replace(subject, record=record)


def picture_subject(pixels, classes=3, arch=ARCH, **options):
    """A picture without labels."""
    channels = pixels.shape[2]
    model = make_model(arch, classes, channels=channels, **options)
    known = {**OPTIONS, **options, "channels": channels}
    known_classes = tuple(f"class {i + 1}" for i in range(classes))
    weights = WeightsFile(arch, classes + 1, known_classes, model.state_dict(), options=known)
    return Subject(Path("best.pth"), weights, model, Precision("fp32", "cpu"), "photo.png", pixels)


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 255, (height, width, channels), np.uint8)


@pytest.fixture(scope="module")
def subject():
    return make_subject(1)


@pytest.fixture(scope="module")
def chapter(subject):
    return heads_chapter(subject)


@pytest.fixture
def captions(monkeypatch):
    """What stands above the cards."""
    texts = []

    def kept(pictures, text):
        texts.append(text)
        return card(pictures, text)

    for module in ("box_head", "losses"):
        monkeypatch.setattr(f"utils.inspection.chapters.{module}.card", kept)
    return texts


def test_the_steps_are_told_in_their_order(chapter):
    assert names(chapter) == STEPS + COSTS
    assert chapter.name == "heads"
    titles = [part.title for part in chapter.parts if isinstance(part, Table)]
    assert [title.split()[0] for title in titles] == ["How", "The", "The"]
    for figure in chapter.figures:
        assert figure.title
        assert figure.text.endswith((".", "keeps it."))
        assert figure.picture.mode == "RGB"
        assert figure.sheet().width <= 1130


def test_the_table_says_what_each_step_leaves(subject, chapter):
    table = next(part for part in chapter.parts if isinstance(part, Table))
    steps = detection_steps(subject.model.roi_heads, subject.trace)

    assert table.head == ("step", "all classes", *subject.classes)
    assert [row[1] for row in table.rows[:4]] == [
        "150", str(len(steps.labels)), str(len(steps.survivors)), str(len(steps.kept)),
    ]  # fmt: skip
    assert all(int(row[1]) == sum(map(int, row[2:])) for row in table.rows)


def test_the_table_of_losses_is_that_of_the_image(subject, chapter):
    table = next(part for part in chapter.parts if part.title.startswith("The five losses"))
    values = {row[0]: row[1] for row in table.rows}

    assert values == {name: f"{loss:.4f}" for name, loss in subject.training.losses.items()}
    assert f"{sum(subject.training.losses.values()):.3f}" in table.text


def test_the_rois_that_cost_most_are_shown(subject, captions):
    """All are right and sure but two: one is taken for background, one background for class 2."""
    taught = subject.training
    sure = torch.full_like(taught.class_logits, -50.0)
    sure[torch.arange(len(sure)), taught.roi_labels] = 50
    assert class_costs(subject, replace(taught, class_logits=sure)) is None  # nothing costs

    one, other = int(taught.positive[0]), int(torch.where(taught.roi_labels == 0)[0][0])
    sure[one] = torch.tensor([0.8, *[0.2 / 3] * 3]).log()
    sure[other] = torch.tensor([0.25, 0.125, 0.5, 0.125]).log()
    figure = class_costs(subject, replace(taught, class_logits=sure))
    label = subject.classes[int(taught.roi_labels[one]) - 1]
    overlap = box_iou(taught.rois[[one, other]], taught.target["boxes"]).max(dim=1).values

    assert "they make 100% of the sum" in figure.text
    assert captions == [
        f"loss 2.71: label {label} (0.07), predicted background (0.80); IoU {overlap[0]:.2f} "
        "with an object",
        "loss 1.39: label background (0.25), predicted circle (0.50); IoU "
        f"{overlap[1]:.2f} with an object",
    ]


def test_boxes_that_are_moved_rightly_cost_nothing(subject, captions):
    taught = subject.training
    place = int(taught.positive[0])
    codes = taught.roi_deltas.repeat(1, 4)
    assert box_costs(subject, replace(taught, box_regression=codes)) is None

    codes[place] = 0  # this one stays where it is
    assert box_costs(subject, replace(taught, box_regression=codes)) is not None
    asked = taught.target["boxes"][taught.roi_objects[place]]
    overlap = box_iou(taught.rois[place][None], asked[None]).item()
    assert captions[0].endswith(f"IoU with the label {overlap:.2f}, then {overlap:.2f}")
    assert len(captions) == 1


def test_masks_that_are_inverted_are_wrong_everywhere(subject, captions):
    taught = subject.training
    targets = taught.mask_targets()[:, None].expand(-1, 4, -1, -1)
    wrong = torch.where(targets >= 0.5, -9.0, 9.0)
    others = torch.arange(4) != taught.roi_labels[taught.positive][:, None]
    wrong[others] *= -1  # what is said for other classes does not count

    mask_costs(subject, replace(taught, mask_logits=wrong))
    assert captions
    assert all("100% of the points on the wrong side" in caption for caption in captions)
    captions.clear()
    mask_costs(subject, replace(taught, mask_logits=-wrong))
    assert all(" 0% of the points on the wrong side" in caption for caption in captions)


def test_refinement_is_that_of_the_best_class(subject, captions):
    seen = subject.trace
    refinement(subject, detection_steps(subject.model.roi_heads, seen))
    surest = int(seen.class_logits.softmax(1)[:, 1:].max(dim=1).values.argmax())
    label = int(seen.class_logits[surest, 1:].argmax()) + 1
    boxes = subject.model.roi_heads.box_coder.decode(seen.box_regression, [seen.proposals])
    box = boxes[surest, label].clamp(0, SIZE)
    objects = subject.training.target["boxes"]
    before, place = box_iou(seen.proposals[surest][None], objects)[0].max(dim=0)
    after = box_iou(box[None], objects)[0, place]

    name = subject.classes[label - 1]
    assert captions[0] == f"A as {name}: IoU {before:.2f}, then {after:.2f}"
    assert 1 < len(captions) <= 6


def test_removed_boxes_are_listed_with_who_removed_them(subject):
    steps = detection_steps(subject.model.roi_heads, subject.trace)
    figure, table = suppression(subject, steps)
    lost = steps.suppressed_by >= 0

    assert f"{int(lost.sum())} boxes were removed" in figure.text
    assert table.rows[0][1] == f"{steps.candidate_scores[lost].max():.3f}"
    assert all(float(row[3]) >= 0.5 for row in table.rows)
    kept_all = replace(steps, suppressed_by=torch.full_like(steps.suppressed_by, -1))
    assert suppression(subject, kept_all) == ()


def test_nothing_above_the_thresholds_is_a_finding(subject):
    scores, labels = (subject.trace.detections[name] for name in ("scores", "labels"))
    texts = findings_of(with_thresholds(subject, 1, 1, 1))

    assert texts[0].startswith(f"predict.py shows nothing here: of {len(scores)} detections")
    assert f"The surest is {subject.classes[int(labels[0]) - 1]} {scores[0]:.2f}" in texts[0]
    shown = findings_of(with_thresholds(subject, 0, 0, 0))
    assert not any("shows nothing" in text for text in shown)


def test_a_network_that_finds_nothing_says_so():
    chapter = heads_chapter(make_subject(1, make_model(box_score_thresh=1.1)))

    assert chapter.findings[0].startswith("The network finds nothing here: no score is above 1.1")
    assert names(chapter) == ["class-scores", "refinement", "result", *COSTS]


def test_a_network_without_proposals_says_so():
    chapter = heads_chapter(make_subject(1, make_model(rpn_score_thresh=1.1)))

    assert "no proposal" in chapter.introduction
    assert names(chapter)[0] == "result"


def test_what_the_limit_cut_is_a_finding():
    subject = with_thresholds(make_subject(1, make_model(box_detections_per_img=2)), 0, 0, 0)
    steps = detection_steps(subject.model.roi_heads, subject.trace)
    cut = [one for one in findings_of(subject) if "limit of 2 detections" in one]

    assert f"cut {len(steps.survivors) - 2} that reach" in cut[0]
    assert f"{steps.candidate_scores[steps.survivors[2]]:.2f}" in cut[0]
    quiet = findings_of(with_thresholds(subject, 1, 1, 1))
    assert not any("limit of" in text for text in quiet)


def filled(box):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    x1, y1, x2, y2 = box
    mask[y1:y2, x1:x2] = 1
    return mask


def squares(*items):
    """A prediction of (label, box, score), the surest first."""
    labels, boxes, scores = zip(*items, strict=True)
    return {
        "boxes": torch.tensor(boxes).float(), "labels": torch.tensor(labels),
        "scores": torch.tensor(scores), "masks": [encode_mask(filled(box)) for box in boxes],
    }  # fmt: skip


LEFT, RIGHT = (10, 10, 30, 30), (60, 60, 90, 90)


@pytest.mark.parametrize(
    ("objects", "found", "texts"),
    [
        ([(1, LEFT)], [(1, LEFT, 0.9)], ()),
        ([(1, LEFT)], [(2, LEFT, 0.9), (1, LEFT, 0.8)], ("1 of 1", "1 duplicate")),
        ([(1, LEFT)], [(2, LEFT, 0.9)], ("1 square is taken for circle with a score of 0.90:",
                                         "0 of 1 labelled objects are found")),
        ([(1, LEFT), (3, RIGHT)], [(1, LEFT, 0.9), (3, RIGHT, 0.4)], ("1 of 2", "none. 'tools")),
        # A detection is that of one object, though the other overlaps it as well.
        ([(1, LEFT), (1, (10, 10, 30, 31))], [(1, LEFT, 0.9)], ("1 of 2",)),
        ([(1, LEFT)], [(1, (10, 10, 30, 19), 0.9)], ("0 of 1", "1 poor outline")),
        ([], [(1, LEFT, 0.9)], ("No object is labelled. Wrong detections: 1 background.",)),
    ],
)  # fmt: skip
def test_findings_are_the_verdicts_that_are_explained(subject, objects, found, texts):
    labelled = [Instance.from_mask(label, filled(box)) for label, box in objects]
    seen = replace(subject.trace, prediction=squares(*found))
    subject = with_instances(with_thresholds(subject, 0.5, 0.5, 0.5), {1: labelled})
    vars(subject)["trace"] = seen
    told = " ".join(findings_of(subject))
    explained = explanation_chapter(subject).introduction

    assert all(text in told for text in texts)
    assert (explained in told) == bool(texts)
    assert explained in result(subject, gather_evidence(subject)).text


def test_an_image_without_objects_has_a_chapter():
    chapter = heads_chapter(make_subject(0, without_objects=True))

    assert {"box-costs", "mask-costs"}.isdisjoint(names(chapter))
    assert "result" in names(chapter)
    assert len(chapter.findings) == 1
    assert "No object is labelled. Wrong detections: " in chapter.findings[0]


def test_a_picture_without_labels_has_no_losses():
    chapter = heads_chapter(make_subject(0, with_labels=False))

    assert "no labels" in chapter.introduction
    assert set(COSTS).isdisjoint(names(chapter))
    assert not any(key.text == "labelled object" for one in chapter.figures for key in one.keys)


def test_a_hundred_small_objects_have_a_chapter():
    boxes = [(x, y, x + 4, y + 3) for x in range(2, 122, 10) for y in range(2, 122, 12)]
    chapter = heads_chapter(with_objects(make_subject(0), boxes, [1] * len(boxes)))

    assert f"of {len(boxes)} labelled objects" in " ".join(chapter.findings)
    assert set(COSTS) <= set(names(chapter))


@pytest.mark.parametrize(
    ("pixels", "classes", "arch"),
    [
        (noise(90, 120), 1, ARCH),
        (noise(90, 120), 90, ARCH),
        (noise(40, 400), 3, ARCH),
        (noise(400, 40), 3, ARCH),
        (noise(90, 120, 1), 3, ARCH),
        (noise(90, 120, 4), 3, ARCH),
        (noise(90, 120), 2, "maskrcnn_mobilenet_v3_large_fpn"),
    ],
)
def test_other_networks_and_pictures_have_a_chapter(pixels, classes, arch):
    chapter = heads_chapter(picture_subject(pixels, classes, arch))

    assert names(chapter)[:2] == ["class-scores", "refinement"]
    assert "result" in names(chapter)
    assert max(figure.sheet().width for figure in chapter.figures) <= 1130


def test_masks_are_where_the_prediction_has_them(subject):
    """A map that is sure of a half gives a mask of that half, without doubtful pixels within."""
    shown = with_thresholds(subject, 0, 0, 0)
    seen = shown.trace
    halves = torch.zeros_like(seen.detections["masks"])
    halves[..., :14] = 1
    vars(shown)["trace"] = replace(seen, detections={**seen.detections, "masks": halves})
    doubtful = torch.full_like(halves, 0.4)
    sure_text = masks(shown).text
    vars(shown)["trace"] = replace(seen, detections={**seen.detections, "masks": doubtful})

    assert "in the mean 100% of a mask" in masks(shown).text
    share = int(sure_text.split("in the mean ")[1].split("%")[0])
    assert 0 < share < 40  # the rim
    assert "surest 6 of" in sure_text


def test_the_result_counts_what_is_shown(subject):
    scores = subject.trace.prediction["scores"]
    everything = result(with_thresholds(subject, 0, 0, 0), None)
    nothing = result(with_thresholds(subject, 1, 1, 1), None)

    assert f"{len(scores)} of {len(scores)} detections" in everything.text
    assert f"0 of {len(scores)} detections" in nothing.text
    assert len(everything.keys) == 1
    assert [key.style for key in nothing.keys] == ["area", "dotted"]


def test_a_close_up_stays_within_the_image():
    pixels = noise(100, 200)
    within = close_up(pixels, 100, [torch.tensor([180.0, 80, 200, 100])])
    wide = close_up(pixels, 100, [torch.tensor([0.0, 40, 200, 60])])
    high = close_up(pixels, 100, [torch.tensor([20.0, 0, 40, 100])])
    point = close_up(pixels, 100, [torch.tensor([50.0, 60, 50, 60])])

    assert within.region == pytest.approx((168, 68, 200, 100))
    assert wide.region == pytest.approx((0, -50, 200, 150))
    assert high.region == pytest.approx((0, -30, 160, 130))
    assert point.region == pytest.approx((34, 44, 66, 76))


def test_a_map_lies_at_its_box():
    canvas = close_up(noise(100, 100), 100, [torch.tensor([40.0, 40, 60, 60])], 0.5)
    picture = np.asarray(map_at(canvas, np.ones((28, 28)), torch.tensor([40.0, 40, 60, 50])))
    is_map = (picture == STOPS[-1]).all(axis=-1)

    assert canvas.region == pytest.approx((30, 30, 70, 70))
    rows, columns = np.where(is_map)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (25, 50, 25, 75)
    assert is_map.sum() == 25 * 50


def test_cards_stand_in_rows():
    picture = Image.new("RGB", (100, 40), NEUTRAL)
    short, long = (
        card([picture], "a"),
        card([picture, picture], "so many words that they take two lines"),
    )
    sheet = np.asarray(grid([short, long, short], 2))

    assert short.size == (100, 63)
    assert long.width == 208
    assert sheet.shape == (long.height + 63 + 16, 2 * 208 + 16, 3)
    yellow = (sheet == NEUTRAL).all(axis=-1)
    assert yellow.sum() == 4 * 4000
    assert yellow[long.height - 1, :100].all()  # pictures of a row are level
    assert yellow[long.height - 1, 224:324].all()


def test_bars_tell_the_scores(subject):
    """The red of background and the blue of classes stand for shares of the same length."""
    logits = torch.tensor([3.0, 1, 1, 1]).log().repeat(50, 1)
    half = replace(subject.trace, class_logits=logits)
    even = replace(subject)
    vars(even).update(trace=half, training=None)
    steps = detection_steps(even.model.roi_heads, half)
    picture = np.asarray(class_scores(even, steps).picture)[:, 150:355]
    red, blue = ((picture == colour).all(axis=-1).sum() for colour in (NEGATIVE, POSITIVE))
    assert red / blue == pytest.approx(1, abs=0.1)
