"""The form of what an exported file gives: the promises of ``utils.export.session.Found``."""

from __future__ import annotations

import numpy as np

from utils.export.card import ModelCard
from utils.export.session import Found
from utils.export.verification.reference import Detections

MASK_SIDE = 28
BORDER = 1e-2  # pixels that a box may lie beyond the border of its image, by rounding
ROUNDING = 1e-6  # of scores


def form_fault(found: Found, shape: tuple[int, ...], card: ModelCard) -> str:
    """What is wrong with the form of the results for images of a shape (B, H, W, C); empty if
    nothing is."""
    batch, height, width = shape[:3]
    places = (batch, card.detections)
    wanted: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "boxes": (np.float32, (*places, 4)),
        "labels": (np.int64, places),
        "scores": (np.float32, places),
        "masks": (np.float32, (*places, MASK_SIDE, MASK_SIDE)),
        "counts": (np.int64, (batch,)),
    }
    if card.settings.paste:
        wanted["pasted"] = (np.uint8, (*places, height, width))
    for name, (dtype, size) in wanted.items():
        values = getattr(found, name)
        if values is None or values.dtype != dtype or values.shape != size:
            is_so = "missing" if values is None else f"{values.dtype} {values.shape}"
            return f"{name} should be {np.dtype(dtype)} {size}, are {is_so}"
        if not np.isfinite(values).all():
            return f"{name} hold numbers that are not finite"
    if (found.counts < 0).any() or (found.counts > card.detections).any():
        return f"counts should lie in 0..{card.detections}, are {found.counts.tolist()}"
    is_empty = np.arange(card.detections) >= found.counts[:, None]
    for name in wanted:
        if name != "counts" and getattr(found, name)[is_empty].any():
            return f"{name} are not zero where nothing was found"
    most = np.array([width, height, width, height]) + BORDER
    checks = {
        f"labels are not in 1..{card.weights.num_classes - 1}": ~is_empty
        & ((found.labels < 1) | (found.labels >= card.weights.num_classes)),
        "scores are not sorted down": (np.diff(found.scores) > 0).any(1),
        f"scores are below {card.score_threshold:g}": ~is_empty
        & (found.scores < card.score_threshold - ROUNDING),
        "boxes reach out of the image": (found.boxes < -BORDER) | (found.boxes > most),
        "boxes end before they begin": ~is_empty
        & (found.boxes[..., 2:] < found.boxes[..., :2]).any(-1),
        "masks are no probabilities": (found.masks < 0) | (found.masks > 1 + ROUNDING),
    }
    return next((problem for problem, is_wrong in checks.items() if is_wrong.any()), "")


def of_image(found: Found, place: int) -> Detections:
    """What was found in one image of a batch."""
    parts = (found.boxes, found.labels, found.scores, found.masks)
    return Detections(*(part[place, : found.counts[place]] for part in parts))
