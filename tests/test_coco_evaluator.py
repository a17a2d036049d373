"""The evaluator against pycocotools called by hand, and against scenes computed on paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nets.contract import Prediction
from utils.data.records import ImageRecord, Instance, RecordSet, encode_mask
from utils.evaluation.coco_evaluator import VOC_AP50, CocoEvaluator

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
HEIGHT, WIDTH = 120, 150


def rectangle(x1, y1, x2, y2) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def record_set(images, classes=("cat",)) -> RecordSet:
    """``images``: per image a list of (label, mask) or (label, mask, iscrowd)."""
    records = tuple(
        ImageRecord(n, Path(f"root/{n}.png"), WIDTH, HEIGHT,
                    tuple(Instance.from_mask(*item) for item in items))
        for n, items in enumerate(images, start=1)
    )  # fmt: skip
    return RecordSet(Path("root"), "drawn", tuple(classes), records)


def predicted(items) -> Prediction:
    """``items``: (label, mask, score), sorted down by score."""
    boxes = []
    for _, mask, _ in items:
        rows, columns = np.nonzero(mask)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for label, _, _ in items], dtype=torch.int64),
        scores=torch.tensor([score for *_, score in items], dtype=torch.float32),
        masks=[encode_mask(mask) for _, mask, _ in items],
    )


def evaluated(data, predictions, max_dets=100):
    evaluator = CocoEvaluator(data, max_dets)
    for image_id, prediction in predictions.items():
        evaluator.process(image_id, prediction)
    return evaluator.evaluate()


def random_mask(rng) -> np.ndarray:
    """A rectangle or an ellipse of a small, medium or large object, 1 pixel at least."""
    side = rng.choice([12, 50, 118])
    width, height = rng.integers(1, side + 1, 2)
    x, y = rng.integers(0, WIDTH - width + 1), rng.integers(0, HEIGHT - height + 1)
    mask = rectangle(x, y, x + width, y + height)
    if rng.random() < 0.5:
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        dx, dy = columns - x - (width - 1) / 2, rows - y - (height - 1) / 2
        mask &= (dx / (width / 2)) ** 2 + (dy / (height / 2)) ** 2 <= 1
    return mask


def random_case(seed):
    """A data set and predictions with everything that occurs: crowds, ties, wrong classes, misses,
    inventions, images without objects or predictions, and a class that is never labelled."""
    rng = np.random.default_rng(seed)
    class_count = int(rng.integers(1, 4))
    labelled = class_count - 1 if class_count > 1 and seed % 3 == 0 else class_count
    images, predictions = [], {}
    for number in range(1, int(rng.integers(1, 7)) + 1):
        objects = [
            (int(rng.integers(1, labelled + 1)), random_mask(rng), int(rng.random() < 0.15))
            for _ in range(0 if seed % 13 == 1 else rng.integers(0, 6))
        ]
        found = []
        for label, mask, _ in objects:
            shift = rng.integers(-6, 7, 2) * (rng.random() < 0.6)
            moved = np.roll(mask, shift, (0, 1))
            if rng.random() < 0.8:
                found.append((label if rng.random() < 0.8 else 1, moved))
        found += [
            (int(rng.integers(1, class_count + 1)), random_mask(rng))
            for _ in range(rng.integers(0, 4))
        ]
        scored = [(*item, round(float(rng.random()), 1)) for item in found]  # many ties
        images.append(objects)
        if seed % 17 != 2 and rng.random() < 0.85:
            predictions[number] = predicted(sorted(scored, key=lambda item: -item[2]))
    return record_set(images, "abc"[:class_count]), predictions


def by_hand(data: RecordSet, predictions, max_dets=100) -> dict[str, float]:
    """The same numbers from pycocotools alone, the way its own demo calls it."""
    truth = COCO()
    truth.dataset = {
        "images": [{"id": r.image_id, "height": HEIGHT, "width": WIDTH} for r in data.images],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(data.classes)],
        "annotations": [],
    }
    for record in data.images:
        for item in record.instances:
            rows, columns = np.nonzero(coco_mask.decode(item.segmentation))
            x, y = float(columns.min()), float(rows.min())
            truth.dataset["annotations"].append({
                "id": 1000 + len(truth.dataset["annotations"]), "image_id": record.image_id,
                "category_id": item.label, "iscrowd": item.iscrowd, "area": float(len(rows)),
                "bbox": [x, y, float(columns.max()) + 1 - x, float(rows.max()) + 1 - y],
                "segmentation": item.segmentation,
            })  # fmt: skip
    truth.createIndex()

    metrics = {}
    for kind in ("bbox", "segm"):
        results = []
        for image_id, found in predictions.items():
            for n, (x1, y1, x2, y2) in enumerate(found["boxes"].tolist()):
                outline = (
                    {"bbox": [x1, y1, x2 - x1, y2 - y1]}
                    if kind == "bbox"
                    else {"segmentation": found["masks"][n]}
                )
                results.append({"image_id": image_id, "category_id": int(found["labels"][n]),
                                "score": float(found["scores"][n]), **outline})  # fmt: skip
        if results:
            found_index = truth.loadRes(results)
        else:
            found_index = COCO()
            found_index.dataset = {**truth.dataset, "annotations": []}
            found_index.createIndex()
        classes = [None, *range(1, len(data.classes) + 1)]
        for label in classes:
            evaluation = COCOeval(truth, found_index, kind)
            evaluation.params.maxDets = [1, 10, max_dets]
            if label:
                evaluation.params.catIds = [label]
            evaluation.evaluate()
            evaluation.accumulate()
            if max_dets != 100:  # of which summarize() knows nothing
                precision = evaluation.eval["precision"][..., 0, 2]
                metrics[f"{kind}/AP/{data.classes[(label or 1) - 1]}"] = float(precision.mean())
                continue
            evaluation.summarize()
            suffix = f"/{data.classes[label - 1]}" if label else ""
            for name, value in list(zip(NAMES, evaluation.stats, strict=True))[
                : 2 if label else 12
            ]:
                if value > -1:
                    metrics[f"{kind}/{name}{suffix}"] = float(value)
    return metrics


@pytest.mark.parametrize("seed", range(60))
def test_numbers_are_those_of_pycocotools(seed, capfd):
    data, predictions = random_case(seed)
    ours, reference = evaluated(data, predictions), by_hand(data, predictions)
    if ours:
        assert 0 <= ours.pop(VOC_AP50) <= 1
    assert ours == pytest.approx(reference, abs=1e-12, rel=0)
    assert all(0 <= value <= 1 for value in ours.values())


def test_random_cases_hold_what_they_claim():
    cases = [random_case(seed) for seed in range(60)]
    truths = [[i for r in data.images for i in r.instances] for data, _ in cases]
    assert any(not truth for truth in truths)
    assert any(not predictions for _, predictions in cases)
    assert any(i.iscrowd for truth in truths for i in truth)
    labelled = [len({i.label for i in truth}) for truth in truths]
    assert any(
        0 < count < len(data.classes) for (data, _), count in zip(cases, labelled, strict=True)
    )
    tied = [p["scores"].tolist() for _, found in cases for p in found.values()]
    assert any(len(set(scores)) < len(scores) for scores in tied)
    areas = {np.searchsorted([32**2, 96**2], i.area).item() for t in truths for i in t}
    assert areas == {0, 1, 2}


A, B = rectangle(10, 10, 50, 50), rectangle(80, 40, 120, 80)  # 1600 pixels, medium
FULL = {"AP": 1.0, "AP50": 1.0, "AP75": 1.0, "APm": 1.0, "AR100": 1.0, "ARm": 1.0}
NONE = dict.fromkeys(FULL, 0.0)
SCENES = {
    "nothing labelled, nothing found": ([], [], {}),
    "nothing labelled, something found": ([], [(A, 0.9)], {}),
    "nothing found": ([A, B], [], NONE),
    "one perfect object": ([A], [(A, 0.9)], FULL),
    "two perfect objects": ([A, B], [(A, 0.9), (B, 0.8)], FULL),
    "all at the wrong place": ([A], [(B, 0.9)], NONE),
    # Precision 1 up to recall 0.5, which is 51 of the 101 recall steps.
    "half": ([A, B], [(A, 0.9)], {"AP": 51 / 101, "AP50": 51 / 101, "AR100": 0.5}),
    "a better scored mistake": ([A], [(B, 0.9), (A, 0.8)], {"AP": 0.5, "AR100": 1.0}),
    "a worse scored mistake": ([A], [(A, 0.9), (B, 0.8)], FULL),
    # IoU 25/40 = 0.625 counts at 0.5, 0.55 and 0.6, three of the ten thresholds.
    "loose": ([A], [(rectangle(10, 10, 50, 35), 0.9)], {"AP": 0.3, "AP50": 1.0, "AP75": 0.0}),
}


@pytest.mark.parametrize("scene", SCENES)
def test_scene_has_the_numbers_computed_on_paper(scene):
    truth, found, wanted = SCENES[scene]
    data = record_set([[(1, mask) for mask in truth]])
    metrics = evaluated(data, {1: predicted([(1, *item) for item in found])})
    if not wanted:
        assert metrics == {}
    for kind in ("bbox", "segm"):
        for name, value in wanted.items():
            assert metrics[f"{kind}/{name}"] == pytest.approx(value)
        if wanted:
            assert metrics[f"{kind}/AP/cat"] == metrics[f"{kind}/AP"]
            assert not {f"{kind}/APs", f"{kind}/APl", f"{kind}/ARs", f"{kind}/ARl"} & set(metrics)


def test_boxes_and_masks_are_judged_apart():
    ring = A & ~rectangle(15, 15, 45, 45)  # its box is A's, its mask covers 700 of 1600 pixels
    metrics = evaluated(record_set([[(1, A)]]), {1: predicted([(1, ring, 0.9)])})
    assert metrics["bbox/AP"] == pytest.approx(1)
    assert metrics["segm/AP"] == 0.0


def test_a_find_inside_a_crowd_is_neither_right_nor_wrong():
    crowd = rectangle(60, 0, 150, 120)
    data = record_set([[(1, A), (1, crowd, 1)]])
    inside = predicted([(1, B, 0.9), (1, A, 0.8)])
    assert evaluated(data, {1: inside})["segm/AP"] == pytest.approx(1)


def test_an_unlabelled_class_has_no_number_and_does_not_lower_the_mean():
    data = record_set([[(1, A)]], ("cat", "dog"))
    metrics = evaluated(data, {1: predicted([(1, A, 0.9), (2, B, 0.8)])})
    assert metrics["segm/AP"] == metrics["segm/AP/cat"] == pytest.approx(1)
    assert not any(name.endswith("/dog") for name in metrics)


def test_images_that_were_not_processed_count_as_empty():
    data = record_set([[(1, A)], [(1, A)]])
    one = {1: predicted([(1, A, 0.9)])}
    assert evaluated(data, one) == evaluated(data, {**one, 2: predicted([])})
    assert evaluated(data, one)["segm/AR100"] == 0.5


def test_order_of_images_does_not_matter():
    data, predictions = random_case(7)
    backwards = dict(reversed(list(predictions.items())))
    assert evaluated(data, predictions) == evaluated(data, backwards)


def test_reset_forgets_all():
    evaluator = CocoEvaluator(record_set([[(1, A)]]))
    evaluator.process(1, predicted([(1, B, 0.9)]))
    evaluator.reset()
    evaluator.process(1, predicted([(1, A, 0.9)]))
    assert evaluator.evaluate()["segm/AP"] == pytest.approx(1)


def test_an_image_counts_once():
    evaluator = CocoEvaluator(record_set([[(1, A)]]))
    evaluator.process(1, predicted([]))
    with pytest.raises(ValueError, match="image 1 was evaluated already"):
        evaluator.process(1, predicted([]))


def test_an_unknown_image_is_refused():
    evaluator = CocoEvaluator(record_set([[(1, A)]]))
    with pytest.raises(ValueError, match="image 9 is not in"):
        evaluator.process(9, predicted([]))


def test_records_with_one_id_are_refused():
    data = record_set([[(1, A)], []])
    twice = replace(data, images=tuple(replace(r, image_id=4) for r in data.images))
    with pytest.raises(ValueError, match="not unique"):
        CocoEvaluator(twice)


@pytest.mark.parametrize("seed", range(3))
def test_with_more_detections_counted_than_coco_does(seed):
    """150 objects in an image, all found twice: 100 detections reach two thirds of them at best."""
    rng = np.random.default_rng(seed)
    masks = [rectangle(x, y, x + 8, y + 8) for x in range(0, 150, 10) for y in range(0, 100, 10)]
    data = record_set([[(1, mask) for mask in masks]])
    scored = [(1, mask, float(rng.random())) for mask in masks * 2]
    found = {1: predicted(sorted(scored, key=lambda item: -item[2]))}
    assert evaluated(data, found)["segm/AR100"] < 0.67
    many = evaluated(data, found, max_dets=300)
    assert many["segm/AR300"] == pytest.approx(1)
    assert many["segm/AP"] == pytest.approx(by_hand(data, found, 300)["segm/AP/cat"], abs=1e-12)


def test_evaluation_prints_nothing(capfd):
    evaluated(*random_case(3))
    assert capfd.readouterr().out == ""
