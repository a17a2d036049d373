"""Runs of id masks, held against one mask per number."""

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from utils.data.formats.id_runs import id_rles, value_counts
from utils.data.records import encode_mask

MASKS = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 7), st.integers(1, 7)),
    elements=st.sampled_from([0, 0, 1, 2, 255, 65535, -3]),
)  # fmt: skip


def test_nothing_has_no_runs():
    blank = np.zeros((3, 4), np.int64)
    assert id_rles(blank) == {}
    assert id_rles(np.full((3, 4), 255), without=(0, 255)) == {}
    values, counts = value_counts(blank, blank)[0]
    assert (values.tolist(), counts.tolist()) == ([0], [12])


@given(MASKS)
def test_every_number_is_encoded_as_its_own_mask(ids):
    expected = {int(n): encode_mask(ids == n) for n in np.unique(ids) if n != 0}
    found = id_rles(ids)
    assert found == expected
    assert list(found) == list(expected)


@given(MASKS, st.data())
def test_values_are_counted_as_in_each_mask(ids, data):
    values = data.draw(hnp.arrays(np.int64, ids.shape, elements=st.integers(0, 3)))
    found = value_counts(ids, values)
    assert sorted(found) == np.unique(ids).tolist()
    for number, (own, counts) in found.items():
        expected, expected_counts = np.unique(values[ids == number], return_counts=True)
        assert own.tolist() == expected.tolist()
        assert counts.tolist() == expected_counts.tolist()


def test_a_thousand_objects_take_no_thousand_passes():
    ids = np.arange(1, 1090).reshape(33, 33).repeat(40, 0).repeat(40, 1)
    start = time.perf_counter()
    assert len(id_rles(ids)) == len(value_counts(ids, ids)) == 1089
    assert time.perf_counter() - start < 2  # one pass each; a thousand took more than ten seconds
