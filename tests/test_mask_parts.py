"""Parts of a mask are numbered as a flood fill finds them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from utils.data.records import encode_mask
from utils.doctor.mask_parts import encode_parts, find_parts

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
MASKS = arrays(np.uint8, SMALL_SHAPES, elements=st.integers(0, 1))


def pixels(parts, shape):
    return coco_mask.decode(encode_parts(parts, *shape))


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_parts_are_those_of_a_flood_fill(mask):
    parts, wanted = find_parts(encode_mask(mask)), flood_fill(mask)
    found = {pixels([part], mask.shape).tobytes() for part in parts}
    assert found == {(wanted == n).astype(np.uint8, order="F").tobytes()
                     for n in range(1, wanted.max() + 1)}  # fmt: skip
    assert [part.area for part in parts] == sorted(np.bincount(wanted[wanted > 0])[1:])[::-1]
    for part in parts:
        ys, xs = np.nonzero(pixels([part], mask.shape))
        assert part.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@settings(deadline=None)
@given(MASKS.filter(np.any))
def test_all_parts_together_are_the_run_lengths_that_the_mask_has(mask):
    assert encode_parts(find_parts(encode_mask(mask)), *mask.shape) == encode_mask(mask)


def test_pixels_that_touch_at_a_corner_are_one_part():
    mask = np.array([[1, 0, 0], [0, 5, 0], [0, 0, 0], [1, 0, 0]])
    assert [part.area for part in find_parts(encode_mask(mask))] == [2, 1]
