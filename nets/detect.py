"""One forward pass that gives detections with compact masks and, if targets are given, the losses.

torchvision's model gives either losses (training mode) or detections (evaluation mode), so a
validation that wants both pays for the backbone twice, and it pastes every mask to a full-size
float image. This calls the same sub-modules in the same order and keeps the masks small.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.transform import resize_boxes

from nets.contract import Prediction
from nets.mask_paste import paste_masks

LOSS_SEED = 0  # the losses sample anchors and RoIs; a fixed seed makes them comparable over epochs
Losses = dict[str, Tensor]


def detect(
    model: MaskRCNN, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
) -> tuple[list[Prediction], Losses]:
    """Detect objects; the model must be in evaluation mode and stays in it.

    Args:
        model: a network of ``build_model``.
        images: float32 (channels, H, W) in 0..1, of any sizes, on the model's device.
        targets: one per image; with them the five training losses are computed as well.

    Returns:
        One ``Prediction`` per image, on the CPU, scores sorted down, and the losses (empty without
        targets). An image without objects has losses too.
    """
    sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
    batch, resized_targets = model.transform(images, targets)
    features = model.backbone(batch.tensors)
    proposals, _ = model.rpn(batch, features)
    found, _ = model.roi_heads(features, proposals, batch.image_sizes)

    losses: Losses = {}
    if targets is not None:
        with heads_compute_losses(model), fixed_seed(batch.tensors.device):
            proposals, rpn_losses = model.rpn(batch, features, resized_targets)
            _, head_losses = model.roi_heads(
                features, proposals, batch.image_sizes, resized_targets
            )
        losses = {**head_losses, **rpn_losses}

    predictions = [
        _prediction(detections, resized, original)
        for detections, resized, original in zip(found, batch.image_sizes, sizes, strict=True)
    ]
    return predictions, losses


def _prediction(
    found: dict[str, Tensor], resized: tuple[int, int], original: tuple[int, int]
) -> Prediction:
    boxes = resize_boxes(found["boxes"], list(resized), list(original)).float().cpu()
    return Prediction(
        boxes=boxes,
        labels=found["labels"].cpu(),
        scores=found["scores"].float().cpu(),
        masks=paste_masks(found["masks"], boxes, *original),
    )


@contextmanager
def fixed_seed(device: torch.device) -> Iterator[None]:
    """Draw the same samples every time, and leave the random states of training alone."""
    index = device.index if device.index is not None else 0
    with torch.random.fork_rng(devices=[index] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(LOSS_SEED)
        if device.type == "cuda":
            torch.cuda.default_generators[index].manual_seed(LOSS_SEED)
        yield


@contextmanager
def heads_compute_losses(model: MaskRCNN) -> Iterator[None]:
    """Let RPN and RoI heads themselves act as in training; batch norms inside stay as they are."""
    parts = (model.rpn, model.roi_heads)
    try:
        for part in parts:
            part.training = True
        yield
    finally:
        for part in parts:
            part.training = False
