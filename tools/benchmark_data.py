"""The images that benchmarks take: Penn-Fudan's where they are there, else drawn ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import InstanceDataset, PennFudanDataset
from utils.data.outlines import ellipse
from utils.data.outlines import measure as measure_outline
from utils.data.records import ImageRecord, Instance, RecordSet

PENNFUDAN = Path(__file__).resolve().parents[2] / "shared" / "PennFudanPed"
DRAWN = (400, 500)  # height and width of drawn images; Penn-Fudan's are like it
OBJECTS = 2


def penn_fudan() -> Path | None:
    """Its folder, if it is there."""
    root = Path(os.environ.get("PENNFUDAN_ROOT", PENNFUDAN))
    return root if root.is_dir() else None


def open_data(images: int, compact_masks: bool) -> InstanceDataset:
    """Penn-Fudan's images, or so many drawn ones of such sizes."""
    if root := penn_fudan():
        return InstanceDataset(PennFudanDataset(root).data, compact_masks=compact_masks)
    return DrawnDataset(images, compact_masks)


class DrawnDataset(InstanceDataset):
    """Noise with ellipses."""

    def __init__(self, images: int, compact_masks: bool) -> None:
        rng = np.random.default_rng(0)
        height, width = DRAWN
        records = tuple(
            ImageRecord(
                number, Path(f"{number}.png"), width, height,
                drawn_instances(rng, DRAWN, OBJECTS, (20, 100)),
            )
            for number in range(images)
        )  # fmt: skip
        data = RecordSet(Path(), "drawn", ("object",), records)
        super().__init__(data, compact_masks=compact_masks)

    def read(self, key: SampleKey) -> tuple[np.ndarray, ImageRecord]:
        record = self.data.images[key.number]
        rng = np.random.default_rng(key.number)
        return rng.integers(0, 256, (record.height, record.width, 3), np.uint8), record


def drawn_instances(
    rng: np.random.Generator, size: tuple[int, int], objects: int, radii: tuple[float, float]
) -> tuple[Instance, ...]:
    """Ellipses, which may overlap, in an image of that height and width."""
    height, width = size
    instances = []
    for _ in range(objects):
        rx, ry = rng.uniform(*radii, 2)
        outline = ellipse(rng.uniform(rx, width - rx), rng.uniform(ry, height - ry), rx, ry)
        instance = measure_outline([outline], (width, height), "drawn")
        instances += [instance] if instance else []
    return tuple(instances)
