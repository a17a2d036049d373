"""Images that a network was trained on: 8-bit numbers are fitted to them, and files compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from my_dataset import read_data
from nets.weights_file import WeightsFile
from utils.data import shapes
from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import InstanceDataset, ShapesDataset
from utils.data.records import DataError
from utils.data_parts import TRAIN, find_parts
from utils.open_judged_data import open_evaluation_data


class TrainingImages(Sequence[np.ndarray]):
    """Some images of a data set, each read when it is asked for: uint8 RGB (H, W, 3), or of another
    number of channels float32 in 0..1.

    Args:
        dataset: where they are read from.
        numbers: which of its images they are.
    """

    def __init__(self, dataset: InstanceDataset, numbers: Sequence[int]) -> None:
        self.dataset = dataset
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> TrainingImages: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | TrainingImages:
        if isinstance(index, slice):
            return TrainingImages(self.dataset, self.numbers[index])
        return self.dataset.read(SampleKey(0, self.numbers[index]))[0]


def training_images(
    weights: WeightsFile, data: str, count: int, *, are_needed: bool = True
) -> Sequence[np.ndarray]:
    """Images of the training split of the weights' own data set, spread evenly over it; none that
    is held out, so that AP of what they are used for stays honest.

    Args:
        weights: of whose data set.
        data: where it lies now, if it has moved. Of weights that tell of no split, all is taken.
        count: how many; all, if there are not so many.
        are_needed: whether there is no way without them. If there is, it is told that they are not
            there, and there are none.

    Raises:
        DataError: the data set or its training split is not there.
    """
    try:
        dataset = _training_data(weights, data, count)
    except DataError as error:
        if are_needed:
            raise DataError(
                f"formats of 8-bit integers need training images: {error}; --data says where the "
                "data set of the weights lies now"
            ) from error
        print(f"note: no training images are looked at ({error})")
        return ()
    number = min(count, len(dataset))
    return TrainingImages(dataset, [i * len(dataset) // number for i in range(number)])


def _training_data(weights: WeightsFile, data: str, count: int) -> InstanceDataset:
    description, channels = weights.data, weights.channels
    if data == shapes.NAME or (not data and description.get("format") == shapes.NAME):
        return ShapesDataset(count, channels=channels)
    if data and "split" not in description:
        root = find_parts(Path(data), "auto").get(TRAIN, data)
        return InstanceDataset(read_data(root), channels=channels)
    return open_evaluation_data(
        description, weights.classes, data=data, part=TRAIN, channels=channels
    )
