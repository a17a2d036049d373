"""The evaluation benchmark: its load is what it says, and it tells when the numbers differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from nets.mask_paste import paste_masks
from tools import benchmark, evaluation_benchmark
from tools.evaluation_benchmark import (
    HEIGHT,
    MASK_SIDE,
    WIDTH,
    coco_dataset,
    compare,
    drawn_detections,
    drawn_record,
    max_difference,
    our_masks,
    reference_masks,
)
from utils.data.records import ImageRecord, RecordSet


def drawn(count=30, classes=5, detections=20):
    rng = np.random.default_rng(0)
    records = [drawn_record(rng, n, classes) for n in range(1, count + 1)]
    return records, [drawn_detections(rng, record, detections, classes) for record in records]


def test_objects_are_of_all_sizes_and_classes_and_some_are_crowds():
    records, _ = drawn(60)
    objects = [instance for record in records for instance in record.instances]
    assert len(objects) / len(records) == pytest.approx(7, rel=0.2)
    assert {instance.label for instance in objects} == {1, 2, 3, 4, 5}
    areas = np.array([instance.area for instance in objects])
    shares = np.histogram(areas, [0, 32**2, 96**2, np.inf])[0] / len(areas)
    assert (shares > 0.15).all()
    assert 0 < sum(instance.iscrowd for instance in objects) < 0.1 * len(objects)


@pytest.mark.parametrize("count", [1, 20])
def test_detections_are_as_the_heads_give_them(count):
    for record, heads in zip(*drawn(detections=count), strict=True):
        assert heads.boxes.shape == (count, 4)
        assert heads.masks.shape == (count, 1, MASK_SIDE, MASK_SIDE)
        assert heads.boxes.dtype == heads.scores.dtype == heads.masks.dtype == torch.float32
        assert heads.boxes.min() >= 0
        assert (heads.boxes <= torch.tensor([WIDTH, HEIGHT] * 2)).all()
        assert (heads.boxes[:, 2:] > heads.boxes[:, :2]).all()
        assert (heads.scores[1:] <= heads.scores[:-1]).all()
        assert 1 <= heads.labels.min() <= heads.labels.max() <= 5
        assert (heads.masks >= 0).all() and (heads.masks <= 1).all()  # noqa: PT018
        assert record.width == WIDTH


def test_an_image_without_objects_has_detections():
    heads = drawn_detections(np.random.default_rng(0), ImageRecord(1, Path(), WIDTH, HEIGHT), 4, 3)
    assert len(heads.boxes) == 4


def test_some_detections_find_an_object_of_their_class_and_some_do_not():
    ious = []
    for record, heads in zip(*drawn(), strict=True):
        objects = [instance for instance in record.instances if not instance.iscrowd]
        truth = [coco_mask.frPyObjects(o.segmentation, HEIGHT, WIDTH)[0] for o in objects]
        overlap = coco_mask.iou(our_masks(heads), truth, [0] * len(truth))
        labels = np.array([instance.label for instance in objects])
        overlap[heads.labels.numpy()[:, None] != labels] = 0
        ious += list(np.max(overlap, axis=1, initial=0))
    assert 0.2 < np.mean(np.array(ious) > 0.5) < 0.6
    assert 0.01 < np.mean(np.array(ious) > 0.8) < 0.4


def test_masks_of_both_are_the_same():
    for heads in drawn(2)[1]:
        assert reference_masks(heads) == our_masks(heads)


def test_the_coco_file_has_every_object():
    records, _ = drawn(10)
    dataset = coco_dataset(RecordSet(Path(), "drawn", tuple("abcde"), tuple(records)))
    assert [image["id"] for image in dataset["images"]] == list(range(1, 11))
    assert [category["id"] for category in dataset["categories"]] == [1, 2, 3, 4, 5]
    objects = [(r.image_id, i.label, list(i.bbox)) for r in records for i in r.instances]
    assert [(a["image_id"], a["category_id"], a["bbox"]) for a in dataset["annotations"]] == objects
    assert [a["id"] for a in dataset["annotations"]] == list(range(1, len(objects) + 1))


@pytest.mark.parametrize(
    ("wanted", "found", "difference"),
    [
        ({"a": 0.5, "b": 0.25}, {"a": 0.5, "b": 0.5, "more": 1.0}, 0.25),
        ({"a": -1.0, "b": 0.5}, {"b": 0.5}, 0.0),
        ({"a": -1.0}, {"a": 0.0}, 1.0),
        ({"a": 0.5}, {}, 1.5),
    ],
)
def test_the_largest_difference_counts_what_is_missing(wanted, found, difference):
    assert max_difference(wanted, found) == difference


@pytest.mark.parametrize(("images", "rounds"), [(1, 5), (3, 2)])
def test_both_ways_give_the_same_numbers(images, rounds):
    results = compare(images, detections=12, classes=3, rounds=rounds)
    masks, judging, both = results
    assert 0 <= both["difference"] < 1e-9
    assert ["difference" in result for result in results] == [False, False, True]
    for key in ("reference_s", "ours_s"):
        assert both[key] == pytest.approx(masks[key] + judging[key])
        assert masks[key] > 0
        assert judging[key] > 0
    for result in results:
        assert result["ratio"] == result["reference_s"] / result["ours_s"]


COMMAND = ["evaluate", "--images", "2", "--detections", "9", "--classes", "2"]


def test_the_command_prints_and_writes_each_part(tmp_path, capsys):
    benchmark.main(benchmark.parse([*COMMAND, "--json", str(tmp_path / "x.json")]))
    results = json.loads((tmp_path / "x.json").read_text())["results"]
    lines = capsys.readouterr().out.splitlines()
    assert len(results) == 3
    assert len(lines) == 4
    for line, result in zip(lines, results, strict=False):
        assert line.startswith(result["name"])
    assert lines[3].strip().startswith("largest difference of a metric: ")


def test_other_numbers_end_the_command_with_1(monkeypatch, tmp_path):
    def a_little_wider(heads):
        return paste_masks(heads.masks, heads.boxes + torch.tensor([0, 0, 4, 0]), HEIGHT, WIDTH)

    monkeypatch.setattr(evaluation_benchmark, "our_masks", a_little_wider)
    with pytest.raises(SystemExit) as ended:
        benchmark.main(benchmark.parse([*COMMAND, "--json", str(tmp_path / "x.json")]))
    assert ended.value.code == 1
    assert (tmp_path / "x.json").exists(), "the figures are there to be looked at"
