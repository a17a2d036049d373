"""The network as torchvision itself runs it: what exported files are held against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.transform import resize_boxes

from utils.export.card import ModelCard
from utils.export.network import network_of

# Changes of pixels in 0..1 that move scores and boxes about ten times as far as another order of
# additions in float32 does (measured with ONNX Runtime).
JITTER, VARIATIONS = 1e-5, 6


class Detections(NamedTuple):
    """What is found in one image.

    Attributes:
        boxes: float32 (N, 4) xyxy in pixels of the image.
        labels: int64 (N,), 1..K.
        scores: float32 (N,), sorted down.
        masks: float32 (N, 28, 28), probabilities within the box.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    masks: np.ndarray


class Reference:
    """torchvision's network, one image at a time, with the thresholds of an exported file.

    Args:
        card: of the file; its weights have their tensors.
    """

    def __init__(self, card: ModelCard) -> None:
        self.model = network_of(card)

    def detections(self, image: np.ndarray) -> Detections:
        """Of an image (H, W, C) as the exported file takes it."""
        return self._detections(_pixels(image))

    def varied(self, image: np.ndarray) -> Iterator[Detections]:
        """The same, several times, with pixels changed by less than can be seen and proposals in
        another order: what comes and goes among these hangs on rounding."""
        pixels, chance = _pixels(image), torch.Generator().manual_seed(0)
        for _ in range(VARIATIONS):
            noise = torch.randn(pixels.shape, generator=chance)
            yield self._detections(pixels + JITTER * noise, chance)

    @torch.inference_mode()
    def _detections(self, pixels: Tensor, chance: torch.Generator | None = None) -> Detections:
        model, size = self.model, [int(side) for side in pixels.shape[1:]]
        batch, _ = model.transform([pixels])
        features = model.backbone(batch.tensors)
        proposals, _ = model.rpn(batch, features)
        if chance is not None:
            (boxes,) = proposals
            proposals = [boxes[torch.randperm(len(boxes), generator=chance)]]
        (found,), _ = model.roi_heads(features, proposals, batch.image_sizes)
        boxes = resize_boxes(found["boxes"], list(batch.image_sizes[0]), size)
        parts = (boxes, found["labels"], found["scores"], found["masks"][:, 0])
        return Detections(*(part.numpy() for part in parts))


def _pixels(image: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
