"""A trained model ready to look at pictures."""

from __future__ import annotations

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import overload

import numpy as np
import torch

from nets.contract import Prediction
from nets.weights_file import WeightsFile
from utils.config import ConfigError
from utils.data.images import check_reading_rule
from utils.data.records import DataError
from utils.device import Precision
from utils.export.session import Session
from utils.prediction.detector import Detector
from utils.prediction.exported_detector import ExportedDetector
from utils.prediction.found_picture import FoundPicture, Picture, Unusable
from utils.prediction.image_prediction import ImagePrediction
from utils.prediction.input_images import AnyImage, as_array
from utils.prediction.network_detector import NetworkDetector
from utils.prediction.trained_model import open_model

NEVER = 2.0  # a threshold that no score reaches
GPU_BATCH = 8  # images of one size that go through the network together


class Predictor:
    """Finds objects in pictures.

        predictor = Predictor.from_file("best.pth")     # or a file of tools.export
        prediction = predictor("photo.jpg")             # a path, Pillow image, array or tensor
        predictions = predictor([array, other_array])   # or a list of them
        prediction.draw().save("found.png")

    Attributes:
        classes: names in label order, label 1 first.
        channels: of the images it takes.
        thresholds: from which score on a detection counts, by class in label order.
        detector: what looks at the pictures.
    """

    detector: Detector

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
        reference: bool = False,
        session: Session | None = None,
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
            reference: compute with torchvision's own modules.
            session: what runs the network, if the weights are those of an exported file; the
                device, the number format and ``reference`` are nothing to it.

        Raises:
            ConfigError: the model knows no such class, a number out of range, or something that
                the exported file cannot give.
        """
        _check(score_threshold, nms_threshold, max_detections, classes, weights.classes)
        self.classes = weights.classes
        self.channels = weights.channels
        thresholds = weights.thresholds
        if score_threshold is not None:
            thresholds = (score_threshold,) * len(weights.classes)
        self.thresholds = tuple(
            threshold if not classes or name in classes else NEVER
            for name, threshold in zip(weights.classes, thresholds, strict=True)
        )
        if session:
            self.detector = ExportedDetector(
                session, self.thresholds, nms_threshold, max_detections
            )
        else:
            at_once = GPU_BATCH if device.type == "cuda" else 1
            self.detector = NetworkDetector(
                weights, device, precision, at_once, self.thresholds, nms_threshold,
                max_detections, reference,
            )  # fmt: skip

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
        reference: bool = False,
    ) -> Predictor:
        """A predictor of a weights file or an exported one; arguments as those of the class, the
        device and the number format by name.

        Raises:
            WeightsError: it is none, or damaged.
            ConfigError: the device or the class is not there, or what an exported file cannot give.
        """
        model = open_model(Path(path))
        check_reading_rule(model.weights.preprocessing)
        return cls(
            model.weights, *model.place(device, precision, reference),
            score_threshold=score_threshold, nms_threshold=nms_threshold,
            max_detections=max_detections, classes=classes, reference=reference,
            session=model.session,
        )  # fmt: skip

    @property
    def batch_size(self) -> int:
        """How many images of one size are looked at together."""
        return self.detector.batch_size

    @batch_size.setter
    def batch_size(self, count: int) -> None:
        self.detector.batch_size = count

    @overload
    def __call__(self, images: AnyImage) -> ImagePrediction: ...
    @overload
    def __call__(self, images: list[AnyImage]) -> list[ImagePrediction]: ...

    def __call__(self, images):  # type: ignore[no-untyped-def]
        """What is in one image, or in each of a list: best first, at its own size.

        Args:
            images: a path; a Pillow image; an array (H, W, 3), RGB (of OpenCV's BGR give
                ``image[..., ::-1]``); a tensor (3, H, W), RGB; or a list of them. Arrays and
                tensors hold uint8, or floats in 0..1; (H, W) is grey. A network for another number
                of channels takes that many.

        Raises:
            ValueError: another shape, type or range.
            DataError: a file that cannot be read, or an image too thin for the network.
        """
        if not isinstance(images, list | tuple):
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
            self.detector.check_size(*array.shape[:2])
        predictions: list[Prediction] = []
        for _, same in groupby(arrays, key=np.shape):
            predictions += self.detector.detect(list(same))
        return predictions

    def stream(self, pictures: Iterable[Picture | Unusable]) -> Iterator[FoundPicture | Unusable]:
        """What is found in pictures as they come, in their order; of what cannot be used, why.

        On a GPU, pictures of one size that follow each other are taken together.
        """
        batch: list[tuple[Picture, np.ndarray]] = []
        for picture in pictures:
            taken = self._take(picture)
            is_other = isinstance(taken, Unusable) or (
                bool(batch) and taken[1].shape != batch[0][1].shape
            )
            if is_other:
                yield from self._found(batch)
                batch = []
            if isinstance(taken, Unusable):
                yield taken
                continue
            batch.append(taken)
            if len(batch) >= self.batch_size:
                yield from self._found(batch)
                batch = []
        yield from self._found(batch)

    def _take(self, picture: Picture | Unusable) -> tuple[Picture, np.ndarray] | Unusable:
        """A picture with all its pixels, or why it cannot be used."""
        if isinstance(picture, Unusable):
            return picture
        pixels = picture.pixels
        try:
            self.detector.check_size(pixels.height, pixels.width)
            return picture, pixels.window(0, 0, pixels.width, pixels.height)
        except DataError as error:
            return Unusable(picture.name, str(error))

    def _found(self, batch: Sequence[tuple[Picture, np.ndarray]]) -> Iterator[FoundPicture]:
        predictions = self.predict([array for _, array in batch])
        for (picture, _), prediction in zip(batch, predictions, strict=True):
            yield FoundPicture(picture, prediction, self.classes)


def _check(
    score_threshold: float | None,
    nms_threshold: float | None,
    max_detections: int | None,
    classes: Sequence[str],
    known: Sequence[str],
) -> None:
    for what, value in (("score", score_threshold), ("nms", nms_threshold)):
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{what}_threshold is {value}, must lie in 0..1")
    if max_detections is not None and max_detections < 1:
        raise ConfigError(f"max_detections is {max_detections}, must be at least 1")
    for name in classes:
        if name not in known:
            raise ConfigError(f"the weights know no class {name!r}; they know {', '.join(known)}")
