"""A trained model ready to look at pictures."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms.v2.functional import to_dtype

from nets.contract import Prediction, above
from nets.detect import detect
from nets.mask_rcnn import input_size
from nets.weights_file import WeightsFile
from utils.data.channels import RGB
from utils.data.images import check_resizable
from utils.device import Precision
from utils.evaluation.operating_point import OperatingPoint, in_words

MOST_NAMED = 8  # classes whose thresholds are told


class Predictor:
    """Finds objects in pictures.

        predictor = Predictor(load_weights(path), device, precision)
        prediction = predictor(image)          # image: uint8 RGB (H, W, 3), as load_image reads

    Attributes:
        classes: names in label order, label 1 first.
        channels: of the images it takes.
        thresholds: from which score on a detection counts, by class in label order; as the weights
            file says unless one for all is given.
    """

    def __init__(
        self,
        weights: WeightsFile,
        device: torch.device,
        precision: Precision,
        score_threshold: float | None = None,
    ) -> None:
        self.classes = weights.classes
        self.channels = weights.channels
        self.thresholds = weights.thresholds
        if score_threshold is not None:
            self.thresholds = (score_threshold,) * len(weights.classes)
        self.device = device
        self.precision = precision
        self.model = weights.build().to(device, memory_format=precision.memory_format)
        # No masks are computed for what is not shown; a hair lower, as torchvision excludes equals.
        self.model.roi_heads.score_thresh = 0.999 * min(self.thresholds)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Prediction:
        """What is in one picture, best first, at its own size.

        Raises:
            ValueError: not uint8 (H, W, 3) or, of a network for another number of channels,
                float32 (H, W, channels).
            DataError: too thin to be resized to the network's input.
        """
        kind = "uint8" if self.channels == RGB else "float32"
        if image.dtype != kind or image.ndim != 3 or image.shape[2] != self.channels:
            raise ValueError(
                f"need {kind} (H, W, {self.channels}), got {image.dtype} {image.shape}"
            )
        height, width = image.shape[:2]
        check_resizable(height, width, *input_size(self.model))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        with self.precision.autocast():
            floats = to_dtype(pixels.permute(2, 0, 1), torch.float32, scale=True)
            predictions, _ = detect(self.model, [floats])
        return above(predictions[0], self.thresholds)


def thresholds_in_words(weights: WeightsFile, score_threshold: float | None = None) -> str:
    """Which thresholds a ``Predictor`` of the same arguments has, and where they are from."""
    if score_threshold is not None:
        return f"score threshold {score_threshold:g} as given"
    if not weights.operating_point:
        return f"score threshold {weights.score_threshold:g} of the weights file"
    point = OperatingPoint.from_dict(weights.operating_point, weights.classes)
    shown = [f"{name} {threshold:.2f}" for name, threshold in point.thresholds.items()]
    unmet = list(point.notes)
    if len(shown) > MOST_NAMED:
        ends = [f(weights.classes, key=point.thresholds.__getitem__) for f in (min, max)]
        low, high = (f"{point.thresholds[name]:.2f} ({name})" for name in ends)
        shown = [f"{low} to {high} in {len(shown)} classes"]
    if len(unmet) > MOST_NAMED:
        unmet = [f"{len(unmet)} classes"]
    rule = in_words(point.rule)
    suffix = f"; not reached for {', '.join(unmet)}" if unmet else ""
    return f"score thresholds of the weights file for {rule}: {', '.join(shown)}{suffix}"
