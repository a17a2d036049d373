"""The anchors of a network: boxes around every point of its feature maps that the RPN refines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList


def sizes_of(model: MaskRCNN) -> tuple[float, ...]:
    """The sides of a network's square anchors in pixels of its input, smallest first."""
    return tuple(sorted({size for sizes in model.rpn.anchor_generator.sizes for size in sizes}))


def ratios_of(model: MaskRCNN) -> tuple[float, ...]:
    """Height over width of the anchors of each point, the same on all levels."""
    return tuple(model.rpn.anchor_generator.aspect_ratios[0])


def set_anchors(model: MaskRCNN, sizes: Sequence[float], ratios: Sequence[float]) -> None:
    """Replace the anchors by as many of other sizes and ratios, so that an RPN head still fits.

    Args:
        model: its levels have one size each, or all sizes (MobileNet).
        sizes: square roots of the areas, in pixels of the network's input, ascending; empty keeps
            the network's own.
        ratios: heights over widths, ascending; empty keeps the network's own.

    Raises:
        ValueError: another number of them, or not ascending from above 0.
    """
    own = sizes_of(model)
    new_sizes = _checked("anchor_sizes", sizes or own, len(own))
    new_ratios = _checked("aspect_ratios", ratios or ratios_of(model), len(ratios_of(model)))
    new = dict(zip(own, new_sizes, strict=True))
    levels = tuple(tuple(new[size] for size in sizes) for sizes in model.rpn.anchor_generator.sizes)
    model.rpn.anchor_generator = AnchorGenerator(levels, (new_ratios,) * len(levels))


def keep_float32(generator: AnchorGenerator) -> None:
    """Let a generator give its anchors in float32 whatever number format the feature maps have.

    torchvision takes the maps' format: in bfloat16, which has 8 significant bits, the edges of
    anchors would lie on even pixels above 256, and on every fourth above 512.
    """
    generator.register_forward_pre_hook(_float32_maps)


def _float32_maps(
    generator: AnchorGenerator, inputs: tuple[ImageList, list[Tensor]]
) -> tuple[ImageList, list[Tensor]]:
    images, maps = inputs
    number = maps[0].new_empty(1, dtype=torch.float32)  # of maps, only the shape is looked at
    return images, [number.expand(one.shape) for one in maps]


def _checked(name: str, values: Sequence[float], count: int) -> tuple[float, ...]:
    if len(values) != count:
        raise ValueError(f"{name} are {len(values)} numbers, this network has {count}")
    if not all(a < b for a, b in pairwise([0, *values])):
        raise ValueError(f"{name} are {list(values)}, must ascend from above 0")
    return tuple(values)


@torch.no_grad()
def feature_strides(model: MaskRCNN) -> tuple[int, ...]:
    """How many pixels of the network's input lie between the points of each feature map.

    The backbone is run on a small input; on the meta device that computes nothing.
    """
    side = 256  # divides by every stride
    first = next(model.backbone.parameters())  # the first convolution's, (C_out, C_in, k, k)
    features = model.backbone(first.new_zeros(1, first.shape[1], side, side))
    return tuple(side // feature.shape[-1] for feature in features.values())
