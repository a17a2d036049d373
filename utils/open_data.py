"""The images that are trained on: both sides of a split."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from utils.config import TrainConfig
from utils.data import shapes
from utils.data.channels import RGB
from utils.data.decoded_pictures import PictureCache
from utils.data.instance_dataset import InstanceDataset, ShapesDataset
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, RecordSet, refuse
from utils.data.splits import Split, make_folds, make_split, own_split, read_split
from utils.data.transforms import AUGMENTATIONS, DEFAULT_AUGMENTATION, train_transforms
from utils.data_parts import TRAIN, VAL, places_of, read_parts
from utils.memory import free_host_memory

# Of the free memory; --batch-size auto may fill 0.8 of it on a CPU.
CACHE_SHARE = 1 / 8


class TrainingData(NamedTuple):
    """Both sides of a split, ready to train on."""

    train: InstanceDataset
    val: InstanceDataset
    split: Split
    source: str  # the folder or annotation file that was read
    val_source: str
    options: ReadOptions = ReadOptions()  # that the source was read with
    notes: tuple[str, ...] = ()  # how the sides came to be, for the log

    def shortened(self, images: int) -> TrainingData:
        """With only the first held-out images."""
        val = copy(self.val)
        val.data = replace(val.data, images=val.data.images[:images])
        return self._replace(val=val)

    def description(self) -> dict[str, Any]:
        """What the weights file remembers of its data; plain values."""
        return {
            "root": self.source,
            "val_root": self.val_source,
            "reading": self.options.to_dict(),
            "val_fingerprint": self.val.data.fingerprint(),
            "format": self.train.data.format,
            "classes": list(self.train.data.classes),
            "split": self.split.to_dict(),
        }


def open_training_data(
    data: str,
    *,
    format: str = "auto",
    classes: Sequence[str] = (),
    val_data: Path | None = None,
    options: ReadOptions = ReadOptions(),
    split_file: Path | None = None,
    group_by: str = "",
    folds: int | None = None,
    fold: int | None = None,
    epoch_scenes: int = shapes.EPOCH_SCENES,
    augment: str = DEFAULT_AUGMENTATION,
    seed: int = 0,
    channels: int = RGB,
    check_always: bool = False,
    compact_masks: bool = True,
    cache: PictureCache | None = None,
    problems: list[str] | None = None,
) -> TrainingData:
    """Training and validation data of a folder or of the built-in ``shapes``.

    Held out is what ``val_data`` or ``split_file`` say; else ``fold`` (1..``folds``) of so many, or
    with ``group_by`` whole groups; else what the data set's own folders or files say; else a part
    that is drawn with the seed. Of a set in two folders, a split file, folds and groups divide the
    training part alone. Training images are varied as ``augment`` of ``AUGMENTATIONS`` says. The
    ``cache`` keeps pictures; ``compact_masks`` are cut to boxes. ``problems`` takes those of
    images, which are left out then.

    Raises:
        DataError: the data is wrong, or the split is of another data set.
    """
    loading: dict[str, Any] = {
        "check_always": check_always,
        "compact_masks": compact_masks,
        "channels": channels,
    }
    varying = _variation(augment, seed)
    train: InstanceDataset
    if data == shapes.NAME:
        train = ShapesDataset(epoch_scenes, **varying, **loading)
        val: InstanceDataset = ShapesDataset(shapes.HELD_OUT, held_out=True, **loading)
        split = Split((), val.data.names(), seed, val.data.fingerprint())
        return TrainingData(train, val, split, data, data)
    places = places_of(Path(data), val_data, format)
    parts = read_parts(places, format, classes, options, problems)
    if problems and len(parts) < len(places):
        refuse(problems, data)
    source, val_source = (str(places.get(part, data)) for part in (TRAIN, VAL))
    records, notes = next(iter(parts.values())), []
    if VAL in parts and (split_file or folds or group_by):
        notes.append(f"{val_source} is left alone: {source} is divided")
        del parts[VAL]
        val_source = source
    if VAL in parts:
        train_records, val_records = records, parts[VAL]
        split = Split(records.names(), val_records.names(), seed, records.fingerprint())
    else:
        split = _divide(records, seed, split_file, group_by, folds, fold)
        train_records, val_records = records.subset(split.train), records.subset(split.val)
    _check_something_to_learn(train_records)
    notes += _split_notes(records, split)
    train = InstanceDataset(train_records, **varying, **loading, cache=cache)
    val = InstanceDataset(val_records, **loading, cache=cache)
    return TrainingData(train, val, split, source, val_source, options, tuple(notes))


def open_configured(config: TrainConfig, problems: list[str] | None = None) -> TrainingData:
    """``open_training_data`` with the settings of train.py."""
    return open_training_data(
        config.data,
        format=config.format,
        classes=config.classes,
        val_data=config.val_data,
        options=config.reading,
        split_file=config.split_file,
        group_by=config.group_by,
        folds=config.folds,
        fold=config.fold,
        epoch_scenes=config.epoch_scenes,
        augment=config.augment,
        seed=config.seed,
        channels=config.channels,
        check_always=config.debug,
        compact_masks=not config.reference,
        cache=PictureCache(cache_size(config.cache)),
        problems=problems,
    )


def cache_size(megabytes: int) -> int:
    """Bytes of pictures that this process and those that load for it may keep together.

    ``megabytes`` are those of the whole machine; -1 takes an eighth of the memory that is free,
    or none where the system does not tell it.
    """
    if megabytes >= 0:
        return megabytes * 2**20 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(CACHE_SHARE * free_host_memory()) if sys.platform == "linux" else 0


def _variation(augment: str, seed: int) -> dict[str, Any]:
    """What only the training side of a data set is opened with."""
    return {
        "transforms": train_transforms(augment),
        "copy_paste": AUGMENTATIONS[augment].copy_paste,
        "seed": seed,
    }


def _check_something_to_learn(records: RecordSet) -> None:
    if not any(not one.iscrowd for record in records.images for one in record.instances):
        raise DataError(
            f"{records.root}: the {len(records.images)} training images hold no object to learn; "
            "are the masks all zero, or all objects marked as crowds (iscrowd)?"
        )


def _divide(
    records: RecordSet,
    seed: int,
    split_file: Path | None,
    group_by: str,
    folds: int | None,
    fold: int | None,
) -> Split:
    """The split of one data set that the flags ask for, else its own, else one drawn."""
    if split_file is not None:
        return read_split(split_file, records)
    if folds is not None:
        return make_folds(records, seed, folds, group_by)[(fold or 1) - 1]
    if group_by:
        return make_split(records, seed, group_by)
    return own_split(records, seed) or make_split(records, seed)


def _split_notes(records: RecordSet, split: Split) -> list[str]:
    """How the images were divided, where there is something to tell."""
    notes = [split.summary()] if split.summary() else []
    if records.given_split and all(records.given_split):
        train, val = map(set, records.given_split)
        sides = f"{len(train)} images to train on, {len(val)} held out"
        if (set(split.train), set(split.val)) == (train, val):
            unused = len(records.images) - len(train | val)
            left_out = f"; {unused} in neither are left out" if unused else ""
            notes.append(f"split as the data set's own files say: {sides}{left_out}")
        else:
            notes.append(f"all {len(records.images)} images are pooled; what the data set's own "
                         f"files say ({sides}) is not used")  # fmt: skip
    return notes
