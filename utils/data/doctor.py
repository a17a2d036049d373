"""Finding what is wrong with a data set before a night of training is spent on it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tqdm import tqdm

from utils.data.images import check_resizable, load_image
from utils.data.records import DataError, ImageRecord, refuse


def check_images(images: Sequence[ImageRecord], min_size: int, max_size: int) -> None:
    """Decode every image completely, and see that it survives the resize to the network's input.

    Raises:
        DataError: naming the first ten that cannot be read, differ in size from their record, or
            are too thin to be resized.
    """
    problem_of = partial(_problem, min_size=min_size, max_size=max_size)
    with ThreadPoolExecutor() as pool:
        results = pool.map(problem_of, images)
        progress = tqdm(results, "checking images", len(images), leave=False, disable=None)
        refuse([problem for problem in progress if problem], len(images))


def check_sizes(images: Sequence[ImageRecord], min_size: int, max_size: int) -> None:
    """Raise ``DataError`` naming images too thin to be resized; no file is read."""
    results = [_thinness(record, min_size, max_size) for record in images]
    refuse([problem for problem in results if problem], len(images))


def _problem(record: ImageRecord, min_size: int, max_size: int) -> str | None:
    try:
        height, width = load_image(record.path).shape[:2]
    except DataError as error:
        return str(error)
    if (width, height) != (record.width, record.height):
        return (
            f"{record.path}: is {width}x{height} pixels (upright), its annotation says "
            f"{record.width}x{record.height}"
        )
    return _thinness(record, min_size, max_size)


def _thinness(record: ImageRecord, min_size: int, max_size: int) -> str | None:
    try:
        check_resizable(record.height, record.width, min_size, max_size)
    except DataError as error:
        return f"{record.path}: {error}"
    return None
