"""The data sets: annotation records in, ``(image, target)`` pairs out.

    from my_dataset import PennFudanDataset
    image, target = PennFudanDataset("PennFudanPed")[0]

To add your own kind of data set, write a function that returns a ``RecordSet`` and name it in
``READERS``, with how such a folder is recognised: docs/own_format.md shows one in 20 lines.
Everything else follows from the records.
"""

from __future__ import annotations

import nets  # noqa: F401  # isort: skip  (before torchvision: checks that it fits torch)

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from nets.contract import Target, check_target
from utils.data import shapes
from utils.data.annotation_files import without_collection
from utils.data.channels import RGB
from utils.data.copy_paste import copy_paste
from utils.data.epoch_batches import SampleKey
from utils.data.formats.coco import find_coco, read_coco
from utils.data.formats.id_masks import find_layout, read_id_masks
from utils.data.formats.labelme import find_labelme, read_labelme
from utils.data.formats.via import find_via, read_via
from utils.data.formats.yolo import read_yolo
from utils.data.formats.yolo_folders import find_yolo
from utils.data.formats.yolo_yaml import find_yaml
from utils.data.images import load_image, to_channels
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, ImageRecord, RecordSet
from utils.data.targets import record_target
from utils.data.transforms import eval_transforms

Transform = Callable[[Tensor, Target], tuple[Tensor, Target]]


class Reader(NamedTuple):
    """How one annotation format is recognised in a folder, and read.

    ``read(root)`` returns a ``RecordSet`` or raises ``DataError``.
    """

    recognises: Callable[[Path], object]  # true if the folder is of this format
    read: Callable[..., RecordSet]
    wants: str  # what a folder of this format holds, for messages
    takes: tuple[str, ...] = ()  # the fields of ``ReadOptions`` that ``read`` has as keywords
    tells_problems: bool = False  # ``read`` has the keyword ``problems`` (``records.settle``)
    divides: Callable[[Path], object] | None = None  # true if a file in the folder divides the set


READERS = {
    "id-masks": Reader(
        find_layout,
        read_id_masks,
        "PNGImages/ + PedMasks/, images/ + masks/ or the folders of Pascal VOC",
        tells_problems=True,
    ),
    "coco": Reader(
        find_coco,
        read_coco,
        "a COCO JSON here or in annotations/",
        takes=("images",),
        tells_problems=True,
    ),
    "labelme": Reader(
        find_labelme,
        read_labelme,
        "labelme JSON files, one per image",
        takes=("embedded_images",),
        tells_problems=True,
    ),
    "via": Reader(
        find_via,
        read_via,
        "via_region_data.json or a VIA project",
        takes=("class_attribute",),
        tells_problems=True,
    ),
    "yolo": Reader(
        find_yolo,
        read_yolo,
        "a YOLO data.yaml, or images/ + labels/ of outlines",
        tells_problems=True,
        divides=find_yaml,
    ),
}


