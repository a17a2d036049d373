"""A trained model ready to look at pictures."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms.v2.functional import to_dtype

from nets.contract import Prediction
from nets.detect import detect
from nets.weights_file import WeightsFile
from utils.data.images import check_resizable
from utils.device import Precision


class Predictor:
    """Finds objects in pictures.

        predictor = Predictor(load_weights(path), device, precision)
        prediction = predictor(image)          # image: uint8 RGB (H, W, 3)

    Attributes:
        classes: names in label order, label 1 first.
        score_threshold: from this score on a detection counts, as the weights file says.
    """

    def __init__(self, weights: WeightsFile, device: torch.device, precision: Precision) -> None:
        self.classes = weights.classes
        self.score_threshold = weights.score_threshold
        self.device = device
        self.precision = precision
        model = weights.build().to(device)
        self.model = model.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Prediction:
        """All detections in one picture, best first, at its own size.

        Raises:
            ValueError: not uint8 RGB of shape (H, W, 3).
            DataError: too thin to be resized to the network's input.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"need uint8 (H, W, 3), got {image.dtype} {image.shape}")
        resize = self.model.transform
        height, width = image.shape[:2]
        check_resizable(height, width, resize.min_size[-1], resize.max_size)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        with self.precision.autocast():
            floats = to_dtype(pixels.permute(2, 0, 1), torch.float32, scale=True)
            predictions, _ = detect(self.model, [floats])
        return predictions[0]


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
