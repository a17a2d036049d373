"""Weighted images against images that are really there as often."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_coco_evaluator import A, B, predicted, random_case, record_set

from utils.evaluation import average_precision as module
from utils.evaluation.average_precision import average_precision, average_recall, mean_of_defined
from utils.evaluation.coco_evaluator import CocoEvaluator


def matched(data, predictions):
    evaluator = CocoEvaluator(data)
    for image_id, prediction in predictions.items():
        evaluator.process(image_id, prediction)
    return evaluator.matches()


def without_ties(predictions):
    """Equal scores stand in the order of the images, which copies of an image would mix."""
    return {
        n: {**found, "scores": found["scores"] - torch.arange(len(found["scores"])) / 1e3 - n / 1e5}
        for n, found in predictions.items()
    }


def repeated(data, predictions, weights):
    """The data set with each image as often as its weight says, under ids of their own."""
    images, found = [], {}
    for record, weight in zip(data.images, weights, strict=True):
        for _ in range(int(weight)):
            copy = replace(record, image_id=1000 + len(images))
            images.append(copy)
            if record.image_id in predictions:
                found[copy.image_id] = predictions[record.image_id]
    return replace(data, images=tuple(images)), found


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("area", ["all", "s"])
def test_a_weight_is_a_number_of_images(seed, area):
    data, predictions = random_case(seed)
    predictions = without_ties(predictions)
    draw = np.random.default_rng(seed)
    weights = draw.integers(0, 4, (5, len(data.images)))
    for kind, matches in matched(data, predictions).items():
        for function in (average_precision, average_recall):
            ours = function(matches, weights.astype(float), area, max_dets=3)
            for row, values in zip(weights, ours, strict=True):
                if not row.any():
                    assert np.isnan(values).all()
                    continue
                copies = matched(*repeated(data, predictions, row))[kind]
                wanted = function(copies, None, area, max_dets=3)[0]
                np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-12)


def test_parts_give_what_the_whole_gives(monkeypatch):
    data, predictions = random_case(4)
    matches = matched(data, predictions)["segm"]
    weights = np.random.default_rng(0).integers(0, 3, (17, len(data.images))).astype(float)
    whole = average_precision(matches, weights)
    monkeypatch.setattr(module, "MOST_NUMBERS", 3 * len(matches.label))
    np.testing.assert_array_equal(average_precision(matches, weights), whole)


def test_a_class_without_objects_has_no_number():
    matches = matched(record_set([[(1, A)]], "ab"), {1: predicted([(1, A, 0.9), (2, B, 0.8)])})
    values = average_precision(matches["segm"])[0]
    np.testing.assert_allclose(values[:, 0], 1)
    assert np.isnan(values[:, 1]).all()


def test_mean_of_defined():
    table = np.array([[1.0, np.nan], [0.5, np.nan]])
    np.testing.assert_array_equal(mean_of_defined(table, 0), [0.75, np.nan])
    assert mean_of_defined(table, (0, 1)) == 0.75
