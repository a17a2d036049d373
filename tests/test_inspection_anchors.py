"""Anchors are torchvision's own, what they meet is counted, advice is held against brute force."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from inspected import ARCH, OPTIONS, make_model, make_subject
from torch.testing import assert_close
from torchvision.ops import box_iou

from nets.weights_file import WeightsFile
from utils.data.instance_dataset import InstanceDataset
from utils.data.records import ImageRecord, Instance, RecordSet
from utils.device import Precision
from utils.inspection.anchors import anchor_levels, best_anchors, misfit, positive_anchors
from utils.inspection.canvas import OBJECT
from utils.inspection.chapter import Table
from utils.inspection.chapters.anchors import anchors_chapter
from utils.inspection.subject import Subject
from utils.inspection.trace import trace_image

FIGURES = ["grids", "shapes", "negatives", "positives", "reach"]


def scene(boxes, size=(128, 128), channels=3, classes=("thing",), arch=ARCH, **options):
    """A subject whose image has filled rectangles, (left, top, width, height)."""
    height, width = size
    pixels, instances = np.full((height, width, channels), 0.2, np.float32), []
    for x, y, across, down in boxes:
        mask = np.zeros(size, bool)
        mask[y : y + down, x : x + across] = True
        pixels[mask] = 0.8
        instances.append(Instance.from_mask(1, mask))
    if channels == 3:
        pixels = (pixels * 255).astype(np.uint8)
    record = ImageRecord(0, Path("scenes/a.png"), width, height, tuple(instances))
    data = RecordSet(Path("scenes"), "coco", classes, (record,))
    dataset = InstanceDataset(data, compact_masks=True, channels=channels)
    dataset.read = lambda key: (pixels, record)
    options = {**OPTIONS, "channels": channels, **options}
    model = make_model(arch, len(classes), **options)
    weights = WeightsFile(arch, len(classes) + 1, classes, model.state_dict(), options=options)
    precision = Precision("fp32", "cpu")
    return Subject(Path("best.pth"), weights, model, precision, "a.png", pixels, dataset, 0, record)


def objects_of(subject):
    return subject.training.target["boxes"]


def table(chapter, word):
    return next(p for p in chapter.parts if isinstance(p, Table) and word in p.title)


@pytest.fixture(scope="module")
def subject():
    return make_subject(1)


@pytest.fixture(scope="module")
def chapter(subject):
    return anchors_chapter(subject)


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        (ARCH, (100, 170)),
        ("maskrcnn_mobilenet_v3_large_fpn", (40, 250)),
        pytest.param(ARCH, (40, 250), marks=pytest.mark.slow),
        pytest.param("maskrcnn_mobilenet_v3_large_fpn", (100, 170), marks=pytest.mark.slow),
    ],
)
def test_points_and_shapes_of_the_levels_make_torchvisions_anchors(arch, size):
    model = make_model(arch)
    seen = trace_image(model, torch.rand(3, *size))
    levels = anchor_levels(model, seen)
    every = [
        (level.points().repeat(1, 2)[:, None] + level.shapes).flatten(0, 1) for level in levels
    ]

    assert torch.equal(torch.cat(every), seen.anchors)
    assert [len(anchors) for anchors in every] == seen.counts
    assert [level.grid for level in levels] == [map.shape[-2:] for map in seen.features.values()]
    for level, anchors in zip(levels, every, strict=True):
        place = torch.tensor([[33.0, 21.0]])
        distance = (level.points() - place).norm(dim=1)
        first = int(distance.argmin()) * len(level.shapes)
        assert torch.equal(level.near(place)[0], anchors[first : first + len(level.shapes)])


def test_the_best_anchor_is_found_among_all(subject):
    boxes, seen = objects_of(subject), subject.trace
    best = best_anchors(seen, boxes)
    wanted = box_iou(boxes, seen.anchors)

    assert torch.equal(best.iou, wanted.amax(1))
    assert_close(wanted[torch.arange(len(boxes)), best.index], best.iou)
    starts = torch.tensor(seen.counts).cumsum(0)
    assert torch.equal(best.level, torch.searchsorted(starts, best.index, right=True))


def test_no_boxes_have_no_best_anchors(subject):
    best = best_anchors(subject.trace, torch.zeros(0, 4))

    assert best.iou.shape == best.index.shape == best.level.shape == (0,)
    assert (best.index.dtype, best.level.dtype) == (torch.int64, torch.int64)


def test_positive_anchors_have_the_object_that_torchvision_gives_them():
    subject = scene([(8, 8, 40, 40), (60, 60, 64, 60), (100, 4, 6, 30)])
    rpn, seen, taught = subject.model.rpn, subject.trace, subject.training
    found = positive_anchors(seen, taught, 0.7)
    matched = rpn.proposal_matcher(box_iou(objects_of(subject), seen.anchors))

    assert torch.equal(found.index, torch.where(matched >= 0)[0])
    assert torch.equal(found.object, matched[found.index])
    over = box_iou(seen.anchors[found.index], objects_of(subject))
    assert torch.equal(found.forced, (over < 0.7).all(1))
    assert 0 < found.forced.sum() < len(found.index)
    assert set(found.object.tolist()) == {0, 1, 2}


def test_an_image_without_objects_has_no_positive_anchors():
    subject = make_subject(0, without_objects=True)
    found = positive_anchors(subject.trace, subject.training, 0.7)

    assert len(found.index) == len(found.object) == len(found.forced) == 0


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ([0, 0, 40, 40], ""),
        ([0, 0, 32, 64], ""),
        ([0, 0, 8, 8], "size 8 px, anchors have 32 to 512 px"),
        ([0, 0, 600, 600], "size 600 px, anchors have 32 to 512 px"),
        ([0, 0, 30, 120], "height / width 4, anchors have 0.5 to 2"),
        ([5, 5, 105, 25], "height / width 0.2, anchors have 0.5 to 2"),
        ([0, 0, 4, 16], "size 8 px, anchors have 32 to 512 px and height / width 4, anchors have "
         "0.5 to 2"),
    ],
)  # fmt: skip
def test_a_misfit_is_named(subject, box, wanted):
    assert misfit(subject.model, torch.tensor(box, dtype=torch.float32)) == wanted


def test_an_object_out_of_reach_is_a_finding_with_its_remedy():
    subject = scene([(20, 30, 14, 14), (90, 64, 14, 14)])
    (finding,) = anchors_chapter(subject).findings

    assert finding.startswith("2 of 2 objects have no anchor of IoU 0.7, 2 of them none of 0.3: ")
    assert "1 thing (0.19: size 14 px, anchors have 32 to 512 px)" in finding
    assert "`--min-size " in finding
    assert "`--anchors auto`" in finding


@pytest.mark.slow
def test_many_objects_are_counted_and_the_worst_are_named():
    boxes = [(x, y, 5, 5) for x in range(0, 120, 11) for y in range(0, 120, 11)]
    chapter = anchors_chapter(scene([*boxes, (115, 100, 2, 20)]))

    assert chapter.findings[0].startswith("122 of 122 objects have no anchor of IoU 0.7")
    assert "; 119 more." in chapter.findings[0]
    assert len(table(chapter, "overlap least").rows) == 10
    assert "10 of 122 objects" in table(chapter, "overlap least").text
    assert "Only the 30 worst are drawn" in chapter.figures[-1].text


def test_the_chapter_counts_what_the_image_teaches(subject, chapter):
    taught = subject.training
    rows = table(chapter, "taught as").rows
    numbers = [[int(cell.replace(",", "")) for cell in row[1:]] for row in rows]
    positive, negative = taught.sampled_anchors

    assert [figure.name for figure in chapter.figures] == FIGURES
    assert [row[0] for row in rows] == ["P2", "P3", "P4", "P5", "P6", "all"]
    assert numbers[-1] == [sum(column) for column in zip(*numbers[:-1], strict=True)]
    assert numbers[-1][0] == int((taught.anchor_labels == 1).sum())
    assert numbers[-1][2:4] == [int((taught.anchor_labels == label).sum()) for label in (-1, 0)]
    assert numbers[-1][4:] == [int(positive.sum()), int(negative.sum())]
    assert numbers[-1][1] == int(positive_anchors(subject.trace, taught, 0.7).forced.sum())
    assert "takes 256 of them at random, at most 50% of them" in table(chapter, "taught as").text


def test_anchors_are_dashed_and_objects_solid(chapter):
    styles = {figure.name: {key.style for key in figure.keys if key.colour != OBJECT}
              for figure in chapter.figures}  # fmt: skip

    assert styles["shapes"] == styles["reach"] == {"dashed"}
    assert styles["positives"] | styles["negatives"] <= {"dashed", "dotted"}
    assert {key.style for figure in chapter.figures for key in figure.keys
            if key.colour == OBJECT} == {"solid"}  # fmt: skip


def test_the_levels_are_listed(subject, chapter):
    rows = table(chapter, "levels").rows
    best = best_anchors(subject.trace, objects_of(subject))

    assert rows[1][:6] == ("P3", "16x16", "8", "768", "64", "0.5, 1, 2")
    assert rows[1][6] == "90x46, 64x64, 46x90"
    assert [row[-1] for row in rows] == [str(int((best.level == n).sum())) for n in range(5)]


def test_a_picture_without_labels_has_levels_and_shapes():
    chapter = anchors_chapter(make_subject(0, with_labels=False))

    assert [figure.name for figure in chapter.figures] == ["grids", "shapes"]
    assert "no labels" in chapter.introduction
    assert [row[-1] for row in table(chapter, "levels").rows] == ["-"] * 5


def test_an_image_without_objects_is_all_background():
    chapter = anchors_chapter(make_subject(0, without_objects=True))

    assert [figure.name for figure in chapter.figures] == ["grids", "shapes", "negatives"]
    assert "all its anchors are background" in chapter.introduction
    assert table(chapter, "taught as").rows[-1][1:4] == ("0", "0", "0")
    assert chapter.findings == ()
    assert "labelled object" not in {key.text for f in chapter.figures for key in f.keys}


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        ((12, 400), {"max_size": 400}),
        ((128, 128), {"arch": "maskrcnn_mobilenet_v3_large_fpn", "channels": 1}),
        pytest.param((128, 128), {"channels": 4}, marks=pytest.mark.slow),
        pytest.param((128, 128), {"classes": tuple(map(str, range(90)))}, marks=pytest.mark.slow),
        pytest.param((128, 128), {"box_score_thresh": 1.1}, marks=pytest.mark.slow),
    ],
)
def test_other_networks_and_pictures_have_the_same_chapter(size, changes):
    chapter = anchors_chapter(scene([(30, 2, 40, 9)], size, **changes))

    assert [figure.name for figure in chapter.figures] == FIGURES
    assert all(figure.sheet().width > 600 for figure in chapter.figures)
    assert "1 " in table(chapter, "overlap least").rows[0][0]


def test_anchors_in_bfloat16_are_met_too(subject):
    other = replace(subject, precision=Precision("bf16", "cpu"))
    best = best_anchors(other.trace, objects_of(subject))

    assert_close(best.iou, best_anchors(subject.trace, objects_of(subject)).iou, atol=0.02, rtol=0)
    assert anchors_chapter(other).figures[0].name == "grids"
