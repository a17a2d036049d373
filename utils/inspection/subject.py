"""What is looked into: a network, one image, and the labelled images it comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision.transforms.v2.functional import to_dtype

from nets.mask_rcnn import input_size
from utils.data.channels import rgb_view
from utils.data.epoch_batches import SampleKey
from utils.data.images import check_resizable, load_image
from utils.data.instance_dataset import InstanceDataset
from utils.data.loader import to_device
from utils.data.mask_crops import to_rles
from utils.data.records import DataError, ImageRecord
from utils.inspection.config import SubjectConfig
from utils.inspection.trace import Trace, trace_image
from utils.inspection.trained_network import TrainedNetwork, open_network
from utils.inspection.training_trace import TrainingTrace, trace_training
from utils.open_judged_data import open_evaluation_data

NAMES_LISTED = 5


@dataclass(frozen=True, repr=False)
class Subject(TrainedNetwork):
    """One image and the network that looks at it.

    Attributes:
        name: of the image.
        pixels: of the image, (H, W, channels), uint8 RGB or float32 in 0..1.
        dataset: the labelled images it is one of; None if there are none.
        number: its place among them; None if it is another picture.
        record: its labels; None if it has none.
        notes: what is to be told of how they were found.
    """

    name: str
    pixels: np.ndarray
    dataset: InstanceDataset | None = None
    number: int | None = None
    record: ImageRecord | None = None
    notes: tuple[str, ...] = ()

    def about(self) -> list[str]:
        """What is looked into, a line for each thing."""
        lines = super().about()
        if self.dataset is not None:
            root, count = self.dataset.data.root, len(self.dataset)
            lines.append(f"data: {root}, {count} images in this part")
        height, width = self.pixels.shape[:2]
        labels = "without labels"
        if self.record is not None:
            labels = f"number {self.number}, {len(self.record.instances)} labelled objects"
        return [*lines, f"image: {self.name}, {width}x{height} pixels, {labels}", *self.notes]

    @cached_property
    def trace(self) -> Trace:
        """The image on its way through the network."""
        with self.precision.autocast():
            return trace_image(self.model, self._image())

    @cached_property
    def input_pixels(self) -> np.ndarray:
        """The network's input to look at, uint8 RGB (H, W, 3): resized, without the padding."""
        transform, (height, width) = self.model.transform, self.trace.size
        mean, deviation = (
            torch.tensor(values)[:, None, None]
            for values in (transform.image_mean, transform.image_std)
        )
        pixels = self.trace.batch[0, :, :height, :width] * deviation + mean
        return rgb_view((pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())

    @cached_property
    def training(self) -> TrainingTrace | None:
        """What the image would teach the network; None if it has no labels."""
        if self.number is None:
            return None
        with self.precision.autocast():
            return trace_training(self.model, *self._own_sample)

    @cached_property
    def object_names(self) -> tuple[str, ...]:
        """The N objects that are taught: place among the labels, from 1 on, and class, "3 person".
        Crowds and objects without a pixel are none of them."""
        if self.record is None:
            return ()
        size = self.record.height, self.record.width
        rles = to_rles([one.segmentation for one in self.record.instances], *size)
        return tuple(
            f"{number} {self.classes[one.label - 1]}"
            for number, (one, rle) in enumerate(zip(self.record.instances, rles, strict=True), 1)
            if not one.iscrowd and coco_mask.area(rle)
        )

    @property
    def object_boxes(self) -> Tensor:
        """Of these objects, float32 (N, 4) xyxy in pixels of the network's input."""
        return self.training.target["boxes"] if self.training else torch.zeros(0, 4)

    def others(self, count: int) -> Iterator[tuple[int, Tensor, dict[str, Tensor]]]:
        """So many other images with objects, evenly spread over the data, fewer if there are not so
        many: their places in it, and image and target on the model's device. One that cannot be
        read is passed over."""
        if self.dataset is None:
            return
        numbers = [
            number
            for number, record in enumerate(self.dataset.data.images)
            if number != self.number and any(not one.iscrowd for one in record.instances)
        ]
        spread = numbers[:: max(1, -(-len(numbers) // count))]
        left = count
        for number in [*spread, *sorted(set(numbers) - set(spread))]:
            if not left:
                return
            with contextlib.suppress(DataError):
                yield number, *self._sample(number)
                left -= 1

    def _image(self) -> Tensor:
        """The image as test.py gives it to the network, to the last bit."""
        if self.number is not None:
            return self._own_sample[0]
        image = torch.from_numpy(np.array(self.pixels)).permute(2, 0, 1).to(self.device)
        return to_dtype(image, torch.float32, scale=True)

    @cached_property
    def _own_sample(self) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.number is not None
        return self._sample(self.number)

    def _sample(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.dataset is not None
        image, target = self.dataset[number]
        images, targets = to_device([image], [target], self.device)
        return images[0], targets[0]


def open_subject(config: SubjectConfig, image: int | str = "") -> Subject:
    """Open a weights file, its data and one image.

        open_subject(SubjectConfig(weights="best.pth", data="shapes"), 3)

    Args:
        config: which weights and data, how they are read, and where the network computes.
        image: its place in the data from 0 on, its name there, or the path of any picture; by
            default the first image with objects.

    Raises:
        WeightsError: no such weights, or damaged.
        DataError: no such data, none of its classes is one of the weights', or no such image.
    """
    network = open_network(config)
    weights = network.weights
    picture = Path(str(image))
    notes: tuple[str, ...] = ()
    dataset: InstanceDataset | None = None
    number: int | None = None
    try:
        dataset = open_evaluation_data(
            weights.data, weights.classes, data=config.data, format=config.format,
            options=config.reading, part=config.split, channels=weights.channels,
        )  # fmt: skip
        number = find_image(dataset, image)
    except DataError as error:
        if config.data or not picture.is_file():
            raise
        notes = (f"the picture is looked into without labelled data: {error}",)
    if dataset is not None and number is not None:
        pixels, record = dataset.read(SampleKey(0, number))
        name = dataset.data.name_of(record)
    else:
        pixels, record, name = load_image(picture, weights.channels), None, picture.name
    height, width = pixels.shape[:2]
    check_resizable(height, width, *input_size(network.model))
    return Subject(
        network.path, weights, network.model, network.precision,
        name, pixels, dataset, number, record, notes,
    )  # fmt: skip


def find_image(dataset: InstanceDataset, image: int | str) -> int | None:
    """The place in a data set that a number, name or path means; None for a picture of one's own.

    Raises:
        DataError: there is no such image, and no such file.
    """
    records, text = dataset.data.images, str(image)
    if not text:
        with_objects = (number for number, record in enumerate(records) if record.instances)
        return next(with_objects, 0)
    if text.isdecimal():
        if int(text) < len(records):
            return int(text)
        raise DataError(
            f"image {text}: {dataset.data.root} has {len(records)} images in this part, numbered "
            f"from 0 to {len(records) - 1}"
        )
    named = {dataset.data.name_of(record): number for number, record in enumerate(records)}
    if text in named:
        return named[text]
    path = Path(text)
    if path.is_file():
        places = (n for n, record in enumerate(records) if record.path.resolve() == path.resolve())
        return next(places, None)
    alike = [name for name in named if Path(name).name == text]
    if len(alike) == 1:
        return named[alike[0]]
    if alike:
        raise DataError(f"{text}: several images are called so: {', '.join(alike[:NAMES_LISTED])}")
    shown = ", ".join(list(named)[:NAMES_LISTED])
    raise DataError(
        f"{text}: no such file, and no image of {dataset.data.root} is called so; there are "
        f"{len(named)}: {shown}{', ...' if len(named) > NAMES_LISTED else ''}"
    )
