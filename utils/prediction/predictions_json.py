"""``predictions.json``: a COCO data set with scores, written from the journal piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from utils.data.label_map import coco_categories
from utils.folders import whole_text
from utils.prediction.journal import Record

INFO = {"description": "objects found by predict.py: COCO annotations, each with its score"}
_text = json.JSONEncoder(ensure_ascii=False).encode  # made once: there are very many entries


def write_predictions(
    path: Path, classes: tuple[str, ...], records: Callable[[], Iterable[Record]]
) -> None:
    """Write the file whole or not at all; never more than one record is in memory.

    Args:
        path: of the file.
        classes: names in label order.
        records: begins to give them anew; twice the same.

    Raises:
        OSError: the disk is full; names the file, which is as it was before.
    """
    with whole_text(path) as file:
        file.writelines(_pieces(classes, records))


def _pieces(classes: tuple[str, ...], records: Callable[[], Iterable[Record]]) -> Iterator[str]:
    yield '{"info": ' + _text(INFO)
    yield ',\n"categories": ' + _text(coco_categories(classes))
    for key, entries in (("images", _images), ("annotations", _annotations)):
        yield f',\n"{key}": ['
        for number, entry in enumerate(entries(records())):
            yield ("," if number else "") + "\n" + _text(entry)
        yield "]"
    yield "}\n"


def _images(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    for image_id, record in enumerate(records, start=1):
        entry: dict[str, Any] = {"id": image_id, "file_name": record["name"]}
        keys = ("width", "height", "video", "frame", "seconds")
        yield entry | {key: value for key, value in record.items() if key in keys}


def _annotations(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    number = 0
    for image_id, record in enumerate(records, start=1):
        for found in record["objects"]:
            number += 1
            yield {"id": number, "image_id": image_id, **found}
