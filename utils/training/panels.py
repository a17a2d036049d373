"""Pictures of a run: what the network is taught, what is there, and what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

import numpy as np
from PIL import Image
from torch import Tensor

from nets.contract import Prediction, Target, above
from utils.data.epoch_batches import EpochBatches, SampleKey
from utils.data.instance_dataset import InstanceDataset
from utils.drawing import (
    DrawnObject,
    draw_objects,
    panel,
    panel_size,
    predicted_objects,
    recorded_objects,
    target_objects,
)

MOST_IMAGES, COLUMNS = 8, 4
AUGMENTED_IMAGES = 2


def training_panel(dataset: InstanceDataset, batches: EpochBatches) -> Image.Image:
    """The first samples of an epoch as the network gets them: augmented pixels, boxes, masks."""
    keys = list(islice(chain.from_iterable(batches), MOST_IMAGES))
    samples = [dataset[key] for key in keys]
    captions = [dataset.data.name_of(dataset.data.images[key.number]) for key in keys]
    return batch_panel(samples, captions, dataset.data.classes)


def batch_panel(
    samples: Sequence[tuple[Tensor, Target]], captions: Sequence[str], classes: Sequence[str]
) -> Image.Image:
    """Up to eight samples as the network gets them."""
    pictures = [_sample_picture(*sample, classes) for sample in samples[:MOST_IMAGES]]
    return panel(pictures, captions[:MOST_IMAGES], COLUMNS)


def augmentation_panel(dataset: InstanceDataset) -> Image.Image:
    """What the augmentation makes of the first two training images with objects: a row for each,
    the image as it is, then as three draws show it to the network, with boxes and masks."""
    pictures, captions = [], []
    records = dataset.data.images
    with_objects_first = sorted(range(len(records)), key=lambda i: not records[i].instances)
    for number in with_objects_first[:AUGMENTED_IMAGES]:
        key = SampleKey(0, number)
        pixels, record = dataset.read(key)
        pictures.append(_picture(pixels, recorded_objects(record, dataset.data.classes)))
        captions.append(dataset.data.name_of(record))
        for draw in range(1, COLUMNS):
            image, target = dataset.augmented(key, number * COLUMNS + draw)
            pictures.append(_sample_picture(image, target, dataset.data.classes))
            captions.append(f"draw {draw}")
    return panel(pictures, captions, COLUMNS)


class ValidationPanels:
    """The first held-out images, with their labels or with what was found in them."""

    def __init__(self, dataset: InstanceDataset) -> None:
        self.classes = dataset.data.classes
        count = min(MOST_IMAGES, len(dataset))
        self.samples = [dataset.read(SampleKey(0, index)) for index in range(count)]
        self.captions = [dataset.data.name_of(record) for _, record in self.samples]
        self.predictions: dict[int, Prediction | None] = {
            record.image_id: None for _, record in self.samples
        }

    def take(self, image_id: int, prediction: Prediction) -> None:
        """Remember a prediction if its image is shown."""
        if image_id in self.predictions:
            self.predictions[image_id] = prediction

    def labels(self) -> Image.Image:
        """The ground truth."""
        pictures = [
            _picture(pixels, recorded_objects(record, self.classes))
            for pixels, record in self.samples
        ]
        return panel(pictures, self.captions, COLUMNS)

    def found(self, thresholds: Sequence[float]) -> Image.Image:
        """The predictions taken last, from a score on by class in label order."""
        pictures = []
        for pixels, record in self.samples:
            found = self.predictions[record.image_id]
            objects = predicted_objects(above(found, thresholds), self.classes) if found else []
            pictures.append(_picture(pixels, objects))
        return panel(pictures, self.captions, COLUMNS)


def _sample_picture(image: Tensor, target: Target, classes: Sequence[str]) -> Image.Image:
    return _picture(image.permute(1, 2, 0).numpy(), target_objects(target, classes))


def _picture(pixels: np.ndarray, objects: list[DrawnObject]) -> Image.Image:
    return draw_objects(pixels, objects, panel_size(pixels))
