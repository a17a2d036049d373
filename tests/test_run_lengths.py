"""Run lengths are decoded as pycocotools encodes them, and broken ones are noticed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from utils.data.run_lengths import joined_run_lengths, run_lengths, sums_within


def packed(counts):
    """As pycocotools writes them, of a picture of one row."""
    size = [1, sum(counts)]
    rle = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)
    return rle["counts"].decode("ascii")


some_counts = st.lists(st.integers(0, 3000), min_size=1, max_size=40).filter(any)


@given(some_counts)
def test_run_lengths_are_read_as_pycocotools_writes_them(counts):
    assert run_lengths(packed(counts)).tolist() == counts


@given(st.lists(some_counts, min_size=1, max_size=5))
def test_those_of_several_masks_begin_anew(masks):
    runs, numbers = joined_run_lengths([packed(counts) for counts in masks])
    assert runs.tolist() == [count for counts in masks for count in counts]
    assert numbers.tolist() == [len(counts) for counts in masks]


@pytest.mark.parametrize("text", ["", "`", "é0", "/"])
@pytest.mark.parametrize("place", [0, 1])
def test_one_broken_code_among_others_is_noticed(text, place):
    counts = ["04", "04"]
    counts.insert(place, text)
    assert joined_run_lengths(counts) is None


@pytest.mark.parametrize(
    ("values", "numbers", "sums"),
    [
        ([], [], []),
        ([], [0, 0], []),
        ([5, 1, 2, 7], [4], [5, 6, 8, 15]),
        ([5, 1, 2, 7], [0, 1, 2, 0, 1, 0], [5, 1, 3, 7]),
    ],
)
def test_sums_begin_anew(values, numbers, sums):
    found = sums_within(np.array(values, np.int64), np.array(numbers, np.int64))
    assert found.tolist() == sums


@pytest.mark.parametrize("text", ["", "`", "é0", "\ud800", "P" * 99, "/", "p"])
def test_broken_codes_are_noticed(text):
    assert run_lengths(text) is None
