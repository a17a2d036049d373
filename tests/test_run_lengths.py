"""Run lengths are decoded as pycocotools encodes them, and broken ones are noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from utils.data.run_lengths import run_lengths


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40))
def test_run_lengths_are_read_as_pycocotools_writes_them(counts):
    size = [1, max(1, sum(counts))]
    counts = counts if sum(counts) else [1]
    rle = coco_mask.frPyObjects({"size": size, "counts": counts}, *size)
    assert run_lengths(rle["counts"].decode("ascii")).tolist() == counts


@pytest.mark.parametrize("text", ["", "`", "é0", "\ud800", "P" * 99, "/", "p"])
def test_broken_codes_are_noticed(text):
    assert run_lengths(text) is None
