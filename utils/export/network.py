"""The trained network that an exported file is made of, and is held against."""

from __future__ import annotations

from torchvision.models.detection import MaskRCNN

from utils.export.card import ModelCard


def network_of(card: ModelCard) -> MaskRCNN:
    """torchvision's own modules, with the thresholds of the file.

    Args:
        card: of the file; its weights have their tensors.
    """
    model = card.weights.build(reference=True)
    heads = model.roi_heads
    heads.score_thresh, heads.nms_thresh = card.score_threshold, card.nms_threshold
    heads.detections_per_img = card.detections
    return model
