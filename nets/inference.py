"""A network made ready to predict, and for nothing else."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN

from nets.fold_norms import fold_batch_norms
from nets.winograd import use_winograd

CAST = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def ready_for_inference(model: MaskRCNN, dtype: torch.dtype) -> MaskRCNN:
    """Change a network, in place, so that it predicts faster and can no longer train.

    Args:
        model: of ``build_model``, in evaluation mode.
        dtype: what autocast computes in; weights are cast once, not in each call.
    """
    fold_batch_norms(model)
    if dtype != torch.float32:
        for module in model.modules():
            if isinstance(module, CAST):
                module.to(dtype)
        use_winograd(model)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)
