"""Crops from outlines are the full-size masks of pycocotools, cut to their boxes."""

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nets.contract import CompactMasks
from utils.data.mask_crops import crop_mask
from utils.data.records import ImageRecord, Instance, encode_mask, instance_masks
from utils.data.targets import record_target

masks = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))
sparse = hnp.arrays(bool, st.tuples(st.integers(1, 70), st.integers(1, 9)), fill=st.just(False))
polygons = st.lists(
    st.lists(st.floats(-30, 60, width=16), min_size=6, max_size=16).map(
        lambda numbers: numbers[: len(numbers) // 2 * 2]
    ),
    min_size=1,
    max_size=3,
)


def held_against_pycocotools(instance, height, width):
    record = ImageRecord(1, Path("a.png"), width, height, (instance,))
    expected = instance_masks(record)[0]
    crop = crop_mask(instance, height, width)
    if crop is None:
        assert not expected.any()
        return
    full = np.zeros_like(expected)
    full[crop.y : crop.y + crop.mask.shape[0], crop.x : crop.x + crop.mask.shape[1]] = crop.mask
    assert np.array_equal(full, expected)
    edges = (crop.mask[0], crop.mask[-1], crop.mask[:, 0], crop.mask[:, -1])
    assert all(edge.any() for edge in edges)


@given(st.one_of(masks, sparse))
def test_run_length_codes(mask):
    held_against_pycocotools(Instance.from_mask(1, mask), *mask.shape)


@given(polygons, st.integers(1, 50), st.integers(1, 50))
def test_polygons_inside_and_outside(parts, height, width):
    held_against_pycocotools(Instance(1, parts, (0, 0, 1, 1), 1), height, width)


def test_a_thousand_objects_take_what_their_boxes_take():
    side, reach = 2000, 40
    instances = []
    for number in range(1000):
        x, y = number % 40 * 50, number // 40 * 80
        corners = [x, y, x + reach, y, x + reach, y + reach, x, y + reach]
        instances.append(Instance(1, [list(map(float, corners))], (x, y, reach, reach), 1600))
    record = ImageRecord(1, Path("many.png"), side, side, tuple(instances))
    target = record_target(record, compact_masks=True)
    assert isinstance(target["masks"], CompactMasks)
    assert target["masks"].pixels.numel() == 1000 * reach * reach
    assert target["area"].tolist() == [1600.0] * 1000
    assert encode_mask(next(iter(target["masks"])).numpy())["size"] == [side, side]
