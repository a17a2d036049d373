"""Crops from outlines are the full-size masks of pycocotools, cut to their boxes."""

from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from nets.contract import CompactMasks
from utils.data.mask_crops import crop_mask, crop_rles, to_rles
from utils.data.records import ImageRecord, Instance, encode_mask, instance_masks, to_rle
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
    is_crop_of(crop_mask(instance, height, width), instance, height, width)


def is_crop_of(crop, instance, height, width):
    record = ImageRecord(1, Path("a.png"), width, height, (instance,))
    expected = instance_masks(record)[0]
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


def objects_of(shape):
    """Outlines of one picture: run lengths, without a pixel too, and polygons."""
    rles = hnp.arrays(bool, shape, fill=st.just(False)).map(
        lambda mask: Instance.from_mask(1, mask)
    )
    outlines = polygons.map(lambda parts: Instance(1, parts, (0, 0, 1, 1), 1))
    return st.tuples(st.just(shape), st.lists(st.one_of(rles, outlines), max_size=6))


@given(st.tuples(st.integers(1, 30), st.integers(1, 12)).flatmap(objects_of))
def test_all_objects_of_a_picture_at_once(drawn):
    size, objects = drawn
    rles = to_rles([one.segmentation for one in objects], *size)
    assert rles == [to_rle(one.segmentation, *size) for one in objects]
    for crop, instance in zip(crop_rles(rles), objects, strict=True):
        is_crop_of(crop, instance, *size)


@pytest.mark.parametrize("counts", [[3, 0, 4, 2, 3], [0, 2, 1, 0, 9], [6, 0, 6], [1, 1, 0, 1, 9]])
def test_runs_without_a_pixel_do_not_count(counts):
    """Nobody writes them, but a COCO file may hold them."""
    rle = coco_mask.frPyObjects({"size": [3, 4], "counts": counts}, 3, 4)
    instance = Instance(1, {**rle, "counts": rle["counts"].decode("ascii")}, (0, 0, 0, 0), 0)
    held_against_pycocotools(instance, 3, 4)


def test_no_object_and_none_with_a_pixel():
    empty = encode_mask(np.zeros((3, 4)))
    assert crop_rles([]) == to_rles([], 3, 4) == []
    assert crop_rles([empty, empty]) == [None, None]
    dot = encode_mask(np.eye(3, 4, 2))
    missing, crop, again = crop_rles([empty, dot, empty])
    assert (missing, again) == (None, None)
    assert (crop.x, crop.y, crop.mask.tolist()) == (2, 0, [[1, 0], [0, 1]])


@pytest.mark.parametrize("rles", [["`"], ["04", "`"], ["04", ""]])
def test_broken_run_lengths_are_refused(rles):
    with pytest.raises(ValueError, match="broken run lengths"):
        crop_rles([{"size": [2, 2], "counts": counts} for counts in rles])


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
