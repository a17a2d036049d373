"""Faster modules in the place of torchvision's: the same names, weights and results to rounding."""

from __future__ import annotations

from torchvision.models.detection import MaskRCNN

from nets.box_iou import sliced_box_iou
from nets.fold_norms import absorb_frozen_norms
from nets.roi_align import RowsRoIAlign
from nets.sparse_gradient import use_sparse_gradients


def use_fast_modules(model: MaskRCNN) -> None:
    """Exchange, in place, what is slow in torchvision's modules or takes much memory. Norms that
    are to be frozen must be by now."""
    for pool in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool):
        pool.__class__ = RowsRoIAlign
    for head in (model.rpn, model.roi_heads):
        head.box_similarity = sliced_box_iou
    absorb_frozen_norms(model)
    use_sparse_gradients(model)
