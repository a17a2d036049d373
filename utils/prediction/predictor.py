"""A trained model ready to look at pictures."""

from __future__ import annotations

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.transforms.v2.functional import to_dtype

from nets.class_thresholds import set_class_thresholds
from nets.contract import Prediction
from nets.detect import detect
from nets.inference import ready_for_inference
from nets.mask_rcnn import input_size
from nets.out_of_memory import is_out_of_memory
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
        reference: bool = False,
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

        Raises:
            ConfigError: the model knows no such class, or a number out of range.
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
        self.device = device
        self.precision = precision
        self.batch_size = GPU_BATCH if device.type == "cuda" else 1
        self._build = partial(
            _built, weights, self.thresholds, nms_threshold, max_detections, reference
        )
        self.model = self._build(device, precision)

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
            max_detections=max_detections, classes=classes, reference=reference,
        )  # fmt: skip

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
            self._check_size(*array.shape[:2])
        predictions: list[Prediction] = []
        for _, same in groupby(arrays, key=np.shape):
            alike = list(same)
            while alike:
                batch = alike[: self.batch_size]
                predictions += self._predict_batch(batch)
                del alike[: len(batch)]
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
            self._check_size(pixels.height, pixels.width)
            return picture, pixels.window(0, 0, pixels.width, pixels.height)
        except DataError as error:
            return Unusable(picture.name, str(error))

    def _found(self, batch: Sequence[tuple[Picture, np.ndarray]]) -> Iterator[FoundPicture]:
        predictions = self.predict([array for _, array in batch])
        for (picture, _), prediction in zip(batch, predictions, strict=True):
            yield FoundPicture(picture, prediction, self.classes)

    def _check_size(self, height: int, width: int) -> None:
        check_resizable(height, width, *input_size(self.model))

    def _predict_batch(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        """If memory runs out, fewer at a time from now on; if it does for one, that one on the CPU.

        Raises:
            RuntimeError: memory runs out on the CPU.
        """
        try:
            return self._detect(arrays, self.model, self.device, self.precision)
        except Exception as error:
            if not is_out_of_memory(error) or (len(arrays) == 1 and self.device.type == "cpu"):
                raise
        # Here and not above, where the error still holds what is to be freed.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(arrays) > 1:
            self.batch_size = len(arrays) // 2
            halves = arrays[: self.batch_size], arrays[self.batch_size :]
            return [one for half in halves for one in self.predict(half)]
        return self._detect(arrays, *self._on_cpu)

    @cached_property
    def _on_cpu(self) -> tuple[MaskRCNN, torch.device, Precision]:
        """For images that are too large for a GPU."""
        warnings.warn(
            f"the memory of the {self.device.type} device is too small for some images; they are "
            "looked at on the CPU, which is slower",
            stacklevel=2,
        )
        device = torch.device("cpu")
        precision = Precision("fp32", "cpu")
        return self._build(device, precision), device, precision

    @torch.inference_mode()
    def _detect(
        self,
        arrays: Sequence[np.ndarray],
        model: MaskRCNN,
        device: torch.device,
        precision: Precision,
    ) -> list[Prediction]:
        moved = [_tensor(array).to(device) for array in arrays]  # before they become floats
        images = [to_dtype(image, torch.float32, scale=True) for image in moved]
        with precision.autocast():
            predictions, _ = detect(model, images)
        return predictions


def _built(
    weights: WeightsFile,
    thresholds: tuple[float, ...],
    nms_threshold: float | None,
    max_detections: int | None,
    reference: bool,
    device: torch.device,
    precision: Precision,
) -> MaskRCNN:
    model = weights.build(reference).to(device)
    set_class_thresholds(model.roi_heads, thresholds)
    if not reference:
        ready_for_inference(model, precision.dtype)
    if nms_threshold is not None:
        model.roi_heads.nms_thresh = nms_threshold
    if max_detections is not None:
        model.roi_heads.detections_per_img = max_detections
    return model


def _tensor(array: np.ndarray) -> Tensor:
    """(H, W, C) as (C, H, W); copied where torch cannot take it, as if it may not be written to."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).permute(2, 0, 1)


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
