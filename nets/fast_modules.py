"""Faster modules in the place of torchvision's: the same names, weights and results to rounding."""

from __future__ import annotations

from collections.abc import Sequence

from torchvision.models.detection import MaskRCNN

from nets.box_iou import sliced_box_iou
from nets.fold_norms import absorb_frozen_norms
from nets.roi_align import RowsRoIAlign
from nets.sparse_gradient import use_sparse_gradients


def use_fast_modules(model: MaskRCNN, strides: Sequence[int]) -> None:
    """Exchange, in place, what is slow in torchvision's modules or takes much memory.

    Args:
        model: torchvision's, with its norms frozen if they are to be.
        strides: pixels of the input between the points of each feature map.
    """
    for part in ("box_roi_pool", "mask_roi_pool"):
        pool = getattr(model.roi_heads, part)
        fast = RowsRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)
        fast.set_strides(strides[: len(pool.featmap_names)])
        setattr(model.roi_heads, part, fast)
    for head in (model.rpn, model.roi_heads):
        head.box_similarity = sliced_box_iou
    absorb_frozen_norms(model)
    use_sparse_gradients(model)
