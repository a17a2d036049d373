"""A folder to correct in labelme, the least sure pictures first."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from nets.whole_file import replacing
from utils.conversion.output_files import label_names
from utils.data.records import DataError, first_ten
from utils.folders import numbered, whole_text, write_file
from utils.prediction.found_picture import Unusable
from utils.prediction.journal import Record
from utils.prediction.labelme_labels import (
    IMAGE,
    is_untouched,
    predicted_content,
    predicted_record,
    shown_file,
    whole_view,
    write_labels,
)
from utils.prediction.picture_files import save_picture
from utils.prediction.source_names import as_text
from utils.prediction.sources import SourceImage

DIGITS = 4  # of a rank at least
COLUMNS = ("rank", "image", "original", "objects", "margin", "object", "class", "score")


class Doubt(NamedTuple):
    """How sure the least sure object of a picture is; they sort as they are to be looked at."""

    margin: float  # from 0, just above the threshold, to 1; infinite where nothing was found
    name: str  # of the picture
    which: int = -1  # of its objects, from 0


def write_review(
    folder: Path,
    records: Callable[[Sequence[str]], Iterable[Record]],
    sources: Mapping[str, SourceImage],
    classes: Sequence[str],
    thresholds: Sequence[float],
    most: int,
) -> list[str]:
    """The least sure pictures, numbered in this order, each with its labelme file: a data set.

    Pictures are copied as ``0001_<name>``; what is no file that labelme shows, as a PNG.
    ``review.csv`` tells for each where it comes from and which object is in doubt;
    ``label_names.txt`` holds the classes. First comes the picture with the least margin, that is
    ``(score - threshold) / (1 - threshold)`` of its least sure object; last, those in which nothing
    was found. What a person saved in the folder before stays under its old number, and is not given
    a second time.

    Args:
        folder: is made.
        records: ``Journal.records``: begins to give all records anew, those of the names first.
        sources: the pictures by name.
        classes: names in label order.
        thresholds: the scores from which on objects are shown, in label order.
        most: so many pictures at most; all if negative.

    Returns:
        What the person should know, a sentence each.

    Raises:
        OSError: the disk is full or not writable; names the file.
    """
    doubts, frames = _ranked(records(()), thresholds)
    wanted = len(doubts) if most < 0 else min(most, len(doubts))
    digits = max(DIGITS, len(str(wanted)))

    folder.mkdir(parents=True, exist_ok=True)
    saved = _clear(folder)
    if not (folder / "label_names.txt").exists():  # a person may have added classes
        write_file(folder / "label_names.txt", label_names(classes))
    rows: list[list[object]] = []
    gone = []
    for record, doubt in zip(records([doubt.name for doubt in doubts]), doubts, strict=False):
        if len(rows) == wanted:
            break
        source = sources.get(doubt.name)
        image = saved.get(doubt.name)
        if image is None:
            name = PurePosixPath(record["stem"]).name
            try:
                image = _give(folder, f"{len(rows) + 1:0{digits}}_{name}", record, source, classes)
            except DataError as error:
                gone.append(str(error))
                continue
        file = source.path if source else None
        original = as_text(str(file)) if file else doubt.name
        rows.append([len(rows) + 1, image, original, *_told(record, doubt, classes)])
    _write_table(folder / "review.csv", rows)
    return _notes(folder, len(rows), len(saved), frames, gone)


def least_sure(record: Record, thresholds: Sequence[float]) -> Doubt:
    """The doubt about a picture; objects without a pixel do not count."""
    doubts = [Doubt(math.inf, record["name"])]
    for which, found in enumerate(record["objects"]):
        threshold = thresholds[found["category_id"] - 1]
        room = max(1 - threshold, 1e-9)  # a threshold may be 1
        if found["area"]:
            doubts.append(Doubt((found["score"] - threshold) / room, record["name"], which))
    return min(doubts)


def _ranked(records: Iterable[Record], thresholds: Sequence[float]) -> tuple[list[Doubt], int]:
    """The pictures in the order of the review, and how many frames of videos are none of them."""
    doubts, frames = [], 0
    for record in records:
        if "video" in record:
            frames += 1
        else:
            doubts.append(least_sure(record, thresholds))
    return sorted(doubts), frames


def _clear(folder: Path) -> dict[str, str]:
    """Remove what an earlier run wrote and nobody has changed. What a person saved stays: its
    picture's file here, by the picture's name in the run."""
    saved = {}
    for path in sorted(folder.glob("*.json")):
        content = predicted_content(path)
        if content is None:
            continue
        image = Path(str(content["imagePath"])).name
        if is_untouched(content):
            (folder / image).unlink(missing_ok=True)
            path.unlink()
        else:
            saved[str(content[IMAGE])] = image
    return saved


def _give(
    folder: Path, stem: str, record: Record, source: SourceImage | None, classes: Sequence[str]
) -> str:
    """Write a picture and its labels; the name of its file.

    The labels come first: without its picture, the file is removed by the next run.

    Raises:
        DataError: the picture is not there any more, or cannot be read.
    """
    if source is None:
        raise DataError(f"{record['name']}: is no longer there")
    stem = next(name for name in numbered(stem) if not (folder / f"{name}.json").exists())
    file = shown_file(source.path)
    image = f"{stem}{file.suffix.lower() if file else '.png'}"
    objects = record["objects"]
    labels = partial(
        write_labels, folder / f"{stem}.json",
        predicted_record(
            record["width"], record["height"],
            [(found["category_id"], found["segmentation"]) for found in objects],
        ),
        classes, image, record["name"], [found["score"] for found in objects],
    )  # fmt: skip
    if file:
        with _opened(file) as original:
            labels()
            _copy(original, folder / image)
    else:
        picture = source.load()
        if isinstance(picture, Unusable):
            raise DataError(f"{picture.name}: {picture.problem}")
        labels()
        save_picture(whole_view(picture), folder / image)
    return image


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _copy(original: BinaryIO, path: Path) -> None:
    with replacing(path) as file:
        shutil.copyfileobj(original, file)


def _told(record: Record, doubt: Doubt, classes: Sequence[str]) -> list[object]:
    """The last columns of a picture's row."""
    objects = record["objects"]
    if doubt.which < 0:
        return [len(objects), "", "", "", ""]
    found = objects[doubt.which]
    name = classes[found["category_id"] - 1]
    return [len(objects), f"{doubt.margin:.3f}", doubt.which + 1, name, f"{found['score']:.3f}"]


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with whole_text(path) as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def _notes(folder: Path, given: int, saved: int, frames: int, gone: Sequence[str]) -> list[str]:
    notes = [f"{given} images to correct in labelme, the least sure first: {folder}"]
    if saved:
        notes.append(f"{saved} that you saved there before stay as they are")
    if frames:
        notes.append(f"{frames} frames of videos are not among them, only images are")
    if gone:
        notes.append("\n".join([f"{len(gone)} images could not be copied:", *first_ten(gone)]))
    return notes
