"""A network made ready to predict, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN

from nets.class_thresholds import set_class_thresholds
from nets.fold_norms import fold_batch_norms
from nets.roi_rows import RowsRoIAlign

CAST = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def ready_for_inference(
    model: MaskRCNN, dtype: torch.dtype, thresholds: Sequence[float] = ()
) -> MaskRCNN:
    """Change a network, in place, so that it predicts faster and can no longer train.

    Args:
        model: of ``build_model``, in evaluation mode.
        dtype: what autocast computes in; weights are cast once, not in each call.
        thresholds: least scores by class in label order; the model's own one if there are none.
    """
    fold_batch_norms(model)
    for part in ("box_roi_pool", "mask_roi_pool"):
        pool = getattr(model.roi_heads, part)
        rows = RowsRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)
        rows.set_strides([round(1 / scale) for scale in pool.scales])
        setattr(model.roi_heads, part, rows)
    if dtype != torch.float32:
        for module in model.modules():
            if isinstance(module, CAST):
                module.to(dtype)
    if thresholds:
        set_class_thresholds(model.roi_heads, thresholds)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)
