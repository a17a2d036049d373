"""The data sets: annotation records in, ``(image, target)`` pairs out.

    from my_dataset import PennFudanDataset
    image, target = PennFudanDataset("PennFudanPed")[0]

To add your own kind of data set, write a function that returns a ``RecordSet`` (see
``utils/data/id_masks.py`` for one of 80 lines) and give it to ``InstanceDataset``, or name it in
``READERS`` to have it on the command line. Everything else follows from the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from nets.contract import Target, check_target
from utils.data import shapes
from utils.data.id_masks import find_layout, read_id_masks
from utils.data.images import load_image
from utils.data.loader import SampleKey
from utils.data.records import DataError, ImageRecord, RecordSet, instance_masks
from utils.data.splits import Split, make_split, read_split
from utils.data.transforms import eval_transforms, train_transforms

Transform = Callable[[Tensor, Target], tuple[Tensor, Target]]
READERS: dict[str, Callable[[Path], RecordSet]] = {"id-masks": read_id_masks}


class InstanceDataset(Dataset[tuple[Tensor, Target]]):
    """Any labelled data set, read from its records.

    Items are ``(image, target)``: image float32 (3, H, W) in 0..1 and ``nets.contract.Target``.
    Index with a number (epoch 0) or a ``SampleKey``. Targets of epoch 0 are held against the
    contract, all of them with ``check_always``.
    """

    def __init__(
        self,
        data: RecordSet,
        transforms: Transform | None = None,
        seed: int = 0,
        check_always: bool = False,
    ) -> None:
        self.data = data
        self.transforms = transforms or eval_transforms()
        self.seed = seed
        self.check_always = check_always

    def __len__(self) -> int:
        return len(self.data.images)

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, Target]:
        if not isinstance(key, SampleKey):
            key = SampleKey(0, range(len(self))[key])  # counts -1 from the end, ends a for loop
        pixels, record = self.read(key)
        image = tv_tensors.Image(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would reset the generators of GPUs as well.
            torch.default_generator.manual_seed(_sample_seed(self.seed, key))
            image, target = self.transforms(image, record_target(record))
        if key.epoch == 0 or self.check_always:
            height, width = image.shape[-2:]
            check_target(target, height, width, len(self.data.classes) + 1, str(record.path))
        return image, target

    def read(self, key: SampleKey) -> tuple[np.ndarray, ImageRecord]:
        """The pixels, uint8 RGB (H, W, 3), and record of one sample before any transform.

        Raises:
            DataError: the file cannot be read or is not of the size the record says.
        """
        record = self.data.images[key.number]
        pixels = load_image(record.path)
        height, width = pixels.shape[:2]
        if (width, height) != (record.width, record.height):
            raise DataError(
                f"{record.path}: is {width}x{height} pixels (upright), its annotation says "
                f"{record.width}x{record.height}"
            )
        return pixels, record


class PennFudanDataset(InstanceDataset):
    """Images in ``PNGImages/``, instance-id masks in ``PedMasks/``, paired by file stem."""

    def __init__(self, root: Path | str, transforms: Transform | None = None) -> None:
        super().__init__(read_id_masks(root), transforms)


class ShapesDataset(InstanceDataset):
    """Drawn scenes. Held-out scenes are always the same ones; training draws fresh ones each epoch.

    Args:
        count: scenes per epoch.
        held_out: draw the fixed evaluation scenes, which no training epoch ever shows.
    """

    def __init__(
        self,
        count: int,
        transforms: Transform | None = None,
        held_out: bool = False,
        seed: int = 0,
        check_always: bool = False,
    ) -> None:
        self.held_out = held_out
        self.first = 0 if held_out else seed * shapes.SCENES_PER_SEED
        records = shapes.read_shapes(range(self.first, self.first + count), held_out)
        super().__init__(records, transforms, seed, check_always)

    def read(self, key: SampleKey) -> tuple[np.ndarray, ImageRecord]:
        epoch = 0 if self.held_out else key.epoch
        scene = shapes.draw_scene(self.first + epoch * len(self) + key.number, self.held_out)
        return scene.image, scene.record


def _sample_seed(seed: int, key: SampleKey) -> int:
    return int(np.random.SeedSequence((seed, *key)).generate_state(1)[0])


def _held_out_shapes(classes: Sequence[str], part: str) -> ShapesDataset:
    if part == "train":
        raise DataError("the shapes set draws its training scenes fresh, there is no such part")
    if tuple(classes) != shapes.CLASSES:
        raise DataError(
            f"the shapes set has the classes {', '.join(shapes.CLASSES)}, the weights "
            f"{', '.join(classes)}; name the weights' own data with --data"
        )
    return ShapesDataset(shapes.HELD_OUT, held_out=True)


def record_target(record: ImageRecord) -> Target:
    """The training target of one record: boxes and areas come from the mask pixels.

    Crowd regions are left out, and so are objects without a pixel.
    """
    masks = instance_masks(record)
    keep = [
        i for i, (instance, mask) in enumerate(zip(record.instances, masks, strict=True))
        if not instance.iscrowd and mask.any()
    ]  # fmt: skip
    masks = masks[keep]
    boxes = np.array([mask_box(mask) for mask in masks], np.float32).reshape(-1, 4)
    size = (record.height, record.width)
    return Target(
        boxes=tv_tensors.BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=size),
        labels=torch.tensor([record.instances[i].label for i in keep], dtype=torch.int64),
        masks=tv_tensors.Mask(torch.from_numpy(masks)),
        image_id=record.image_id,
        area=torch.from_numpy(masks.sum(axis=(1, 2), dtype=np.float32)),
        iscrowd=torch.zeros(len(keep), dtype=torch.int64),
    )


def mask_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box around a mask's pixels, xyxy; the far edges lie one past the last pixel, so that a
    one-pixel object has a box of width 1 (``torchvision.ops.masks_to_boxes`` would give 0)."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def read_data(root: Path | str, format: str = "auto", classes: Sequence[str] = ()) -> RecordSet:
    """Read a labelled folder with the reader that ``format`` names, or the one that fits.

    Raises:
        DataError: no reader fits, or what it found is wrong.
    """
    root = Path(root)
    reader = READERS[detect_format(root) if format == "auto" else format]
    return reader(root).renamed(classes)


def detect_format(root: Path) -> str:
    """Which reader understands the folder; ``DataError`` says what was looked for if none does."""
    if not root.exists():
        raise DataError(f"{root}: no such folder; give your data set's folder with --data")
    if find_layout(root):
        return "id-masks"
    raise DataError(
        f"{root}: no known data set here; expected the folders PNGImages/ + PedMasks/ or "
        "images/ + masks/ (docs/data.md)"
    )


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
