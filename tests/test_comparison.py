"""Two models on the same images: pairs of known truth, verdicts and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from test_average_precision import matched
from test_coco_evaluator import A, B, predicted, record_set
from test_intervals import simulated

from utils.evaluation.comparison import CANNOT_TELL, Difference, compare
from utils.evaluation.intervals import ap_intervals


def judged(images, right):
    """The matches of a model that finds the one object in so many of the images."""
    data = record_set([[(1, A)]] * images)
    found = {n: predicted([(1, A if n <= right else B, 0.9)]) for n in range(1, images + 1)}
    return matched(data, found)


def verdicts(pairs, images, skill):
    """Of models on the same simulated images, the second of which is more skilled or not."""
    for seed in range(pairs):
        first, second = simulated(seed, images), simulated(seed, images, skill, model=1)
        differences = compare({"segm": first}, {"segm": second}, ("cat",), count=300)
        yield differences["segm/AP"].verdict


def test_of_equal_models_nothing_can_be_told():
    # Of 500 pairs 0.938; the bound is over two standard errors of 100 away. An interval at 80 %
    # would find a difference in every fifth pair.
    found = list(verdicts(100, 20, skill=0.0))
    assert 0.88 < found.count(CANNOT_TELL) / len(found) < 1


def test_the_better_model_is_found():
    assert set(verdicts(10, 60, skill=1.5)) == {"better"}
    assert set(verdicts(10, 60, skill=-1.5)) == {"worse"}


def test_what_is_hard_for_both_cancels_out():
    first, second = simulated(0, 60), simulated(0, 60, 0.5, model=1)
    alone = [ap_intervals({"segm": one}, ("cat",), count=300)["segm/AP"] for one in (first, second)]
    together = compare({"segm": first}, {"segm": second}, ("cat",), count=300)["segm/AP"]
    assert together.value == pytest.approx(alone[1].value - alone[0].value, abs=1e-12)
    assert alone[1].low < alone[0].high  # by their own intervals the two cannot be told apart
    assert together.verdict == "better"
    assert together.high - together.low < 0.7 * (alone[1].high - alone[1].low)


def test_turned_around_better_is_worse():
    first, second = ({"segm": simulated(1, 40, model=n)} for n in range(2))
    there, back = compare(first, second, ("cat",)), compare(second, first, ("cat",))
    for name, one in there.items():
        other = back[name]
        assert (one.value, one.low, one.high) == pytest.approx(
            (-other.value, -other.high, -other.low), abs=1e-12
        )


def test_a_model_is_not_better_than_itself():
    found = compare(judged(20, 15), judged(20, 15), ("cat",), count=100)
    names = {"AP", "AP50", "AP75", "AR100", "AP/cat", "AP50/cat"}
    assert set(found) == {f"{kind}/{name}" for kind in ("bbox", "segm") for name in names}
    for name, difference in found.items():
        assert difference.name == name
        assert difference.verdict == CANNOT_TELL
        assert difference.images_needed is None
        assert (difference.value, difference.low, difference.high) == pytest.approx(
            (0, -0.1684, 0.1684), abs=1e-4
        )


def test_all_right_is_better_than_all_wrong():
    found = compare(judged(20, 0), judged(20, 20), ("cat",), count=100)["segm/AP"]
    assert (found.value, found.high) == pytest.approx((1, 1))
    assert found.low == pytest.approx(1 - 2 * 0.1684, abs=1e-4)  # of a range from -1 to 1
    assert found.verdict == "better"


@pytest.mark.parametrize("images", [0, 1, 4])
def test_few_images_tell_nothing(images):
    assert compare(judged(images, 0), judged(images, images), ("cat",), count=20) == {}


def test_other_images_are_refused():
    first = {"segm": simulated(0, 20)}
    for second in ({"segm": simulated(1, 20)}, {"segm": simulated(0, 21)}, {}):
        with pytest.raises(ValueError, match="not judged by the same images"):
            compare(first, second, ("cat",))


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ((0.031, 0.008, 0.055),
         "B is better than A in segm/AP by 0.031 (0.008 to 0.055) on 50 images"),
        ((-0.031, -0.055, -0.008),
         "B is worse than A in segm/AP by 0.031 (0.008 to 0.055) on 50 images"),
        # (0.022 / 0.012)^2 x 50 images x 2
        ((0.012, -0.010, 0.034),
         "cannot tell with 50 images whether B is better than A in segm/AP: the difference is "
         "0.012 (-0.010 to 0.034); a difference of this size takes about 340 images"),
        ((0.0, -0.010, 0.034),
         "cannot tell with 50 images whether B is better than A in segm/AP: the difference is "
         "0.000 (-0.010 to 0.034)"),
    ],
)  # fmt: skip
def test_the_sentence_says_it_all(numbers, wanted):
    assert Difference("segm/AP", *numbers, 50).sentence() == wanted


def test_the_sentence_names_the_models():
    text = Difference("segm/AP", 0.031, 0.008, 0.055, 50).sentence("old.pth", "new.pth")
    assert text.startswith("new.pth is better than old.pth in segm/AP")


@pytest.mark.parametrize(
    ("numbers", "images", "wanted"),
    [
        ((0.1, 0.0, 0.2), 50, 100),  # just not told: twice as many
        ((0.1, -0.1, 0.3), 50, 400),  # half as wide takes four times as many
        ((-0.1, -0.3, 0.1), 50, 400),
        ((-0.1, -0.2, 0.1), 50, 400),  # the side towards 0 counts
        ((0.012, -0.010, 0.034), 8, 54),
        ((0.012, -0.010, 0.034), 777, 5200),  # two digits
        ((0.1, 0.05, 0.2), 50, None),  # told
        ((1e-7, -0.1, 0.1), 50, None),  # more than anybody has
    ],
)  # fmt: skip
def test_images_needed_shrink_the_interval_by_their_root(numbers, images, wanted):
    assert Difference("segm/AP", *numbers, images).images_needed == wanted


def test_as_many_images_as_needed_tell_the_difference_mostly():
    few, skill = 20, 0.3
    pairs = [
        ({"segm": simulated(s, few)}, {"segm": simulated(s, few, skill, 1)}) for s in range(60)
    ]
    found = [compare(*pair, ("cat",), count=300)["segm/AP"] for pair in pairs]
    value = np.mean([one.value for one in found])
    reach = np.mean([one.high - one.low for one in found]) / 2
    needed = Difference("segm/AP", value, value - reach, value + reach, few).images_needed
    # Four in five are meant; the bounds are three standard errors of 40 away.
    told = list(verdicts(40, needed, skill)).count("better") / 40
    assert 0.6 < told < 0.99


def test_equal_models_are_called_so():
    same = judged(20, 12)
    sentence = compare(same, same, ("cat",))["segm/AP"].sentence()
    assert sentence == "A and B are equal in segm/AP on all 20 images"
    other = compare(judged(20, 12), judged(20, 13), ("cat",))["segm/AP"]
    assert "cannot tell with 20 images" in other.sentence()


@pytest.mark.parametrize("changed", [1, 2])
def test_one_or_two_images_tell_nothing(changed):
    """Whatever the rest: drawn again, a third of the sets have none of them."""
    other = compare(judged(30, 20), judged(30, 20 - changed), ("cat",))["segm/AP"]
    assert other.verdict == CANNOT_TELL
    assert other.low < 0 <= other.high
