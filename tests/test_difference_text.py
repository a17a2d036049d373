"""Two models in words."""

from __future__ import annotations

import pytest
from test_coco_evaluator import A, B, predicted, record_set

from utils.data.records import DataError
from utils.evaluation.assessment import assess
from utils.evaluation.difference_text import describe_difference


def judged(right, images=30, classes=("cat",)):
    data = record_set([[(1, A)]] * images, classes)
    found = {n: predicted([(1, A if n <= right else B, 0.9)]) for n in range(1, images + 1)}
    return assess(data, found, "f1")


def test_the_better_one_is_named():
    text = describe_difference("a.pth", judged(5), "b.pth", judged(28))
    assert text.splitlines()[:2] == ["A is a.pth", "B is b.pth"]
    assert "B is better than A in segm/AP by" in text
    assert "on 30 images" in text
    assert "A is worse" not in text


def test_too_few_images_for_any_interval():
    text = describe_difference("a", judged(1, images=3), "b", judged(2, images=3))
    assert text.splitlines()[2] == "nothing can be compared: too few images or objects"


@pytest.mark.parametrize(
    "other", [judged(5, images=29), judged(5, classes=("dog",))], ids=["images", "classes"]
)
def test_others_images_or_classes_are_refused(other):
    with pytest.raises(DataError, match="different images, labels or classes"):
        describe_difference("a", judged(5), "b", other)