class InstanceDataset(Dataset[tuple[Tensor, Target]]):
    """Any labelled data set, read from its records.

    Items are ``(image, target)``: image float32 (channels, H, W) in 0..1, and
    ``nets.contract.Target``.
    Index with a number (epoch 0) or a ``SampleKey``. Targets of epoch 0 are held against the
    contract, all of them with ``check_always``. Masks are (N, H, W) tensors, or ``CompactMasks``
    for training, which need a fraction of the memory. ``copy_paste`` is how probable it is that
    objects of a random other sample are pasted; it draws after ``transforms``.
    """

    def __init__(
        self,
        data: RecordSet,
        transforms: Transform | None = None,
        seed: int = 0,
        check_always: bool = False,
        compact_masks: bool = False,
        copy_paste: float = 0.0,
        channels: int = RGB,
    ) -> None:
        self.data = data
        self.channels = channels
        self.transforms = transforms or eval_transforms()
        self.seed = seed
        self.check_always = check_always
        self.compact_masks = compact_masks
        self.copy_paste = copy_paste

    def __len__(self) -> int:
        return len(self.data.images)

    def __getitem__(self, key: int | SampleKey) -> tuple[Tensor, Target]:
        if not isinstance(key, SampleKey):
            key = SampleKey(0, range(len(self))[key])  # counts -1 from the end, ends a for loop
        image, target = self.augmented(key, _sample_seed(self.seed, key))
        if key.epoch == 0 or self.check_always:
            height, width = image.shape[-2:]
            source = str(self.data.images[key.number].path)
            check_target(target, height, width, len(self.data.classes) + 1, source)
        return image, target

    def augmented(self, key: SampleKey, seed: int) -> tuple[Tensor, Target]:
        """A sample as the random draws of ``seed`` make it."""
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would reset the generators of GPUs as well.
            torch.default_generator.manual_seed(seed)
            image, target = self._transformed(key)
            if self.copy_paste and torch.rand(1) < self.copy_paste:
                other = SampleKey(key.epoch, int(torch.randint(len(self), (1,))))
                image, target = copy_paste(image, target, *self._transformed(other))
        return image, target

    def _transformed(self, key: SampleKey) -> tuple[Tensor, Target]:
        pixels, record = self.read(key)
        image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
        return self.transforms(image, record_target(record, self.compact_masks))

    def read(self, key: SampleKey) -> tuple[np.ndarray, ImageRecord]:
        """The pixels, uint8 RGB (H, W, 3), and record of one sample before any transform; of
        another number of channels, the pixels are float32 in 0..1, (H, W, channels).

        Raises:
            DataError: the file cannot be read or is not of the size the record says.
        """
        record = self.data.images[key.number]
        pixels = load_image(record.path, self.channels)
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
        compact_masks: bool = False,
        copy_paste: float = 0.0,
        channels: int = RGB,
    ) -> None:
        self.held_out = held_out
        self.first = 0 if held_out else seed * shapes.SCENES_PER_SEED
        records = shapes.read_shapes(range(self.first, self.first + count), held_out)
        super().__init__(
            records, transforms, seed, check_always, compact_masks, copy_paste, channels
        )

    def read(self, key: SampleKey) -> tuple[np.ndarray, ImageRecord]:
        epoch = 0 if self.held_out else key.epoch
        scene = shapes.draw_scene(self.first + epoch * len(self) + key.number, self.held_out)
        picture = Image.fromarray(scene.image)
        return to_channels(picture, self.channels, scene.record.path), scene.record


def _sample_seed(seed: int, key: SampleKey) -> int:
    again = (key.again,) if key.again else ()
    words = (seed, key.epoch, key.number, *again)
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def read_data(
    root: Path | str,
    format: str = "auto",
    classes: Sequence[str] = (),
    options: ReadOptions = ReadOptions(),
    problems: list[str] | None = None,
) -> RecordSet:
    """Read a labelled folder with the reader that ``format`` names, or the one that fits.

    Args:
        root: the folder, or an annotation file.
        format: a name in ``READERS``, or ``auto``.
        classes: other names for the classes, in label order.
        options: what the format's reader is to be told.
        problems: takes what is wrong with single images, which are left out then, instead of
            raising.

    Raises:
        DataError: no reader fits, an option is not for it, or what it found is wrong.
    """
    root = Path(root)
    if not root.exists():
        raise DataError(f"{root}: no such folder or file")
    names = fitting_formats(root) if format == "auto" else [format]
    if not names:
        wanted = "; ".join(f"{name}: {reader.wants}" for name, reader in READERS.items())
        raise DataError(f"{root}: no known data set here. Expected {wanted} (docs/data.md)")
    reader = READERS[names[0]]
    given = options.given()
    for option in given.keys() - set(reader.takes):
        flag = option.replace("_", "-")
        raise DataError(f"{root}: is {names[0]}, which has no use for --{flag}; leave it out")
    if problems is not None and reader.tells_problems:
        given["problems"] = problems
    with without_collection():
        data = reader.read(root, **given).renamed(classes)
    if names[1:]:
        other = f"it could also be read as {' or '.join(names[1:])}; --format chooses"
        data = replace(data, notes=(*data.notes, other))
    return data


def fitting_formats(root: Path) -> list[str]:
    """The formats that the folder may be of, the one that is read first."""
    return [name for name, reader in READERS.items() if reader.recognises(root)]
