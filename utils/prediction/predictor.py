"""A trained model ready to look at pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import to_dtype

from nets.contract import Prediction, above
from nets.detect import detect
from nets.mask_rcnn import input_size
from nets.weights_file import WeightsFile, load_weights
from utils.config import ConfigError
from utils.data.images import check_reading_rule, check_resizable
from utils.data.records import DataError
from utils.device import Precision, choose_device, choose_precision
from utils.prediction.found_picture import FoundPicture, Picture, Unusable
from utils.prediction.image_prediction import ImagePrediction
from utils.prediction.input_images import AnyImage, as_array

NEVER = 2.0  # a threshold that no score reaches
GPU_BATCH = 8  # images of one size that go through the network together


class Predictor:
    """Finds objects in pictures.

        predictor = Predictor.from_file("best.pth")
        prediction = predictor("photo.jpg")             # a path, Pillow image, array or tensor
        predictions = predictor([array, other_array])   # or a list of them
        prediction.draw().save("found.png")

    Attributes:
        classes: names in label order, label 1 first.
        channels: of the images it takes.
        thresholds: from which score on a detection counts, by class in label order.
    """

    def __init__(
        self,
        weights: WeightsFile,
        device: torch.device,
        precision: Precision,
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        max_detections: int | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        """
        Args:
            weights: of the model.
            device: where to compute.
            precision: number format of its convolutions.
            score_threshold: for all classes, instead of those of the weights file.
            nms_threshold: of two boxes of a class with a higher IoU the surer one stays.
            max_detections: the surest detections of an image that are given.
            classes: names of the classes to look for; all by default.

        Raises:
            ConfigError: the model knows no such class.
        """
        for name in classes:
            if name not in weights.classes:
                known = ", ".join(weights.classes)
                raise ConfigError(f"the weights know no class {name!r}; they know {known}")
        self.classes = weights.classes
        self.channels = weights.channels
        thresholds = weights.thresholds
        if score_threshold is not None:
            thresholds = (score_threshold,) * len(weights.classes)
        self.thresholds = tuple(
            threshold if not classes or name in classes else NEVER
            for name, threshold in zip(weights.classes, thresholds, strict=True)
        )
        self.device = device
        self.precision = precision
        self.batch_size = GPU_BATCH if device.type == "cuda" else 1
        self.model = weights.build().to(device, memory_format=precision.memory_format)
        heads = self.model.roi_heads
        # No masks are computed for what is not shown; a hair lower, as torchvision excludes equals.
        heads.score_thresh = 0.999 * min(self.thresholds)
        if nms_threshold is not None:
            heads.nms_thresh = nms_threshold
        if max_detections is not None:
            heads.detections_per_img = max_detections

    @classmethod
    def from_file(
        cls,
        path: Path | str,
        *,
        device: str = "auto",
        precision: str = "auto",
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        max_detections: int | None = None,
        classes: Sequence[str] = (),
    ) -> Predictor:
        """A predictor of a weights file; arguments as those of the class, the device and the number
        format by name.

        Raises:
            WeightsError: it is none, or damaged.
            ConfigError: the device or the class is not there.
        """
        weights = load_weights(Path(path))
        check_reading_rule(weights.preprocessing)
        on = choose_device(device)
        return cls(
            weights, on, choose_precision(precision, on, weights.precision),
            score_threshold=score_threshold, nms_threshold=nms_threshold,
            max_detections=max_detections, classes=classes,
        )  # fmt: skip

    @overload
    def __call__(self, images: AnyImage) -> ImagePrediction: ...
    @overload
    def __call__(self, images: list[AnyImage]) -> list[ImagePrediction]: ...

    def __call__(self, images):  # type: ignore[no-untyped-def]
        """What is in one image, or in each of a list: best first, at its own size.

        Args:
            images: a path; a Pillow image; an array (H, W, 3) of uint8, RGB (of OpenCV's BGR give
                ``image[..., ::-1]``); a tensor (3, H, W), uint8 or float in 0..1, RGB; or a list.
                Of a network for another number of channels: that many, float32 in 0..1.

        Raises:
            ValueError: another shape, type or range.
            DataError: a file that cannot be read, or an image too thin for the network.
        """
        if not isinstance(images, list):
            return self([images])[0]
        arrays = [as_array(image, self.channels) for image in images]
        predictions = self.predict(arrays)
        return [
            ImagePrediction(prediction, array, self.classes)
            for prediction, array in zip(predictions, arrays, strict=True)
        ]

    def predict(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        """What is in images (H, W, channels), uint8 or float32 in 0..1. Neighbours of one size go
        through the network together on a GPU.

        Raises:
            DataError: one is too thin to be resized to the network's input.
        """
        for array in arrays:
            height, width = array.shape[:2]
            check_resizable(height, width, *input_size(self.model))
        predictions: list[Prediction] = []
        for _, same in groupby(arrays, key=np.shape):
            alike = list(same)
            for i in range(0, len(alike), self.batch_size):
                predictions += self._predict_batch(alike[i : i + self.batch_size])
        return predictions

    def stream(self, pictures: Iterable[Picture | Unusable]) -> Iterator[FoundPicture | Unusable]:
        """What is found in pictures as they come, in their order; of what cannot be used, why."""
        for picture in pictures:
            if isinstance(picture, Unusable):
                yield picture
                continue
            pixels = picture.pixels
            try:
                (prediction,) = self.predict([pixels.window(0, 0, pixels.width, pixels.height)])
            except DataError as error:
                yield Unusable(picture.name, str(error))
                continue
            yield FoundPicture(picture, prediction, self.classes)

    @torch.inference_mode()
    def _predict_batch(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        with self.precision.autocast():
            predictions, _ = detect(self.model, [self._input(array) for array in arrays])
        return [above(prediction, self.thresholds) for prediction in predictions]

    def _input(self, array: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        return to_dtype(pixels.permute(2, 0, 1), torch.float32, scale=True)
