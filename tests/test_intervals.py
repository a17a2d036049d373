"""Resamples against images that are really there as often, and intervals against known truths."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from test_average_precision import matched, repeated, without_ties
from test_coco_evaluator import A, B, by_hand, predicted, random_case, record_set

from utils.evaluation.average_precision import average_precision
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.coco_parameters import AREAS, IOU_THRESHOLDS
from utils.evaluation.intervals import (
    Interval,
    ap_intervals,
    ap_resampled,
    expanded_tail,
    interval,
    interval_of,
    resamples,
)
from utils.evaluation.matches import Matches


def mean_over(values):
    """The statistic that is the mean of a value per image."""
    return lambda weights: weights @ values / len(values)


def simulated(seed, images, skill=0.0, model=0) -> Matches:
    """What a model of some skill finds in images that are easy or hard as a whole: one class.

    All models that are given one seed look at the same objects in the same images.
    """
    # Not [seed, model]: a trailing 0 changes nothing, and the two would draw the same numbers.
    truth, chance = np.random.default_rng(seed), np.random.default_rng([seed, 1 + model])
    ease, count = truth.normal(0, 1.5, images), truth.integers(0, 9, images)
    mistakes = chance.poisson(np.exp(-ease / 2))
    image = np.repeat(np.tile(np.arange(images), 2), np.concatenate([count, mistakes]))
    is_object = np.arange(len(image)) < count.sum()
    surety = chance.normal(0, 1, len(image)) + is_object * (1 + skill + ease[image])
    iou = np.where(is_object & (surety > 0), 1 - 0.5 * np.exp(-surety), 0)
    order = np.lexsort((-surety, image))
    image, iou = image[order], iou[order]
    matched = np.tile(iou > IOU_THRESHOLDS[:, None], (len(AREAS), 1, 1))
    return Matches(
        image,
        np.ones(len(image), np.int64),
        surety[order],
        np.arange(len(image)) - np.searchsorted(image, image),
        matched,
        np.zeros_like(matched),
        np.tile(count[:, None], (len(AREAS), 1, 1)),
    )


def test_resamples_draw_as_many_images_as_there_are():
    drawn = resamples(7, 500, seed=3)
    assert drawn.shape == (501, 7)
    assert drawn.dtype == np.float64
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 7).all()
    # A count is binomial of 7 draws at 1/7: mean 1, variance 6/7.
    np.testing.assert_allclose(drawn[1:].mean(axis=0), 1, atol=0.2)
    assert drawn[1:].var() == pytest.approx(6 / 7, abs=0.06)


def test_resamples_are_those_of_their_seed():
    first = resamples(9, 20, seed=1).copy()
    other = resamples(9, 20, seed=2).copy()
    assert (resamples(9, 20, seed=1) == first).all()
    assert (first != other).any()
    with pytest.raises(ValueError, match="read-only"):
        resamples(9, 20, seed=1)[0, 0] = 5


@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_pycocotools_with_the_images_really_drawn(seed):
    data, predictions = random_case(seed)
    predictions = without_ties(predictions)
    matches = matched(data, predictions)
    of_all = {n: ap_resampled(matches, data.classes, n, count=4, seed=seed) for n in (1, 100)}
    for row, weights in enumerate(resamples(len(data.images), 4, seed)):
        wanted = by_hand(*repeated(data, predictions, weights))
        names = {f"{kind}/AR{n}": n for kind in matches for n in of_all}
        names = dict.fromkeys(of_all[100], 100) | names
        for name, max_dets in names.items():
            value = of_all[max_dets][name].values[row]
            assert value == pytest.approx(wanted.get(name, math.nan), abs=1e-9, nan_ok=True), name


def test_every_headline_number_and_every_class_has_its_interval():
    data = record_set([[(1, A), (2, B)]] * 6, ("cat", "dog"))
    found = {n: predicted([(1, A, 0.9), (2, B if n % 2 else A, 0.8)]) for n in range(1, 7)}
    intervals = ap_intervals(matched(data, found), data.classes, max_dets=10, count=50)
    names = ["AP", "AP50", "AP75", "AR10", "AP/cat", "AP50/cat", "AP/dog", "AP50/dog"]
    assert set(intervals) == {f"{kind}/{name}" for kind in ("bbox", "segm") for name in names}
    metrics = CocoEvaluator(data)
    for image_id, prediction in found.items():
        metrics.process(image_id, prediction)
    for name, value in metrics.evaluate().items():
        if name in intervals:
            assert intervals[name].value == pytest.approx(value, abs=1e-9)
    dog = intervals["segm/AP/dog"]
    assert dog.low < dog.value < dog.high
    assert all(type(number) is float for number in dog)


def test_only_the_surest_detections_count():
    data = record_set([[(1, A), (1, B)]] * 6)
    found = {n: predicted([(1, A, 0.9), (1, B, 0.8)]) for n in range(1, 7)}
    intervals = ap_intervals(matched(data, found), data.classes, max_dets=1, count=20)
    assert intervals["segm/AP"].value == pytest.approx(51 / 101)
    assert intervals["segm/AR1"].value == pytest.approx(0.5)


@pytest.mark.parametrize("images", [0, 1, 4])
@pytest.mark.parametrize("found", [[], [(1, A, 0.9)]])
def test_few_images_have_no_interval(images, found):
    data = record_set([[(1, A)]] * images)
    predictions = {n: predicted(found) for n in range(1, images + 1)}
    assert ap_intervals(matched(data, predictions), data.classes, count=20) == {}
    assert interval(lambda weights: weights.sum(axis=1), images, count=20) is None


@pytest.mark.filterwarnings("error")
def test_what_is_not_labelled_has_no_interval():
    data = record_set([[]] * 8)
    found = {n: predicted([(1, A, 0.9)]) for n in range(1, 9)}
    assert ap_intervals(matched(data, found), data.classes, count=20) == {}
    crowds = record_set([[(1, A, 1)]] * 8)
    assert ap_intervals(matched(crowds, found), crowds.classes, count=20) == {}


def test_a_class_in_few_images_has_none_and_the_others_theirs():
    images = [[(1, A)] for _ in range(30)]
    for number in range(4):
        images[number] = [(1, A), (2, B)]
    data = record_set(images, ("cat", "dog"))
    found = {n: predicted([(1, A, 0.9), (2, B, 0.8)]) for n in range(1, 20)}
    intervals = ap_intervals(matched(data, found), data.classes, count=200)
    assert "segm/AP/cat" in intervals
    assert "segm/AP" in intervals
    assert "segm/AP/dog" not in intervals


def test_fewer_images_that_bear_on_a_number_make_its_interval_wider():
    values = np.linspace(0, 1, 40)
    of_all, of_six = interval(mean_over(values), 40), interval(mean_over(values), 40, bearing=6)
    assert of_six.low < of_all.low < of_all.value < of_all.high < of_six.high


def test_a_number_often_undefined_has_no_interval():
    values = np.full(101, 0.5)
    values[1:6] = math.nan
    assert interval_of(values, 50) is not None
    values[6] = math.nan
    assert interval_of(values, 50) is None
    assert interval_of(np.array([math.nan, 0.5, 0.5]), 50) is None
    assert interval_of(np.array([0.5, math.nan, math.nan]), 50) is None


def test_undefined_resamples_are_left_out():
    values = np.concatenate([[0.5], np.linspace(0, 1, 200)])
    with_gaps = np.concatenate([values, [math.nan] * 5])
    assert interval_of(with_gaps, 50) == interval_of(values, 50)


def test_resamples_that_are_off_are_moved_back():
    values = np.concatenate([[0.4], np.linspace(0.5, 0.6, 1001)])
    found = interval_of(values, 10**6)
    assert found == pytest.approx((0.4, 0.4 - 0.0475, 0.4 + 0.0475), abs=1e-4)


def test_an_interval_ends_where_the_number_does():
    values = np.concatenate([[0.99], np.linspace(0.9, 1, 1001)])
    shares = interval_of(values, 50)
    assert shares.high == 1
    assert interval_of(1 - values, 50).low == 0
    unbounded = interval_of(values, 50, lowest=0.99, highest=0.99)
    assert unbounded.high > 1
    assert unbounded.low == shares.low


@pytest.mark.parametrize(("images", "low"), [(5, 0.478), (20, 0.832), (200, 0.982)])
def test_no_error_seen_is_not_no_error(images, low):
    # 0.025^(1/n): that many images may be without an error by chance if 1 in 40 runs is to show it.
    data = record_set([[(1, A), (1, B)]] * images)
    found = {n: predicted([(1, A, 0.9), (1, B, 0.8)]) for n in range(1, images + 1)}
    of_ap = ap_intervals(matched(data, found), data.classes, count=100)["segm/AP"]
    assert of_ap == pytest.approx((1.0, low, 1.0), abs=5e-4)
    nothing = interval(mean_over(np.zeros(images)), images, count=100)
    assert nothing == pytest.approx((0.0, 0.0, 1 - low), abs=5e-4)


def test_the_bounds_are_those_of_the_number():
    same = interval(mean_over(np.full(20, 0.25)), 20, count=50, lowest=-1, highest=1)
    assert same == pytest.approx((0.25, 0.25 - 1.25 * 0.1684, 0.25 + 0.75 * 0.1684), abs=1e-4)


@pytest.mark.parametrize(
    # From a printed table of Student's distribution, at 0.975.
    ("images", "quantile"),
    [(5, 2.776), (6, 2.571), (10, 2.262), (20, 2.093), (61, 2.000), (10**6, 1.960)],
)
def test_the_tail_is_widened_as_student_widens_the_normal(images, quantile):
    widened = quantile * math.sqrt(images / (images - 1))
    assert -NormalDist().inv_cdf(expanded_tail(images)) == pytest.approx(widened, rel=0.02)


def test_of_many_images_the_interval_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).random(400)
    found = interval(mean_over(values), 400)
    reach = 1.96 * values.std() / math.sqrt(400)
    assert found == pytest.approx(
        (values.mean(), values.mean() - reach, values.mean() + reach), abs=0.1 * reach
    )


def coverage(found: list[Interval | None], truth: float) -> float:
    return np.mean([one.low <= truth <= one.high for one in found])


@pytest.mark.parametrize("images", [8, 20, 100])
def test_nineteen_of_twenty_intervals_of_a_mean_hold_the_truth(images):
    # Plain percentiles hold it in 0.89 of the sets of 8, an interval at 80 % in 0.8.
    draw = np.random.default_rng(images)
    found = [interval(mean_over(draw.random(images)), images, count=500) for _ in range(1500)]
    assert 0.93 < coverage(found, 0.5) < 0.97


def test_nineteen_of_twenty_intervals_of_ap_hold_the_truth():
    # Drawing objects, as if those of an image were not alike, would hold it in half of the sets.
    truth = average_precision(simulated(10**6, 40_000))[0].mean()
    sets = [simulated(seed, 15) for seed in range(150)]
    found = [ap_intervals({"segm": one}, ("cat",), count=300)["segm/AP"] for one in sets]
    assert 0.90 < coverage(found, truth) < 0.99
