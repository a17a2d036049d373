"""Debris of blurred id masks: resizing and JPEG leave numbers along outlines that nobody drew.

A number between those of an object and of the background comes up wherever the blur passes it: in
many places, of few pixels each, or along a straight side as one step of a ramp. Fibres, cracks and
rings are thin as well, but of one piece, and not beside each other in the order of their numbers.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from utils.data.mask_crops import crop_mask
from utils.data.records import ImageRecord, Instance, to_rle
from utils.doctor.mask_parts import find_parts

FEW_PIXELS = 4  # of a number, or on average of its parts, are debris
THIN = 0.1  # a number that fills less of its box may be debris
MOST_STRAY = 20  # in a mask, if they are also half of its numbers: real objects may be tiny
HOLLOW = 0.5  # a number that fills less of its box may be a step of a ramp
MOST_STEPS = 10  # in a mask, if they are also half of its numbers
ON_STEP = 0.5  # share of a number's pixels that lie as those of a step do


def stray_objects(record: ImageRecord) -> set[int]:
    """Which objects of an image (from 0) are debris of a blurred mask; none if it is not."""
    thin = {n for n, one in enumerate(record.instances) if _is_tiny(one) or _fills(one) < THIN}
    if _are_many(thin, MOST_STRAY, record):
        scattered = {n for n in thin if _is_scattered(record.instances[n], record)}
        if _are_many(scattered, MOST_STRAY, record):
            return scattered
    hollow = {n for n, one in enumerate(record.instances) if _fills(one) < HOLLOW}
    if _are_many(hollow, MOST_STEPS, record):
        steps = _steps(record)
        if _are_many(steps, MOST_STEPS, record):
            return steps
    return set()


def _are_many(stray: set[int], most: int, record: ImageRecord) -> bool:
    return len(stray) >= most and 2 * len(stray) >= len(record.instances)


def _steps(record: ImageRecord) -> set[int]:
    """Objects that are steps of a ramp: most of their pixels lie between a lower and a higher
    number, and beside another step. A membrane lies between its cell and the background, but alone.

    Readers keep the order of the numbers, so that of the objects tells what is higher.
    """
    numbers = np.zeros((record.height, record.width), np.int32)
    for number, one in enumerate(record.instances, start=1):
        if crop := crop_mask(one, record.height, record.width):
            height, width = crop.mask.shape
            numbers[crop.y : crop.y + height, crop.x : crop.x + width][crop.mask > 0] = number
    around = np.pad(numbers, 1, mode="edge")
    rows, columns = numbers.shape
    shifted = [around[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    between = (reduce(np.minimum, shifted) < numbers) & (numbers < reduce(np.maximum, shifted))
    is_rim = _mostly(between, numbers, record)
    beside_rim = reduce(np.logical_or, [is_rim[near] & (near != numbers) for near in shifted])
    is_step = is_rim & _mostly(beside_rim, numbers, record)
    return {n - 1 for n in np.flatnonzero(is_step).tolist()}


def _mostly(pixels: np.ndarray, numbers: np.ndarray, record: ImageRecord) -> np.ndarray:
    """For each number, whether the bool ``pixels`` hold most of its own; never for 0."""
    count = len(record.instances) + 1
    found = np.bincount(numbers[pixels], minlength=count)
    own = np.bincount(numbers.ravel(), minlength=count)
    mostly = (found >= ON_STEP * own) & (own > 0)
    mostly[0] = False
    return mostly


def _is_tiny(one: Instance) -> bool:
    return one.area <= FEW_PIXELS


def _fills(one: Instance) -> float:
    """The share of its box that an object fills."""
    return one.area / max(one.bbox[2] * one.bbox[3], 1)


def _is_scattered(one: Instance, record: ImageRecord) -> bool:
    parts = find_parts(to_rle(one.segmentation, record.height, record.width))
    return one.area <= FEW_PIXELS * len(parts)
