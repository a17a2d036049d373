"""Pictures of a run: what the network is taught, what is there, and what it finds."""

from __future__ import annotations

from itertools import islice

import numpy as np
from PIL import Image

from my_dataset import InstanceDataset
from nets.contract import Prediction
from utils.data.loader import EpochSampler, SampleKey
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


def training_panel(dataset: InstanceDataset, sampler: EpochSampler) -> Image.Image:
    """The first samples of an epoch as the network gets them: augmented pixels, boxes, masks."""
    pictures, captions = [], []
    for key in islice(sampler, MOST_IMAGES):
        image, target = dataset[key]
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        pictures.append(_picture(pixels, target_objects(target, dataset.data.classes)))
        captions.append(dataset.data.name_of(dataset.data.images[key.number]))
    return panel(pictures, captions, COLUMNS)


class ValidationPanels:
    """The first held-out images, with their labels or with what was found in them."""

    def __init__(self, dataset: InstanceDataset, score_threshold: float) -> None:
        self.classes = dataset.data.classes
        self.score_threshold = score_threshold
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

    def found(self) -> Image.Image:
        """The predictions taken last."""
        pictures = []
        for pixels, record in self.samples:
            found = self.predictions[record.image_id]
            objects = predicted_objects(found, self.classes, self.score_threshold) if found else []
            pictures.append(_picture(pixels, objects))
        return panel(pictures, self.captions, COLUMNS)


def _picture(pixels: np.ndarray, objects: list[DrawnObject]) -> Image.Image:
    return draw_objects(pixels, objects, panel_size(pixels))
