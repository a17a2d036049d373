"""Agreement of counts and areas, computed on paper and pair by pair in the plainest way."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from utils.evaluation.agreement import (
    area_agreement,
    area_sums,
    bland_altman,
    concordance,
    count_agreement,
    count_sums,
)
from utils.evaluation.image_sums import means

NO_AREA = np.zeros(0)
NO_LABEL = np.zeros(0, np.int64)


def table(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.int64)


def test_no_image_has_no_count():
    assert count_agreement(np.zeros((0, 2)), np.zeros((0, 2)), ("cat", "dog")) == {}


def test_counts_of_one_class_on_paper():
    found, objects = table([3], [0], [5], [2]), table([2], [0], [8], [2])
    wanted = {"bias": -0.5, "MAE": 1.0, "RMSE": math.sqrt(10 / 4), "exact": 0.5}
    assert count_agreement(found, objects, ("cat",)) == pytest.approx(
        {f"count/{name}": value for name, value in wanted.items()}
    )


def test_counts_of_two_classes_on_paper():
    # A cat is taken for a dog in the first image: the classes are wrong, the total is right.
    found, objects = table([1, 2], [4, 0]), table([2, 1], [1, 0])
    assert count_agreement(found, objects, ("cat", "dog")) == pytest.approx({
        "count/bias": 1.5, "count/MAE": 1.5, "count/RMSE": math.sqrt(4.5), "count/exact": 0.5,
        "count/bias/cat": 1.0, "count/MAE/cat": 2.0, "count/RMSE/cat": math.sqrt(5),
        "count/exact/cat": 0.0,
        "count/bias/dog": 0.5, "count/MAE/dog": 0.5, "count/RMSE/dog": math.sqrt(0.5),
        "count/exact/dog": 0.5,
    })  # fmt: skip


def test_unsigned_counts_do_not_wrap_around():
    found, objects = np.array([[0]], np.uint8), np.array([[3]], np.uint8)
    assert count_agreement(found, objects, ("cat",))["count/bias"] == -3


def test_a_class_may_have_any_name():
    found, objects = table([1, 5], [1, 1]), table([3, 3], [1, 1])
    metrics = count_agreement(found, objects, ("MSE", "/MSE"))
    assert metrics["count/bias/MSE"] == -1
    assert metrics["count/RMSE/MSE"] == pytest.approx(math.sqrt(2))
    assert not any(name.startswith("count/MSE") for name in metrics)


@pytest.mark.parametrize("classes", [("cat",), ("cat", "dog", "cow")])
def test_counts_are_weighted_by_image(classes):
    rng = np.random.default_rng(0)
    found, objects = rng.integers(0, 4, (2, 6, len(classes)))
    weights = rng.integers(0, 3, (5, 6))
    sums = count_sums(found, objects, classes)
    for number, row in enumerate(weights):
        wanted = means(
            count_sums(*(np.repeat(one, row, axis=0) for one in (found, objects)), classes)
        )
        for name, value in sums.items():
            assert value.mean(weights * 1.0)[number] == pytest.approx(wanted[name])


def test_fewer_than_two_pairs_have_no_agreement():
    assert area_agreement(NO_LABEL, NO_AREA, NO_AREA, ("cat", "dog")) == {}
    one = np.array([50.0])
    assert area_agreement(np.array([1]), one, one, ("cat",)) == {}
    assert bland_altman(one) is concordance(one, one) is None


def test_areas_on_paper():
    true, found = np.array([100.0, 200, 400]), np.array([110.0, 190, 430])
    # Differences 10, -10, 30: mean 10, deviation 20. In percent 10, -5, 7.5: deviation sqrt(62.58).
    spread = 1.96 * math.sqrt((5.8333333**2 + 9.1666667**2 + 3.3333333**2) / 2)
    assert area_agreement(np.array([1, 1, 1]), true, found, ("cat",)) == pytest.approx({
        "area/bias": 10, "area/low": 10 - 39.2, "area/high": 10 + 39.2,
        "area/bias_percent": 12.5 / 3, "area/low_percent": 12.5 / 3 - spread,
        "area/high_percent": 12.5 / 3 + spread,
        "area/concordance": concordance(true, found),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ([1.0, 2, 3], [1.0, 2, 3], 1.0),
        ([1.0, 2, 3], [3.0, 2, 1], -1.0),
        ([1.0, 2, 3], [2.0, 3, 4], 2 * (2 / 3) / (4 / 3 + 1)),  # perfect but for a bias of 1
        ([1.0, 2, 3], [2.0, 2, 2], 0.0),
        ([2.0, 2, 2], [2.0, 2, 2], None),
        ([2.0, 2, 2], [3.0, 3, 3], 0.0),
    ],
)
def test_concordance_on_paper(first, second, wanted):
    assert concordance(np.array(first), np.array(second)) == (
        None if wanted is None else pytest.approx(wanted)
    )


@pytest.mark.parametrize("seed", range(4))
def test_areas_of_classes_are_those_of_their_pairs(seed):
    rng = np.random.default_rng(seed)
    classes = ("cat", "dog", "cow", "bird")
    label = np.array([1, 1, 2, *rng.integers(3, 5, 12)])  # a single dog
    true = rng.uniform(50, 500, len(label))
    found = true * rng.uniform(0.7, 1.4, len(label))
    metrics = area_agreement(label, true, found, classes)
    for suffix, labels in {"": (1, 2, 3, 4), "/cat": (1,), "/cow": (3,), "/bird": (4,)}.items():
        pairs = [(t, f) for t, f, k in zip(true, found, label, strict=True) if k in labels]
        for unit, differences in (
            ("", [f - t for t, f in pairs]),
            ("_percent", [100 * (f - t) / t for t, f in pairs]),
        ):
            bias, spread = statistics.mean(differences), 1.96 * statistics.stdev(differences)
            for name, value in (("bias", bias), ("low", bias - spread), ("high", bias + spread)):
                assert metrics[f"area/{name}{unit}{suffix}"] == pytest.approx(value)
        assert f"area/concordance{suffix}" in metrics
    assert not any(name.endswith("/dog") for name in metrics)


def test_areas_are_weighted_by_image():
    rng = np.random.default_rng(3)
    classes, images = ("cat", "dog"), 5
    image, label = np.array([0, 0, 1, 3, 3, 3, 4]), np.array([1, 2, 1, 2, 2, 2, 1])
    true = rng.uniform(50, 500, 7)
    found = true * rng.uniform(0.7, 1.4, 7)
    sums = area_sums(image, label, true, found, images, classes)
    assert set(means(sums)) == {
        f"area/bias{unit}{of}" for unit in ("", "_percent") for of in ("", "/cat", "/dog")
    }
    weights = np.array([[1, 1, 1, 1, 1], [2, 0, 5, 1, 1], [1, 2, 0, 0, 3]])
    for number, row in enumerate(weights):
        times = row[image]
        pairs = (np.repeat(values, times) for values in (label, true, found))
        wanted = area_agreement(*pairs, classes)
        for name, value in sums.items():
            if name in wanted:  # of two pairs or more
                assert value.mean(weights * 1.0)[number] == pytest.approx(wanted[name])
    assert np.isnan(sums["area/bias"].mean(np.array([[0.0, 0, 1, 0, 0]]))[0])


def test_no_pair_has_no_sums():
    assert area_sums(NO_LABEL, NO_LABEL, NO_AREA, NO_AREA, 3, ("cat",)) == {}
