"""``predictions.json``: a COCO data set with scores, written from the journal piece by piece."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nets.whole_file import replacing
from utils.evaluation.coco_evaluator import categories
from utils.prediction.journal import Record


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
    pieces = _pieces(classes, records)
    try:
        with replacing(path, path.with_name(f".{path.name}.part")) as file:
            file.writelines(piece.encode() for piece in pieces)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _pieces(classes: tuple[str, ...], records: Callable[[], Iterable[Record]]) -> Iterator[str]:
    yield '{"categories": ' + _text(categories(classes))
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


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
