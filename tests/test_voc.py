"""AP image by image against one computed step by step, and scenes on paper."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from test_coco_evaluator import A, B, predicted, random_case, record_set, rectangle

from utils.evaluation.coco_evaluator import VOC_AP50, CocoEvaluator


def voc(data, predictions):
    evaluator = CocoEvaluator(data)
    for image_id, prediction in predictions.items():
        evaluator.process(image_id, prediction)
    return evaluator.evaluate().get(VOC_AP50)


def step_by_step(record, prediction) -> float | None:
    """Each detection in turn looks for the best free object of its class; then the area under the
    stairs of precision over recall."""
    objects = list(record.instances)
    if not objects:
        return None
    free, points = set(range(len(objects))), [(0.0, 0.0)]
    found = 0
    for d in range(0 if prediction is None else len(prediction["labels"])):
        best, best_iou = None, 0.5
        for g in sorted(free):
            iou = coco_mask.iou([prediction["masks"][d]], [objects[g].segmentation], [0])[0, 0]
            if objects[g].label == prediction["labels"][d] and iou >= best_iou:
                best, best_iou = g, iou
        if best is not None:
            free.remove(best)
            found += 1
        points.append((found / len(objects), found / (d + 1)))
    area = 0.0
    for i in range(1, len(points)):
        precision = max(p for _, p in points[i:])
        area += (points[i][0] - points[i - 1][0]) * precision
    return area


@pytest.mark.parametrize("seed", range(20))
def test_random_cases(seed):
    data, predictions = random_case(seed)
    if any(i.iscrowd for r in data.images for i in r.instances):
        pytest.skip("the demo's data has no crowds")
    areas = [step_by_step(record, predictions.get(record.image_id)) for record in data.images]
    areas = [area for area in areas if area is not None]
    assert voc(data, predictions) == (pytest.approx(np.mean(areas)) if areas else None)


def test_classes_of_an_image_are_pooled_and_images_averaged():
    data = record_set([[(1, A), (2, B)], [(1, A)], []], ("cat", "dog"))
    found = {
        1: predicted([(1, B, 0.9), (2, B, 0.8), (1, A, 0.7)]),  # precisions 1/2 and 2/3
        2: predicted([(1, A, 0.6)]),
        3: predicted([(1, A, 0.9)]),  # of an image without objects there is nothing to average
    }
    assert voc(data, found) == pytest.approx((2 / 3 + 1) / 2)


def test_nothing_to_find():
    assert voc(record_set([[]]), {1: predicted([(1, A, 0.9)])}) is None


def test_a_find_in_a_crowd_does_not_count():
    data = record_set([[(1, A), (1, rectangle(60, 0, 150, 120), 1)]])
    assert voc(data, {1: predicted([(1, B, 0.9), (1, A, 0.8)])}) == pytest.approx(1)
