"""Ways to find objects with the same trained network, to be timed against each other.

Each goes from pictures in memory to run lengths of masks, and gives every detection that a file of
the card gives.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection import MaskRCNN
from torchvision.transforms.v2.functional import to_dtype

from utils.device import Precision
from utils.export.card import ModelCard
from utils.export.session import Session
from utils.prediction.detector import Detector
from utils.prediction.exported_detector import ExportedDetector
from utils.prediction.network_detector import NetworkDetector

CPU = torch.device("cpu")
# Takes images (H, W, C) of one size, gives the number of objects in all of them.
Way = Callable[[Sequence[np.ndarray]], int]


def stock_way(model: MaskRCNN, device: torch.device = CPU) -> Way:
    """What a short script does: torchvision's own network in float32, one image after the other,
    its full-size float masks thresholded at 0.5 and encoded by pycocotools."""

    @torch.inference_mode()
    def way(images: Sequence[np.ndarray]) -> int:
        count = 0
        for image in images:
            tensor = to_dtype(torch.from_numpy(image).permute(2, 0, 1), torch.float32, scale=True)
            (found,) = model([tensor.to(device)])
            masks = (found["masks"][:, 0] >= 0.5).cpu().numpy().astype(np.uint8)
            count += len([coco_mask.encode(np.asfortranarray(mask)) for mask in masks])
        return count

    return way


def own_way(card: ModelCard, precision: Precision) -> Way:
    """What predict.py does with the weights themselves."""
    network = NetworkDetector(
        card.weights, CPU, precision, 1, _thresholds(card), card.nms_threshold, card.detections
    )
    return _detecting(network)


def exported_way(session: Session) -> Way:
    """What predict.py does with an exported file."""
    return _detecting(ExportedDetector(session, _thresholds(session.card)))


def _detecting(detector: Detector) -> Way:
    return lambda images: sum(len(found["masks"]) for found in detector.detect(images))


def _thresholds(card: ModelCard) -> list[float]:
    """Of each class, so that everything is given that the file gives."""
    return [card.score_threshold] * len(card.weights.classes)


def seconds_by_turns(
    ways: Mapping[str, Way], batches: Sequence[Sequence[np.ndarray]], rounds: int
) -> dict[str, float]:
    """Median seconds of each way for one image, over all batches and rounds.

    One after the other looks at a batch, so that what else the machine does meets all alike. Each
    looks at every batch once before, as some runtimes prepare for each size that they see.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for batch in batches:
            for name, way in ways.items():
                start = time.perf_counter()
                way(batch)
                seconds[name].append((time.perf_counter() - start) / len(batch))
    return {name: statistics.median(values[len(batches) :]) for name, values in seconds.items()}
