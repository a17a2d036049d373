"""Finding what is wrong with a data set before a night of training is spent on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from utils.data.images import load_image
from utils.data.records import DataError, ImageRecord, RecordSet

MOST_SHOWN = 10


def check_readable(data: RecordSet) -> None:
    """Decode every image completely.

    Raises:
        DataError: naming the first ten that cannot be read or differ in size from their record.
    """
    with ThreadPoolExecutor() as pool:
        results = pool.map(_problem, data.images)
        progress = tqdm(results, "checking images", len(data.images), leave=False, disable=None)
        problems = [problem for problem in progress if problem]
    if problems:
        more = f"\n... and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else ""
        raise DataError(
            f"{len(problems)} of {len(data.images)} images cannot be used:\n"
            + "\n".join(problems[:MOST_SHOWN])
            + more
        )


def _problem(record: ImageRecord) -> str | None:
    try:
        height, width = load_image(record.path).shape[:2]
    except DataError as error:
        return str(error)
    if (width, height) != (record.width, record.height):
        return (
            f"{record.path}: is {width}x{height} pixels (upright), its annotation says "
            f"{record.width}x{record.height}"
        )
    return None
