"""The labelled images that a model, or the predictions of any tool, are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from my_dataset import read_data
from utils.data import shapes
from utils.data.channels import RGB
from utils.data.instance_dataset import InstanceDataset, ShapesDataset
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, RecordSet
from utils.data.splits import Split
from utils.data_parts import TRAIN, VAL, find_parts
from utils.judged_classes import judging_notes, unlabelled_classes


def open_evaluation_data(
    description: dict[str, Any],
    classes: Sequence[str],
    *,
    data: str = "",
    format: str = "auto",
    options: ReadOptions = ReadOptions(),
    part: str = "auto",
    channels: int = RGB,
) -> InstanceDataset:
    """The labelled images to judge or show a trained model on.

    Of classes that the model does not know, objects are left out; which classes are judged is told
    in the data's notes, as is a set without any object, in which only false alarms are counted.

    Args:
        description: the ``data`` of its weights file.
        classes: what the model's classes are to be called. The data's labels are matched to the
            names that the model was trained with.
        data: another folder or ``shapes``; empty for the model's own data set.
        format: the data's, or ``auto``.
        options: what the data's reader is to be told; for the model's own data, what it was told
            for training.
        part: ``val``, ``train``, ``all``, or ``auto``: ``val`` of the model's own data set and of
            one that comes in parts, ``all`` of another.
        channels: of the images, as the network takes them.

    Raises:
        DataError: there is no such data, none of its classes is one of the model's, the part has
            no image, or held-out images cannot be told from training images.
    """
    trained_classes = description.get("classes", classes)
    if data == shapes.NAME or (not data and description.get("format") == shapes.NAME):
        return _held_out_shapes(trained_classes, classes, part, channels)
    places = find_parts(Path(data), format) if data else {}
    root = _place_of_part(places, part) if places else data or _own_root(description, part)
    if not data and format == "auto":
        format = description.get("format", "auto")
    if not data and not options.given():
        options = ReadOptions.from_dict(description.get("reading", {}))
        if root != description["root"]:
            options = replace(options, images=None)
    labelled = read_data(root, format, options=options)
    records = labelled.with_classes(trained_classes, only_one=True, only_shared=True)
    names = None if places else _names_of_part(description, records, bool(data), part)
    if names is not None:
        labelled, records = labelled.subset(names), records.subset(names)
    if not records.images:
        raise DataError(
            f"{root}: no image to look at in this part ({part}) of the data; choose another one "
            "with --split, or other data with --data"
        )
    notes = (*records.notes, *judging_notes(labelled, tuple(trained_classes)))
    unlabelled = unlabelled_classes(labelled, tuple(trained_classes))
    records = replace(records.renamed(classes), notes=notes, unlabelled=unlabelled)
    return InstanceDataset(records, compact_masks=True, channels=channels)


def open_labels(
    data: str,
    *,
    format: str = "auto",
    classes: Sequence[str] = (),
    options: ReadOptions = ReadOptions(),
    part: str = "auto",
) -> InstanceDataset:
    """Labelled images to hold predictions against that no model of ours made; of a set in parts,
    ``val`` unless another is asked for.

    Raises:
        DataError: there is no such data, or it has no such part.
    """
    places = {} if data == shapes.NAME else find_parts(Path(data), format)
    if part in ("train", "val") and not places and data != shapes.NAME:
        raise DataError(f"{data}: is one set without parts; leave --split {part} out")
    if data == shapes.NAME:
        return _held_out_shapes(shapes.CLASSES, classes or shapes.CLASSES, part, RGB)
    root = str(_place_of_part(places, part)) if places else data
    return InstanceDataset(read_data(root, format, classes, options=options), compact_masks=True)


def _place_of_part(places: dict[str, Path], part: str) -> Path:
    """Where a part of a given data set lies that comes in parts."""
    if part == "all":
        raise DataError(
            f"{places[TRAIN]} and {places[VAL]} are two sets; name one of them with --data"
        )
    return places[TRAIN if part == TRAIN else VAL]


def _own_root(description: dict[str, Any], part: str) -> str:
    """Where the model's own images of a part lie; validation data may have a folder of its own."""
    if "root" not in description:
        raise DataError(
            "the weights file names no data set; give labelled data with --data, or pictures to "
            "predict.py with --source"
        )
    root, val_root = description["root"], description["val_root"]
    if root != val_root and part == "all":
        raise DataError(f"{root} and {val_root} are two folders; name one with --data")
    return root if part in ("train", "all") else val_root


def _names_of_part(
    description: dict[str, Any], records: RecordSet, is_given: bool, part: str
) -> tuple[str, ...] | None:
    """The images of ``records`` that belong to ``part``; None for all of them."""
    if part == "all" or "split" not in description:
        if part in ("val", "train"):
            raise DataError(f"the weights file holds no split; use --split all for {records.root}")
        return None
    split = Split.from_dict(description["split"])
    fingerprint = records.fingerprint()
    if description["root"] != description["val_root"]:  # each folder is one part, whole
        if fingerprint == description["val_fingerprint"] and part != "train":
            return None
        if fingerprint == split.data_fingerprint and part == "train":
            return None
    elif fingerprint == split.data_fingerprint:
        return split.train if part == "train" else split.val
    shared = set(records.names()) & set(split.train)
    if is_given and part == "auto" and not shared:
        return None
    raise DataError(
        f"{records.root}: is not the data that was split for training (images or labels differ), "
        "so held-out images cannot be told from training images. If it is another set, use "
        "--split all; if not, restore it"
    )


def _held_out_shapes(
    trained_classes: Sequence[str], classes: Sequence[str], part: str, channels: int
) -> ShapesDataset:
    if part == "train":
        raise DataError("the shapes set draws its training scenes fresh, there is no such part")
    if tuple(trained_classes) != shapes.CLASSES:
        raise DataError(
            f"the shapes set has the classes {', '.join(shapes.CLASSES)}, the weights "
            f"{', '.join(trained_classes)}; name the weights' own data with --data"
        )
    dataset = ShapesDataset(shapes.HELD_OUT, held_out=True, compact_masks=True, channels=channels)
    dataset.data = dataset.data.renamed(classes)
    return dataset
