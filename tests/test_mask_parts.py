"""Parts of a mask are numbered as a flood fill finds them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from utils.doctor.mask_parts import label_parts

NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def flood_fill(mask):
    labels = np.zeros(mask.shape, int)
    pixels = set(zip(*np.nonzero(mask), strict=True))
    for seed in sorted(pixels):
        if not labels[seed]:
            labels[seed] = number = labels.max() + 1
            waiting = [seed]
            while waiting:
                y, x = waiting.pop()
                new = {(y + dy, x + dx) for dy, dx in NEIGHBOURS} & pixels
                new = [place for place in new if not labels[place]]
                for place in new:
                    labels[place] = number
                waiting += new
    return labels


SMALL_SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=12)


@settings(max_examples=300, deadline=None)
@given(arrays(np.uint8, SMALL_SHAPES, elements=st.integers(0, 1)))
def test_parts_are_those_of_a_flood_fill(mask):
    labels, wanted = label_parts(mask), flood_fill(mask)
    assert labels.shape == mask.shape
    assert np.array_equal(labels > 0, mask > 0)
    assert set(labels[labels > 0]) == set(range(1, wanted.max() + 1))
    assert len(set(zip(labels.ravel(), wanted.ravel(), strict=True))) == len(set(wanted.ravel()))


def test_pixels_that_touch_at_a_corner_are_one_part():
    mask = np.array([[1, 0, 0], [0, 5, 0], [0, 0, 0], [1, 0, 0]])
    assert label_parts(mask).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [2, 0, 0]]
