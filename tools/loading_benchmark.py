"""Loading in the plain torchvision way and ours: the same files, by turns.

The reference is torchvision's fine-tuning tutorial for id masks, and its references/detection for
COCO files: Pillow opens the picture, and the id mask, each time; full-size masks, a random flip,
floats. Ours is the ``InstanceDataset`` that train.py loads with: in the first epoch, and later with
every picture in its cache. Both are timed to the sample, and with torchvision's
``GeneralizedRCNNTransform`` to the network's input. The system has the files in its cache.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from my_dataset import read_data
from tools.benchmark_data import drawn_instances, penn_fudan
from tools.evaluation_benchmark import coco_dataset
from tools.machine import comparison
from utils.data.decoded_pictures import PictureCache
from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import InstanceDataset
from utils.data.records import ImageRecord, RecordSet, instance_masks
from utils.data.transforms import train_transforms

PICTURES = 8  # of each data set
PERSON, CROWD, OBJECTS = (380, 480), (800, 1200), 100  # height and width; PennFudan's median
BLOT = 16  # pixels from one random colour to the next in drawn pictures
MIN_SIZE, MAX_SIZE = 800, 1333
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
Sample = tuple[Tensor, Any]
Way = Callable[[int], Sample]  # from the number of an image
LARGE_CACHE = 2**30  # bytes; all pictures fit


class Ways(NamedTuple):
    """Loading the same images in several ways."""

    images: int
    reference: Way
    first: Way  # ours in the first epoch
    cached: Way  # ours later


def compare(rounds: int) -> list[dict[str, Any]]:
    """Seconds per image of both ways, medians: of pictures with one object, PennFudan's or drawn,
    and of drawn ones with a hundred; in the first epoch, and later.

    Args:
        rounds: how often each picture is loaded, after once to warm up.
    """
    with tempfile.TemporaryDirectory() as name:
        people, crowd = penn_fudan() or Path(name, "people"), Path(name, "crowd")
        if not people.is_dir():
            draw_id_masks(people, PICTURES, PERSON)
        draw_coco(crowd, PICTURES, CROWD, OBJECTS)
        return [
            *_compared("1 object", id_mask_ways(people), rounds),
            *_compared(f"{OBJECTS} objects", coco_ways(crowd), rounds),
        ]


def id_mask_ways(root: Path) -> Ways:
    """Of the first pictures with one object in a folder of PennFudan's layout."""
    data = read_data(root, "id-masks")
    alone = [record for record in data.images if len(record.instances) == 1]

    def reference(record: ImageRecord) -> Sample:
        ids = torch.from_numpy(_pixels(root / "PedMasks" / f"{record.path.stem}_mask.png"))
        masks = (ids == torch.unique(ids)[1:, None, None]).to(torch.uint8)
        return reference_sample(record.path, masks, masks_to_boxes(masks), [1] * len(masks))

    return _ways(replace(data, images=tuple(alone[:PICTURES])), reference)


def coco_ways(root: Path) -> Ways:
    """Of all pictures of a COCO data set of polygons."""
    annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in json.loads((root / "annotations.json").read_text(encoding="utf-8"))["annotations"]:
        annotations[one["image_id"]].append(one)

    def reference(record: ImageRecord) -> Sample:
        objects, masks = annotations[record.image_id], []
        for one in objects:
            parts = coco_mask.frPyObjects(one["segmentation"], record.height, record.width)
            masks.append(torch.as_tensor(coco_mask.decode(parts)).any(dim=2).to(torch.uint8))
        boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        labels = [one["category_id"] for one in objects]
        return reference_sample(record.path, torch.stack(masks), boxes, labels)

    return _ways(read_data(root, "coco"), reference)


def reference_sample(path: Path, masks: Tensor, boxes: Tensor, labels: Sequence[int]) -> Sample:
    """The tutorial's sample and transforms; ``masks`` are uint8 (N, H, W)."""
    with Image.open(path) as picture:
        image = v2.functional.pil_to_tensor(picture.convert("RGB"))
    target: dict[str, Tensor] = {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=masks.shape[1:]),
        "masks": tv_tensors.Mask(masks),
        "labels": torch.tensor(labels),
    }
    flip, floats = v2.RandomHorizontalFlip(0.5), v2.ToDtype(torch.float32, scale=True)
    return v2.Compose([flip, floats, v2.ToPureTensor()])(tv_tensors.Image(image), target)


def draw_id_masks(root: Path, pictures: int, size: tuple[int, int]) -> None:
    """Pictures with one object each in PennFudan's layout."""
    for folder in ("PNGImages", "PedMasks"):
        (root / folder).mkdir(parents=True)
    for number in range(pictures):
        record = drawn_record(root / "PNGImages" / f"{number}.png", number, size, 1)
        ids = Image.fromarray(instance_masks(record)[0])
        ids.save(root / "PedMasks" / f"{number}_mask.png")


def draw_coco(root: Path, pictures: int, size: tuple[int, int], objects: int) -> None:
    """A COCO data set of JPEG pictures with so many objects each."""
    root.mkdir()
    records = tuple(
        drawn_record(root / f"{number}.jpg", number, size, objects) for number in range(pictures)
    )
    content = coco_dataset(RecordSet(root, "drawn", ("thing",), records))
    for entry, record in zip(content["images"], records, strict=True):
        entry["file_name"] = record.path.name
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def drawn_record(path: Path, number: int, size: tuple[int, int], objects: int) -> ImageRecord:
    """Ellipses, which may overlap, in a picture of blurred blots, which is written to ``path``."""
    rng = np.random.default_rng(number)
    height, width = size
    blots = rng.integers(0, 256, (height // BLOT, width // BLOT, 3), np.uint8)
    Image.fromarray(blots).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
    instances = drawn_instances(rng, size, objects, (min(size) / 80, min(size) / 14))
    return ImageRecord(number + 1, path, width, height, instances)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def _ways(data: RecordSet, reference: Callable[[ImageRecord], Sample]) -> Ways:
    """Ours as ``utils.open_data`` opens it, and the reference, which takes a record."""
    plain = InstanceDataset(data, train_transforms(), compact_masks=True)
    cached = InstanceDataset(
        data, train_transforms(), compact_masks=True, cache=PictureCache(LARGE_CACHE)
    )
    return Ways(
        len(data.images),
        lambda number: reference(data.images[number]),
        lambda number: plain[SampleKey(0, number)],
        lambda number: cached[SampleKey(1, number)],
    )


def _compared(name: str, ways: Ways, rounds: int) -> list[dict[str, Any]]:
    network = GeneralizedRCNNTransform(MIN_SIZE, MAX_SIZE, MEAN, STD)
    loads = {"reference": ways.reference, "first epoch": ways.first, "cached": ways.cached}
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for round_number in range(rounds + 1):
        for number in range(ways.images):
            for way, load in loads.items():
                start = time.perf_counter()
                image, target = load(number)
                loaded = time.perf_counter()
                network([image], [target])
                if round_number:
                    seconds[way, "sample"].append(loaded - start)
                    seconds[way, "network's input"].append(time.perf_counter() - start)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    return [
        comparison(
            f"load {name}, {way}, to the {end}", medians["reference", end], medians[way, end]
        )
        for end in ("sample", "network's input")
        for way in ("first epoch", "cached")
    ]
