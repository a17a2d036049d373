"""The data sets that networks are trained and judged on: a record in, ``(image, target)`` out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from nets.contract import Target, check_target
from utils.data import shapes
from utils.data.channels import RGB
from utils.data.copy_paste import copy_paste
from utils.data.decoded_pictures import PictureCache
from utils.data.epoch_batches import SampleKey
from utils.data.formats.id_masks import read_id_masks
from utils.data.images import to_channels
from utils.data.records import DataError, ImageRecord, RecordSet
from utils.data.targets import record_target
from utils.data.transforms import eval_transforms

Transform = Callable[[Tensor, Target], tuple[Tensor, Target]]


class InstanceDataset(Dataset[tuple[Tensor, Target]]):
    """Any labelled data set, read from its records.

    Items are ``(image, target)``: image float32 (channels, H, W) in 0..1, and
    ``nets.contract.Target``.
    Index with a number (epoch 0) or a ``SampleKey``. Targets of epoch 0 are held against the
    contract, all of them with ``check_always``. Masks are (N, H, W) tensors, or ``CompactMasks``
    for training, which need a fraction of the memory. ``copy_paste`` is how probable it is that
    objects of a random other sample are pasted; it draws after ``transforms``. ``cache`` keeps the
    decoded pictures; by default they are read each time.
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
        cache: PictureCache | None = None,
    ) -> None:
        self.data = data
        self.channels = channels
        self.transforms = transforms or eval_transforms()
        self.seed = seed
        self.check_always = check_always
        self.compact_masks = compact_masks
        self.copy_paste = copy_paste
        self.cache = cache or PictureCache(0)

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
        pixels = self.cache.load(record.path, self.channels)
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
