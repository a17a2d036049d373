"""A trained model ready to look at pictures."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms.v2.functional import to_dtype

from nets.contract import Prediction
from nets.detect import detect
from nets.mask_rcnn import input_size
from nets.weights_file import WeightsFile
from utils.data.channels import RGB
from utils.data.images import check_resizable
from utils.device import Precision


class Predictor:
    """Finds objects in pictures.

        predictor = Predictor(load_weights(path), device, precision)
        prediction = predictor(image)          # image: uint8 RGB (H, W, 3), as load_image reads

    Attributes:
        classes: names in label order, label 1 first.
        channels: of the images it takes.
        score_threshold: from this score on a detection counts; as the weights file says unless
            another is given.
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
        chosen = weights.score_threshold if score_threshold is None else score_threshold
        self.score_threshold = chosen
        self.device = device
        self.precision = precision
        self.model = weights.build().to(device, memory_format=precision.memory_format)
        # No masks are computed for what is not shown; a hair lower, as torchvision excludes equals.
        self.model.roi_heads.score_thresh = 0.999 * self.score_threshold

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
        return above(predictions[0], self.score_threshold)


def above(prediction: Prediction, threshold: float) -> Prediction:
    """The detections with a score of at least ``threshold``."""
    keep = (prediction["scores"] >= threshold).tolist()
    chosen = torch.tensor(keep, dtype=torch.bool)
    return Prediction(
        boxes=prediction["boxes"][chosen],
        labels=prediction["labels"][chosen],
        scores=prediction["scores"][chosen],
        masks=[mask for mask, kept in zip(prediction["masks"], keep, strict=True) if kept],
    )
