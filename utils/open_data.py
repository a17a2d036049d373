"""Which images a command works on: both sides of a split to train, one part to judge or show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from my_dataset import InstanceDataset, ShapesDataset, read_data
from utils.data import shapes
from utils.data.records import DataError
from utils.data.splits import Split, make_split, read_split
from utils.data.transforms import train_transforms


class TrainingData(NamedTuple):
    """Both sides of a split, ready to train on."""

    train: InstanceDataset
    val: InstanceDataset
    split: Split

    def description(self, root: str) -> dict[str, Any]:
        """What the weights file remembers of its data; plain values."""
        return {
            "root": str(Path(root)),  # as val_root is spelled: "folder/" is "folder"
            "val_root": str(self.val.data.root),
            "format": self.train.data.format,
            "split": self.split.to_dict(),
        }


def open_training_data(
    data: str,
    format: str = "auto",
    classes: Sequence[str] = (),
    val_data: Path | None = None,
    split_file: Path | None = None,
    epoch_scenes: int = 1000,
    seed: int = 0,
    check_always: bool = False,
) -> TrainingData:
    """Training and validation data of a folder or of the built-in ``shapes``.

    Raises:
        DataError: the data is wrong, or the split is of another data set.
    """
    flip = train_transforms()
    train: InstanceDataset
    val: InstanceDataset
    if data == shapes.NAME:
        train = ShapesDataset(epoch_scenes, flip, seed=seed, check_always=check_always)
        val = ShapesDataset(shapes.HELD_OUT, held_out=True, check_always=check_always)
        names = tuple(val.data.name_of(record) for record in val.data.images)
        return TrainingData(train, val, Split((), names, seed, val.data.fingerprint()))
    records = read_data(data, format, classes)
    if val_data is not None:
        val_records = read_data(val_data, format, classes).with_classes(records.classes)
        split = Split(records.names(), val_records.names(), seed, records.fingerprint())
        train_records = records
    else:
        split = read_split(split_file, records) if split_file else make_split(records, seed)
        train_records, val_records = records.subset(split.train), records.subset(split.val)
    train = InstanceDataset(train_records, flip, seed, check_always)
    val = InstanceDataset(val_records, check_always=check_always)
    return TrainingData(train, val, split)


def open_evaluation_data(
    description: dict[str, Any], classes: Sequence[str], data: str, format: str, part: str
) -> InstanceDataset:
    """The labelled images to judge or show a trained model on.

    Args:
        description: the ``data`` of its weights file.
        classes: the model's; the data's labels are matched to them by name.
        data: another folder or ``shapes``; empty for the model's own data set.
        format: the data's, or ``auto``.
        part: ``val``, ``train``, ``all``, or ``auto``: ``val`` of the model's own data set, ``all``
            of another.

    Raises:
        DataError: there is no such data, or the model's own has changed since the split was drawn.
    """
    own_root = description.get("root", "")
    if not (data or own_root):
        raise DataError("the weights file names no data set; give one with --data PATH")
    if (data or own_root) == shapes.NAME:
        return _held_out_shapes(classes, part)
    val_root = description.get("val_root", own_root)
    if not data and val_root != own_root:  # two folders, each of them one part
        if part == "all":
            raise DataError(f"{own_root} and {val_root} are two folders; name one with --data")
        root = own_root if part == "train" else val_root
        return InstanceDataset(read_data(root, format).with_classes(classes))
    records = read_data(data or own_root, format).with_classes(classes)
    has_split = "split" in description and val_root == own_root
    split = Split.from_dict(description["split"]) if has_split else None
    same = split is not None and split.data_fingerprint == records.fingerprint()
    if part == "auto":
        part = "val" if same or not data else "all"
    if part == "all":
        return InstanceDataset(records)
    if split is None or not same:
        raise DataError(
            f"{records.root}: is not the data the split was drawn from (images or labels differ), "
            "so held-out images cannot be told from training images; use --split all, or restore "
            "the data"
        )
    return InstanceDataset(records.subset(split.val if part == "val" else split.train))


def _held_out_shapes(classes: Sequence[str], part: str) -> ShapesDataset:
    if part == "train":
        raise DataError("the shapes set draws its training scenes fresh, there is no such part")
    if tuple(classes) != shapes.CLASSES:
        raise DataError(
            f"the shapes set has the classes {', '.join(shapes.CLASSES)}, the weights "
            f"{', '.join(classes)}; name the weights' own data with --data"
        )
    return ShapesDataset(shapes.HELD_OUT, held_out=True)
