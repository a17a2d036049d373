"""Simple Copy-Paste: objects of one image over another (Ghiasi et al., CVPR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from nets.contract import CompactMasks, Target
from utils.data.scale_jitter import random_place, scaled_size
from utils.data.targets import changed_target, joined_objects, selected_objects

F = v2.functional


def copy_paste(
    image: Tensor, target: Target, source: Tensor, source_target: Target
) -> tuple[Tensor, Target]:
    """Paste a random half of one sample's objects over another sample.

    The source is first resized to fit into the image, as the network would show both in about one
    size, and put at a random place in it. What pasted objects cover is cut from the masks beneath;
    ``changed_target`` says which of those go. Crowds are not pasted. Edges are not blended, which
    the paper found to make no difference.

    Args:
        image: (C, H, W).
        target: of the image.
        source, source_target: the sample whose objects are pasted, of any size.

    Returns:
        A new image, and a target with the pasted objects last.
    """
    size, source_size = _size(image), _size(source)
    chosen = (torch.rand(len(source_target["labels"])) < 0.5) & (source_target["iscrowd"] == 0)
    factor = min(size[0] / source_size[0], size[1] / source_size[1])
    fitted = scaled_size(source_size, factor)
    top, left = random_place(fitted, size)
    if not chosen.any():
        return image, target
    pasted = selected_objects(source_target, chosen)
    masks = CompactMasks.from_masks(pasted["masks"]).resized(fitted)
    pasted = changed_target(pasted, masks.cropped(-top, -left, *size), factor**2)
    masks = CompactMasks.from_masks(pasted["masks"])
    beneath = CompactMasks.from_masks(target["masks"]).without(masks.union())
    if factor != 1:
        source = F.resize(source, list(fitted))
    image = image.clone()
    for crop, (x, y, width, height) in zip(masks.crops(), masks.boxes.tolist(), strict=True):
        old = image[:, y : y + height, x : x + width]
        new = source[:, y - top : y - top + height, x - left : x - left + width]
        old.copy_(torch.where(crop.bool(), new, old))
    return image, joined_objects(changed_target(target, beneath), pasted)


def _size(image: Tensor) -> tuple[int, int]:
    height, width = image.shape[-2:]
    return height, width
