"""What the chapter on targets says of the sampled RoIs is what brute force counts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from inspected import make_model, make_subject, with_instances
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import box_iou

from nets.weights_file import WeightsFile
from utils.inspection.canvas import NEGATIVE, Canvas
from utils.inspection.chapter import Table
from utils.inspection.chapters.positive_shares import classes_table, share_findings, shares_figure
from utils.inspection.chapters.roi_targets import deltas_table, in_words, masks_figure
from utils.inspection.chapters.targets import object_findings, targets_chapter
from utils.inspection.roi_samples import (
    box_changes,
    roi_samples,
    share_inside,
    spread,
)

OWN = [[0.0, 0, 10, 10], [20, 20, 40, 30]]  # the boxes of two objects


@pytest.fixture(scope="module")
def subject():
    return make_subject(1)


def taught(subject, rois, labels, objects, boxes=OWN):
    """A training trace with those RoIs of objects of class 1, 2, 1..."""
    boxes = torch.tensor(boxes).reshape(-1, 4)
    objects, rois = torch.tensor(objects, dtype=torch.int64), torch.tensor(rois).reshape(-1, 4)
    matched = boxes[objects] if len(boxes) else rois
    return replace(
        subject.training,
        target={
            "boxes": boxes,
            "labels": torch.arange(len(boxes)) % 2 + 1,
            "masks": torch.ones(len(boxes), 128, 128, dtype=torch.uint8),
        },
        rois=rois,
        roi_labels=torch.tensor(labels, dtype=torch.int64),
        roi_objects=objects,
        roi_deltas=BoxCoder((10.0, 10.0, 5.0, 5.0)).encode([matched], [rois])[0],
    )


def learning(subject, training):
    """The subject with these objects and RoIs in place of its own."""
    other = replace(subject)
    labels = training.target["labels"].tolist()
    names = [f"{n} {subject.classes[label - 1]}" for n, label in enumerate(labels, 1)]
    other.__dict__.update(training=training, object_names=tuple(names))
    return other


def tables(chapter):
    return {part.title: part for part in chapter.parts if isinstance(part, Table)}


def test_rois_are_sorted_by_what_they_teach(subject):
    rois = [[0.0, 0, 10, 5], [50, 50, 60, 60], OWN[0], [20, 20, 40, 28], [0, 0, 10, 2]]
    samples = roi_samples(taught(subject, rois, [1, 0, 1, 2, 0], [0, 0, 0, 1, 0]))

    assert samples.positive.tolist() == [0, 2, 3]
    assert samples.background.tolist() == [1, 4]
    assert samples.objects.tolist() == [0, 0, 1]
    assert samples.overlaps.tolist() == pytest.approx([0.5, 1, 0.8])
    assert samples.own.tolist() == [False, True, False]
    assert samples.nearest.tolist() == pytest.approx([0, 0.2])
    assert samples.counts.tolist() == [2, 1]
    assert samples.by_overlap(~samples.own) == [0, 2]
    assert samples.by_overlap(torch.ones(3, dtype=torch.bool)) == [0, 2, 1]


def test_an_objects_own_box_is_told_from_that_of_another(subject):
    samples = roi_samples(taught(subject, [OWN[1], OWN[0]], [1, 1], [0, 0]))

    assert samples.own.tolist() == [False, True]
    assert samples.overlaps.tolist() == [0, 1]


def test_without_objects_all_is_background_and_far_from_any(subject):
    samples = roi_samples(taught(subject, [OWN[0], OWN[1]], [0, 0], [0, 0], boxes=[]))

    assert samples.nearest.tolist() == [0, 0]
    assert len(samples.counts) == len(samples.overlaps) == len(samples.own) == 0


def test_a_real_sample_is_what_torchvisions_box_iou_says(subject):
    seen, samples = subject.training, roi_samples(subject.training)
    over = box_iou(seen.rois, seen.target["boxes"])

    assert len(samples.positive) + len(samples.background) == len(seen.rois)
    assert torch.equal(samples.overlaps, over[samples.positive].amax(1))
    assert (samples.nearest < 0.5).all()
    assert samples.nearest.max() > 0
    equal = (seen.rois[:, None] == seen.target["boxes"]).all(-1).any(1)
    assert torch.equal(samples.positive[samples.own], torch.where(equal)[0])
    assert samples.own.any()
    assert int(samples.counts.sum()) == len(samples.positive)


def test_deltas_mean_pixels_and_growth():
    weights = (10.0, 8.0, 5.0, 4.0)
    rois = torch.tensor([[0.0, 0, 10, 20], [30, 40, 50, 50]])
    boxes = torch.tensor([[5.0, 4, 17, 14], [30, 40, 50, 50]])
    deltas = BoxCoder(weights).encode([boxes], [rois])[0]
    shifts, growths = box_changes(rois, deltas, weights)

    assert shifts.flatten().tolist() == pytest.approx([6, -1, 0, 0], abs=1e-5)
    assert growths.flatten().tolist() == pytest.approx([0.2, -0.5, 0, 0], abs=1e-6)


def test_moves_are_said_in_words():
    assert in_words((4, -2.04), (0.12, -0.5)) == (
        "move 4.0 px right, 2.0 px up; 12% wider, 50% shorter"
    )
    assert in_words((-1, 3), (-0.25, 0.1)) == (
        "move 1.0 px left, 3.0 px down; 25% narrower, 10% taller"
    )


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0, 0, 10, 10), 1),
        ((2, 3, 4, 5), 1),
        ((2, 3, 3, 5), 0.5),
        ((2.6, 3, 9, 4), 0.25),  # the centre of the first column is left of it
        ((0, 0, 2, 10), 0),
        ((3, 4, 8, 9), 0.25),
    ],
)
def test_the_share_of_a_mask_in_a_box_is_counted_by_pixels(box, share):
    mask = torch.zeros(6, 7, dtype=torch.uint8)
    mask[3:5, 2:4] = 1

    assert share_inside(mask, torch.tensor(box)) == share


def test_a_mask_without_pixels_has_no_share_inside():
    assert share_inside(torch.zeros(4, 4, dtype=torch.uint8), torch.tensor([0, 0, 4, 4])) == 0


@pytest.mark.parametrize(
    ("count", "most", "wanted"),
    [(0, 3, []), (1, 3, [0]), (3, 3, [0, 1, 2]), (9, 3, [0, 4, 8]), (5, 1, [0]), (4, 2, [0, 3])],
)
def test_a_selection_is_spread_from_end_to_end(count, most, wanted):
    assert spread(count, most) == wanted


def test_the_chapter_shows_all_of_it(subject):
    chapter = targets_chapter(subject)
    seen, samples = subject.training, roi_samples(subject.training)
    count, negatives = len(samples.positive), len(samples.background)

    names = ["positives", "background", "positive-shares", "box-targets", "mask-targets"]
    assert [figure.name for figure in chapter.figures] == names
    for figure in chapter.figures:
        assert np.asarray(figure.sheet()).std() > 10
    assert f"{negatives} RoIs teach background; {count} teach " in chapter.figures[0].text
    assert f"12 of the {negatives} background RoIs" in chapter.figures[1].text
    assert "of 32 RoIs" not in chapter.introduction
    assert "at most 32 RoIs" in chapter.introduction
    rows = tables(chapter)["How many RoIs each object got"].rows
    assert sum(int(row[3]) + (row[2] == "yes") for row in rows) == count
    assert len(rows) == len(seen.target["boxes"])
    assert sum(int(row[2]) for row in classes_of(chapter).rows) == 4 * 32


def classes_of(chapter):
    return tables(chapter)["RoIs per class, in these 4 images"]


def test_classes_are_counted_over_the_images(subject):
    sampled = {0: torch.tensor([0, 0, 1, 3]), 1: torch.tensor([0, 3, 3, 3])}
    numbers = [
        one.label for number in sampled for one in subject.dataset.data.images[number].instances
    ]
    objects = {label: numbers.count(label) for label in (1, 2, 3)}
    table = classes_table(subject, sampled)
    rows = {row[0]: row[1:] for row in table.rows}

    assert rows["background"] == ("", "3", "37.5%", "")
    assert rows["triangle"] == (str(objects[3]), "4", "50.0%", f"{4 / objects[3]:.1f}")
    assert rows["square"][:3] == (str(objects[1]), "1", "12.5%")


def test_bars_are_as_long_as_the_shares(subject):
    most = subject.model.roi_heads.fg_bg_sampler.positive_fraction
    half, none = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0]), torch.zeros(8, dtype=torch.int64)
    sampled = {0: torch.tensor([2, 1, 0, 0, 0, 0, 0, 0]), 1: half, 2: none}
    figure = shares_figure(subject, sampled)
    blue = (np.asarray(figure.picture) == (60, 150, 255)).all(-1)
    lengths = [int(blue[34 * (row + 1) : 34 * (row + 2)].any(0).sum()) for row in range(3)]

    assert most == 0.25
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=3)
    assert lengths[2] <= 1
    assert "0% to 25% of the RoIs" in figure.text


def test_a_low_share_is_a_finding(subject):
    none = {number: torch.zeros(32, dtype=torch.int64) for number in range(4)}
    full = {number: (torch.arange(32) < 8).long() for number in range(4)}
    low = {number: (torch.arange(32) < 1).long() for number in range(4)}

    assert "Only 0% of the RoIs of 4 images" in share_findings(subject, none)[0]
    assert "Only 3.1% of the RoIs" in share_findings(subject, low)[0]
    assert share_findings(subject, full) == []
    assert share_findings(make_subject(1, without_objects=True), {1: none[1]}) == []


def test_objects_that_no_proposal_teaches_are_named(subject):
    near, own = [0.0, 0, 10, 8], OWN[1]
    alone = taught(subject, [near, own, OWN[0]], [1, 2, 1], [0, 1, 0])
    (finding,) = object_findings(learning(subject, alone), roi_samples(alone))
    well = taught(subject, [near, [20, 20, 40, 29]], [1, 2], [0, 1])

    assert "1 of 2 objects enough (2 circle)" in finding
    assert object_findings(learning(subject, well), roi_samples(well)) == []


def test_the_second_of_two_equal_boxes_is_told_to_teach_nothing(subject):
    near = [0.0, 0, 10, 8]
    twice = taught(subject, [near, OWN[0], OWN[0]], [1, 1, 1], [0, 0, 0], [OWN[0], OWN[0]])
    samples = roi_samples(twice)
    (finding,) = object_findings(learning(subject, twice), samples)
    full = taught(subject, [OWN[0]] * 8, [1] * 8, [0] * 8, [OWN[0], OWN[0]])

    assert samples.doubled.tolist() == [False, True]
    assert samples.counts.tolist() == [3, 0]
    assert finding.startswith("2 circle: the box is exactly that of an earlier object")
    assert len(object_findings(learning(subject, full), roi_samples(full))) == 1
    assert not roi_samples(subject.training).doubled.any()


def test_torchvision_gives_all_rois_of_two_equal_boxes_to_the_first(subject):
    box = subject.record.instances[0]
    twice = with_instances(subject, {subject.number: (box, box)})
    samples = roi_samples(twice.training)

    assert samples.doubled.tolist() == [False, True]
    assert samples.counts[0] > samples.counts[1] == 0


def test_a_full_sampler_is_named_only_if_objects_outnumber_it(subject):
    boxes = [[10.0 * i, 0, 10 * i + 8, 8] for i in range(9)]
    own = taught(subject, boxes[:8], [1, 2] * 4, list(range(8)), boxes)
    (finding,) = object_findings(learning(subject, own), roi_samples(own))
    few = taught(subject, boxes[:1] * 8, [1] * 8, [0] * 8, boxes[:2])

    assert "9 objects share 8 positive RoIs" in finding
    assert "--rois above 32" in finding
    assert object_findings(learning(subject, few), roi_samples(few)) == []


def test_the_table_of_moves_leaves_out_the_own_boxes(subject):
    rois = [[0.0, 0, 10, 8], [0, 0, 10, 5], OWN[0]]
    table = deltas_table(subject, roi_samples(taught(subject, rois, [1, 1, 1], [0, 0, 0])))
    rows = {row[0]: row[1:] for row in table.rows}
    growth = (5 * math.log(10 / 8), 5 * math.log(2))

    assert rows["dx"] == ("+0.00", "0.00", "+0.00 to +0.00", "0% of the width right")
    # centres move by 1 of 8 and 2.5 of 5 pixels down
    assert rows["dy"] == ("+3.12", "1.88", "+1.25 to +5.00", "31% of the height down")
    assert rows["dh"][2] == f"{growth[0]:+.2f} to {growth[1]:+.2f}"
    assert rows["dh"][3] == f"{math.exp(sum(growth) / 10) - 1:.0%} taller"
    assert "all 2 positive RoIs" in table.text


def test_the_grid_shows_the_target_of_each_roi(subject):
    whole, beside = [20.0, 20, 100, 100], [60.0, 20, 100, 100]
    seen = taught(subject, [whole, beside], [1, 1], [0, 0], [whole])
    seen.target["masks"][:] = 0
    seen.target["masks"][0, 20:100, 20:60] = 1  # the left half of the object's box
    figure = masks_figure(subject, roi_samples(seen))
    grid = np.asarray(figure.picture).astype(int)
    middle, low = 6 + 212 + 21 + 92, 6 + 2 * 212 + 21 + 92  # of the second and third row
    left, right = 6 + 191 + 40, 6 + 191 + 145  # in the second column

    # From low to high IoU: first the RoI beside the mask, then the one that holds it.
    assert grid[middle, 6 + 40].tolist() == grid[middle, 6 + 145].tolist() == [0, 0, 0]
    assert grid[middle, left].tolist() == [255, 255, 255]
    assert grid[middle, right].tolist() == [0, 0, 0]
    pixels = np.asarray(Canvas(subject.input_pixels, 185, whole).picture())[92].astype(int)
    assert grid[low, left].tolist() == pixels[40].tolist()
    assert np.abs(grid[low, right] - (0.35 * pixels[145] + 0.65 * np.array(NEGATIVE))).max() <= 2
    assert "they hold 0% to 100% of their objects" in figure.text


def test_a_picture_without_labels_is_told_so():
    chapter = targets_chapter(make_subject(0, with_labels=False))

    assert chapter.parts == chapter.findings == ()
    assert "no labels" in chapter.introduction


def test_an_image_without_objects_shows_its_background():
    subject = make_subject(1, without_objects=True)
    chapter = targets_chapter(subject)

    assert [figure.name for figure in chapter.figures] == ["background", "positive-shares"]
    assert f"all its {len(subject.training.rois)} RoIs teach background" in chapter.introduction
    assert "IoU" not in chapter.figures[0].text
    assert [key.text for key in chapter.figures[0].keys] == ["RoI taught as background"]


def test_objects_whose_own_boxes_are_all_they_have_need_no_moves():
    model = make_model(box_fg_iou_thresh=0.99, box_bg_iou_thresh=0.99)
    chapter = targets_chapter(make_subject(1, model))

    names = ["positives", "background", "positive-shares", "mask-targets"]
    assert [figure.name for figure in chapter.figures] == names
    assert "No proposal overlaps" in chapter.findings[0]
    assert "and 0 proposals." in chapter.figures[0].text


@pytest.mark.parametrize(
    "model",
    [
        {"rpn_post_nms_top_n_train": 3},
        {"box_batch_size_per_image": 4},
        {"arch": "maskrcnn_mobilenet_v3_large_fpn", "classes": 90, "rpn_post_nms_top_n_train": 3},
        pytest.param({"arch": "maskrcnn_mobilenet_v3_large_fpn"}, marks=pytest.mark.slow),
        pytest.param({"classes": 90}, marks=pytest.mark.slow),
        {"rpn_score_thresh": 1.1},  # no proposals at all
    ],
    ids=str,
)
def test_other_networks_have_the_chapter_too(model):
    subject = make_subject(0, make_model(**model))
    names = tuple(f"class_{number}" for number in range(1, 91))
    weights = WeightsFile("maskrcnn", 91, names, {})
    chapter = targets_chapter(replace(subject, weights=weights))

    figures = {figure.name for figure in chapter.figures}
    assert figures >= {"positives", "positive-shares", "mask-targets"}
    assert ("background" in figures) == ("rpn_score_thresh" not in model)
    assert all(len(row) == len(one.head) for one in tables(chapter).values() for row in one.rows)
    labels = subject.training.roi_labels
    assert f"{len(labels[labels == 0])} RoIs teach background" in chapter.figures[0].text


@pytest.mark.slow
def test_very_many_objects_are_not_all_listed(subject):
    boxes = [[10.0 * (i % 12), 10.0 * (i // 12), 10 * (i % 12) + 8, 10 * (i // 12) + 8]
             for i in range(120)]  # fmt: skip
    rois = [[x1, y1, x2, y2 - 2] for x1, y1, x2, y2 in boxes]
    many = taught(subject, rois, [1, 2] * 60, list(range(120)), boxes)
    crowded = learning(subject, many)
    chapter = targets_chapter(crowded)
    rows = tables(chapter)["How many RoIs each object got"]

    assert len(rows.rows) == 20
    assert "100 objects with more are left out" in rows.text
    assert "of which 12 are drawn" in chapter.figures[0].text
