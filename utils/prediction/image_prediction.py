"""What a ``Predictor`` gives for one image: a ``Prediction`` that can be looked at."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from nets.contract import Prediction
from utils.drawing import draw_objects, predicted_objects


class ImagePrediction(dict[str, Any]):
    """The fields of ``nets.contract.Prediction``, and a picture of them.

        prediction["boxes"]      # float32 (M, 4) xyxy
        prediction.draw()        # a Pillow image; what a notebook shows of the prediction

    Args:
        prediction: of the image.
        image: (H, W, C), uint8, or float32 in 0..1.
        classes: names in label order.
    """

    def __init__(self, prediction: Prediction, image: np.ndarray, classes: tuple[str, ...]) -> None:
        super().__init__(prediction)
        self.image = image
        self.classes = classes

    @property
    def names(self) -> list[str]:
        """The class of each object."""
        return [self.classes[label - 1] for label in self["labels"].tolist()]

    def draw(self) -> Image.Image:
        """Masks, boxes, names and scores over the image, at its own size."""
        return draw_objects(self.image, predicted_objects(self, self.classes))  # type: ignore[arg-type]

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        self.draw().save(buffer, "PNG")
        return buffer.getvalue()
