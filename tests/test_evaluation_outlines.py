"""Overlaps of outlines, held against full-size masks and erosion in plain numpy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nets.contract import Prediction
from utils.data.records import ImageRecord, Instance, encode_mask
from utils.evaluation.image_sums import means
from utils.evaluation.outlines import (
    boundary_iou,
    dice,
    image_outlines,
    iou,
    outline_sums,
    pixel_dice,
)

HEIGHT, WIDTH = 60, 80


def box(x1, y1, x2, y2, height=HEIGHT, width=WIDTH) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def band_at_full_size(mask) -> np.ndarray:
    """Eroded as often as the band is wide by a 3 x 3 window; nothing lies beyond the image."""
    height, width = mask.shape
    inside = mask.copy()
    for _ in range(max(1, round(0.02 * math.hypot(height, width)))):
        padded = np.pad(inside, 1)
        inside = np.ones_like(mask)
        for dy in range(3):
            for dx in range(3):
                inside &= padded[dy : dy + height, dx : dx + width]
    return mask & ~inside


def overlap(first, second) -> float:
    return (first & second).sum() / max((first | second).sum(), 1)


def blob(rng, height, width) -> np.ndarray:
    """An ellipse or a box, ragged at times, at or over the border at times, in pieces at times."""
    mask = np.zeros((height, width), bool)
    rows, columns = np.ogrid[:height, :width]
    for _ in range(rng.integers(1, 4)):
        y, x = rng.integers(0, height), rng.integers(0, width)
        ry, rx = rng.integers(1, height // 2 + 2), rng.integers(1, width // 2 + 2)
        if rng.random() < 0.5:
            mask |= ((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1
        else:
            mask |= (abs(rows - y) <= ry) & (abs(columns - x) <= rx)
    if rng.random() < 0.3:
        mask &= rng.random((height, width)) < 0.98
    return mask


@pytest.mark.parametrize("seed", range(20))
def test_overlaps_are_those_of_full_size_masks(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, (15, 150, 400)[seed % 3], 2)
    first = blob(rng, height, width)
    shifted = np.roll(first, rng.integers(-4, 5, 2), (0, 1))
    for second in (first, shifted, blob(rng, height, width), np.zeros_like(first)):
        rles = encode_mask(first), encode_mask(second)
        assert iou(*rles) == pytest.approx(overlap(first, second), abs=1e-12)
        both, total = (first & second).sum(), first.sum() + second.sum()
        assert dice(*rles) == pytest.approx(2 * both / total, abs=1e-12)
        wanted = overlap(band_at_full_size(first), band_at_full_size(second))
        assert boundary_iou(*rles) == boundary_iou(*rles[::-1]) == wanted


@pytest.mark.parametrize("measure", [iou, dice, boundary_iou])
@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (box(0, 0, 0, 0), box(0, 0, 0, 0), 0.0),
        (box(0, 0, 0, 0), box(1, 1, 9, 9), 0.0),
        (box(5, 5, 6, 6), box(5, 5, 6, 6), 1.0),
        (box(0, 0, WIDTH, HEIGHT), box(0, 0, WIDTH, HEIGHT), 1.0),
        (box(0, 0, 10, 10), box(10, 0, 20, 10), 0.0),
        (box(0, 0, 10, 10), box(40, 40, 50, 50), 0.0),
    ],
    ids=["neither", "one", "pixel", "image", "touching", "apart"],
)
def test_plain_cases(measure, first, second, wanted):
    assert measure(encode_mask(first), encode_mask(second)) == wanted


def test_a_band_runs_along_the_border_of_the_image():
    # The diagonal is 100, so bands are 2 wide: 4 corners less of 80 x 60 and of 78 x 60.
    whole, narrower = box(0, 0, 80, 60), box(0, 0, 78, 60)
    bands = [80 * 60 - 76 * 56, 78 * 60 - 74 * 56]
    # Shared: all of the smaller band but its right edge, 2 x 56 pixels, which lies in the inside.
    both = bands[1] - 2 * 56
    wanted = both / (sum(bands) - both)
    assert boundary_iou(encode_mask(whole), encode_mask(narrower)) == pytest.approx(wanted)
    assert iou(encode_mask(whole), encode_mask(narrower)) == pytest.approx(78 / 80)


def test_overlaps_on_paper():
    left, right = encode_mask(box(0, 0, 20, 10)), encode_mask(box(10, 0, 30, 10))
    assert iou(left, right) == pytest.approx(100 / 300)
    assert dice(left, right) == pytest.approx(200 / 400)


def rles(*boxes):
    return [encode_mask(box(*one)) for one in boxes]


A, B = (0, 0, 10, 10), (20, 0, 30, 10)


@pytest.mark.parametrize(
    ("objects", "found", "crowds", "wanted"),
    [
        ([], [], [], math.nan),
        ([(0, 0, 0, 0)], [], [], math.nan),
        ([], [], [A], math.nan),
        ([A], [], [], 0.0),
        ([], [A], [], 0.0),
        ([A], [B], [], 0.0),
        ([A, B], [A], [], 2 * 100 / 300),
        ([A], [A, A, (0, 0, 5, 10)], [], 1.0),  # overlapping pixels count once
        ([(0, 0, 5, 10), (5, 0, 10, 10)], [A], [], 1.0),  # one detection of two objects
        ([], [A], [A], math.nan),  # all that is found lies in the crowd
        ([A], [A, (20, 0, 25, 10)], [B], 1.0),
        ([A], [A, (15, 0, 25, 10)], [B], 2 * 100 / 250),  # 50 pixels lie outside the crowd
        ([A, (10, 0, 25, 10)], [A], [B], 2 * 100 / 300),  # 50 pixels of an object lie in it
    ],
)
def test_dice_of_pixels(objects, found, crowds, wanted):
    assert pixel_dice(rles(*objects), rles(*found), rles(*crowds)) == pytest.approx(
        wanted, nan_ok=True
    )


@pytest.mark.parametrize("seed", range(10))
def test_dice_of_pixels_is_that_of_full_size_unions(seed):
    rng = np.random.default_rng(seed)
    groups = [[blob(rng, 40, 50) for _ in range(rng.integers(1, 4))] for _ in range(3)]
    masks, found, crowd = (np.any(group, axis=0) for group in groups)
    first, second = masks & ~crowd, found & ~crowd
    total = first.sum() + second.sum()
    wanted = 2 * (first & second).sum() / total if total else math.nan
    measured = pixel_dice(*([encode_mask(mask) for mask in group] for group in groups))
    assert measured == pytest.approx(wanted, nan_ok=True)


def record_of(*objects) -> ImageRecord:
    """``objects``: (label, box) or (label, box, iscrowd)."""
    instances = (Instance.from_mask(label, box(*one), *crowd) for label, one, *crowd in objects)
    return ImageRecord(1, Path("1.png"), WIDTH, HEIGHT, tuple(instances))


def found_of(*items) -> Prediction:
    """``items``: (label, box)."""
    return Prediction(
        boxes=torch.tensor([one for _, one in items], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for label, _ in items], dtype=torch.int64),
        scores=torch.linspace(0.9, 0.1, len(items)),
        masks=[encode_mask(box(*one)) for _, one in items],
    )


def measured(record, prediction, pairs, classes, counted=None):
    counted = np.ones(len(prediction["labels"]), bool) if counted is None else counted
    return image_outlines(record, prediction, pairs, counted, classes)


def test_images_without_objects_and_detections_have_no_number():
    empty = measured(record_of(), found_of(), [], 2)
    assert all(len(values) == 0 for values in empty[:-1])
    assert np.isnan(empty.pixel_dice).all()
    assert outline_sums([empty, empty], ("cat", "dog")) == {}
    assert outline_sums([], ("cat",)) == {}


SCENE = (
    record_of((1, A), (2, B), (2, (40, 0, 50, 10), 1)),
    found_of((2, (20, 0, 30, 5)), (1, A), (1, (60, 0, 70, 10)), (2, (40, 0, 50, 10))),
    [(1, 0), (0, 1)],
)


def test_an_image_is_measured_pair_by_pair():
    image = measured(*SCENE, classes=3)
    assert image.label.tolist() == [2, 1]
    assert image.true_area.tolist() == [100, 100]
    assert image.found_area.tolist() == [50, 100]
    assert image.iou.tolist() == [0.5, 1.0]
    # Bands are 2 wide: 50 - 6 x 1 pixels and 100 - 6 x 6; 2 rows of 10 and 2 x 3 x 2 are shared.
    assert image.boundary_iou.tolist() == pytest.approx([32 / (44 + 64 - 32), 1.0])
    np.testing.assert_allclose(image.pixel_dice, [200 / 300, 100 / 150, np.nan])


def test_pixels_of_detections_that_do_not_count_are_left_out():
    image = measured(*SCENE, classes=2, counted=np.array([True, True, False, True]))
    np.testing.assert_allclose(image.pixel_dice, [1, 100 / 150])
    assert image.iou.tolist() == [0.5, 1.0]


def test_polygons_are_outlines_too():
    polygon = [[20.0, 0.0, 30.0, 0.0, 30.0, 10.0, 20.0, 10.0]]
    instance = Instance(1, polygon, (20, 0, 10, 10), 100)
    record = ImageRecord(1, Path("1.png"), WIDTH, HEIGHT, (instance,))
    image = measured(record, found_of((1, B)), [(0, 0)], 1)
    assert image.iou.tolist() == image.pixel_dice.tolist() == [1.0]


def three_images():
    return [
        measured(*SCENE, classes=2),
        measured(record_of(), found_of(), [], 2),
        measured(record_of((1, A), (1, B)), found_of((1, A)), [(0, 0)], 2),
    ]


def test_means_are_over_pairs_and_over_images():
    metrics = means(outline_sums(three_images(), ("cat", "dog")))
    assert metrics == pytest.approx({
        "matched/IoU": 2.5 / 3, "matched/IoU/cat": 1.0, "matched/IoU/dog": 0.5,
        "matched/Dice": (2 + 2 / 3) / 3, "matched/Dice/cat": 1.0, "matched/Dice/dog": 2 / 3,
        "matched/BoundaryIoU": (2 + 32 / 76) / 3, "matched/BoundaryIoU/cat": 1.0,
        "matched/BoundaryIoU/dog": 32 / 76,
        "segm/Dice": 2 / 3, "segm/Dice/cat": 2 / 3, "segm/Dice/dog": 2 / 3,
    })  # fmt: skip


def test_one_class_has_no_numbers_of_its_own_and_a_class_without_pairs_none():
    images = [measured(record_of((1, A)), found_of((1, A)), [(0, 0)], 1)]
    names = {"matched/IoU", "matched/Dice", "matched/BoundaryIoU", "segm/Dice"}
    assert means(outline_sums(images, ("cat",))) == dict.fromkeys(names, 1.0)
    images = [measured(record_of((1, A)), found_of((1, A)), [(0, 0)], 2)]
    sums = outline_sums(images, ("cat", "dog"))
    assert set(sums) == names | {f"{name}/cat" for name in names}


def test_a_weight_is_how_often_an_image_counts():
    images, classes = three_images(), ("cat", "dog")
    sums = outline_sums(images, classes)
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 3, 0], [0, 1, 2.0]])
    for row, number in zip(weights, range(len(weights)), strict=True):
        drawn = [image for image, times in zip(images, row, strict=True) for _ in range(int(times))]
        wanted = means(outline_sums(drawn, classes))
        for name, value in sums.items():
            assert value.mean(weights)[number] == pytest.approx(
                wanted.get(name, np.nan), nan_ok=True
            )
