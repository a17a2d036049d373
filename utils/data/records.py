"""What every annotation reader returns: plain records of images and their objects.

A record holds no pixels and no tensors. Outlines are COCO run-length codes or COCO polygons, and
all rasterising goes through pycocotools, so training targets, ground truth and conversions agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

MOST_SHOWN = 10  # problems in one message

Rle = dict[str, Any]  # {"size": [height, width], "counts": str}, COCO's compressed run lengths
Polygons = list[list[float]]  # [[x1, y1, x2, y2, ...], ...], one list per part, in pixels


class DataError(ValueError):
    """The data set is wrong; the message names the file, the field and what to do.

    ``problems`` are all that were found, one text each; the message may show fewer.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)


@dataclass(frozen=True)
class Instance:
    """One object: ``label`` 1..K, ``bbox`` (x, y, width, height) and ``area`` in pixels."""

    label: int
    segmentation: Rle | Polygons
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0

    @classmethod
    def from_mask(cls, label: int, mask: np.ndarray, iscrowd: int = 0) -> Instance:
        """Measure an object from its pixels; ``mask`` is (H, W), anything nonzero is object."""
        return cls.from_rle(label, encode_mask(mask), iscrowd)

    @classmethod
    def from_rle(cls, label: int, rle: Rle, iscrowd: int = 0) -> Instance:
        """Measure an object from its run lengths."""
        x, y, width, height = coco_mask.toBbox(rle).tolist()
        return cls(label, rle, (x, y, width, height), float(coco_mask.area(rle)), iscrowd)


@dataclass(frozen=True)
class ImageRecord:
    """One image of a data set. ``width`` and ``height`` are those of the upright picture."""

    image_id: int
    path: Path
    width: int
    height: int
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True)
class RecordSet:
    """A labelled data set as a reader found it.

    ``classes`` are the names in label order: label 1 is ``classes[0]``; 0 is background.
    ``format`` names the reader. Image paths lie under ``root``. ``notes`` say what the reader left
    out or filled in, with counts, for the person who labelled the data. ``given_split`` are the
    names to train on and to hold out, where the data set's own files say so. ``unlabelled`` are the
    labels of a model's classes that these labels do not know: of them nothing can be said.
    """

    root: Path
    format: str
    classes: tuple[str, ...]
    images: tuple[ImageRecord, ...]
    notes: tuple[str, ...] = ()
    given_split: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    unlabelled: frozenset[int] = frozenset()

    def name_of(self, record: ImageRecord) -> str:
        """The image's path relative to the data root, with forward slashes on every system."""
        return record.path.relative_to(self.root).as_posix()

    def names(self) -> tuple[str, ...]:
        """The names of all images, sorted."""
        return tuple(sorted(self.name_of(record) for record in self.images))

    def summary(self) -> str:
        """What was found, in one line."""
        objects = sum(len(record.instances) for record in self.images)
        empty = sum(not record.instances for record in self.images)
        without = f" ({empty} without objects)" if empty else ""
        return (
            f"{len(self.images)} images{without}, {objects} objects of {', '.join(self.classes)}, "
            f"{self.root} ({self.format})"
        )

    def subset(self, names: Sequence[str]) -> RecordSet:
        """The named images, in the order given.

        Raises:
            DataError: a name is not in the data set.
        """
        by_name = {self.name_of(record): record for record in self.images}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise DataError(
                f"{self.root}: the split names {len(missing)} image(s) that are not there, "
                f"first {missing[0]!r}; make a new split or restore the images"
            )
        images = tuple(by_name[name] for name in names)
        return replace(self, images=images, given_split=None)

    def with_classes(
        self, classes: Sequence[str], only_one: bool = False, only_shared: bool = False
    ) -> RecordSet:
        """The same objects with labels counted in ``classes``, matched by name.

        With ``only_one``, the class of a set that has one is the class of a model that has one,
        whatever their names. With ``only_shared``, objects of other classes are left out.

        Raises:
            DataError: a class of the data is not in ``classes``; with ``only_shared``, none is.
        """
        classes = tuple(classes)
        if classes == self.classes or (only_one and len(classes) == len(self.classes) == 1):
            return replace(self, classes=classes)
        unknown = [name for name in self.classes if name not in classes]
        if unknown and not (only_shared and len(unknown) < len(self.classes)):
            names = ", ".join(map(repr, first_ten(unknown)))
            wrong = f"class {names} is" if len(unknown) == 1 else f"classes {names} are"
            raise DataError(
                f"{self.root}: {wrong} not one of {', '.join(classes)}; classes are matched by "
                "name, so the labels must use these names"
            )
        label = {
            number: classes.index(name) + 1
            for number, name in enumerate(self.classes, 1)
            if name in classes
        }
        images = tuple(
            replace(
                record,
                instances=tuple(
                    replace(one, label=label[one.label])
                    for one in record.instances
                    if one.label in label
                ),
            )
            for record in self.images
        )
        return replace(self, classes=classes, images=images)

    def renamed(self, classes: Sequence[str]) -> RecordSet:
        """The same labels under other names; no names keep the old ones.

        Raises:
            DataError: not as many names as classes.
        """
        if classes and len(classes) != len(self.classes):
            raise DataError(
                f"{self.root}: has {len(self.classes)} class(es) ({', '.join(self.classes)}), "
                f"--classes names {len(classes)}"
            )
        return replace(self, classes=tuple(classes) or self.classes)

    def fingerprint(self) -> str:
        """A short hash of names, sizes, labels and outlines; class names do not count."""
        digest = hashlib.sha256()
        for record in sorted(self.images, key=self.name_of):
            digest.update(f"{self.name_of(record)} {record.width} {record.height}".encode())
            for instance in record.instances:
                digest.update(
                    repr((instance.label, instance.iscrowd, instance.segmentation)).encode()
                )
        return digest.hexdigest()[:16]


def settle(found: Sequence[str], total: int, problems: list[str] | None) -> None:
    """What a reader does in the end with the problems of single images, which it left out.

    They are appended to ``problems``, for a caller that looks for all that is wrong. One that only
    wants data it can use gives no list.

    Raises:
        DataError: there are problems and no list for them.
    """
    if problems is None:
        refuse(found, f"{total} image(s)")
    else:
        problems.extend(found)


def refuse(problems: Sequence[str], where: str) -> None:
    """Raise ``DataError`` with the first ten of the problems, if there are any."""
    if problems:
        shown = "\n".join(first_ten(problems))
        raise DataError(f"{len(problems)} problem(s) in {where}:\n{shown}", problems)


def first_ten(texts: Iterable[str]) -> list[str]:
    """The first ten of any number of texts and, if there are more, how many more."""
    texts = list(texts)
    more = len(texts) - MOST_SHOWN
    return [*texts[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def encode_mask(mask: np.ndarray) -> Rle:
    """Compress a (H, W) mask, anything nonzero is object, to COCO run lengths with str counts."""
    rle = coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def to_rle(segmentation: Rle | Polygons, height: int, width: int) -> Rle:
    """Any COCO outline as run lengths; the parts of a polygon are merged."""
    if isinstance(segmentation, dict):
        return segmentation
    parts = coco_mask.frPyObjects(segmentation, height, width)
    rle = coco_mask.merge(parts)
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def instance_masks(record: ImageRecord) -> np.ndarray:
    """The objects of one image as dense masks, uint8 0/1, (N, H, W)."""
    if not record.instances:
        return np.zeros((0, record.height, record.width), np.uint8)
    rles = [to_rle(i.segmentation, record.height, record.width) for i in record.instances]
    return np.ascontiguousarray(coco_mask.decode(rles).transpose(2, 0, 1))
