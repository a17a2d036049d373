"""Selections whose results have a size that does not depend on what is in the tensors.

A network that is to leave Python cannot select as torchvision does, by index lists of any length:
its graph is made once, for all images. Here a selection has places for the most that there can be,
and what fills no place has the score ``NONE``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder

NONE = -1.0  # the score of a place without a box; real ones lie in 0..1


def surest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` highest of scores (B, N), sorted down, and where they are, both (B, count).

    If there are fewer, the others are negative infinity, and any place will do.
    """
    padded = F.pad(scores, (0, count), value=-torch.inf)
    found, places = padded.topk(count, dim=1)
    return found, places.clamp(max=scores.shape[1] - 1)


def ranked(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As ``surest``, but of equal scores the one that comes first is the surer one, and if there
    are fewer, the others are ``NONE``."""
    padded = F.pad(scores, (0, max(0, count - scores.shape[1])), value=NONE)
    found, places = padded.sort(dim=1, descending=True, stable=True)
    return found[:, :count], places[:, :count].clamp(max=scores.shape[1] - 1)


def candidates_of(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` highest of scores (B, N), in the order they have there, and where they are."""
    places = scores.topk(count, dim=1).indices.sort(dim=1).values
    return scores.gather(1, places), places


def taken(values: Tensor, places: Tensor) -> Tensor:
    """The rows (B, M, D) of ``values`` (B, N, D) at int64 ``places`` (B, M)."""
    return values.gather(1, places[:, :, None].expand(-1, -1, values.shape[2]))


def places_of(found: Tensor) -> Tensor:
    """The numbers of the filled places of all images, of ``found`` bool (B, D) flattened.

    The very first is always among them: not every runtime can compute with no box at all.
    """
    filled = found.flatten()
    first = torch.arange(filled.shape[0], device=filled.device) == 0
    (places,) = torch.nonzero(filled | first, as_tuple=True)
    return places


def spread(values: Tensor, places: Tensor, found: Tensor) -> Tensor:
    """Values (N, ...) of places (``places_of``) as (B, D, ...), zero where nothing was found."""
    whole = values.new_zeros(found.numel(), *values.shape[1:]).index_put((places,), values)
    shape = (*found.shape, *values.shape[1:])
    return whole.reshape(shape) * found.reshape(*found.shape, *(1 for _ in values.shape[1:]))


def decoded(codes: Tensor, boxes: Tensor, coder: BoxCoder) -> Tensor:
    """Boxes (..., 4) changed as a head's codes (..., 4) say; as ``BoxCoder.decode_single``."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    scale_x, scale_y, scale_width, scale_height = coder.weights
    across, down, wider, higher = codes.unbind(-1)
    center_x = across / scale_x * width + (x1 + 0.5 * width)
    center_y = down / scale_y * height + (y1 + 0.5 * height)
    half_width = 0.5 * ((wider / scale_width).clamp(max=coder.bbox_xform_clip).exp() * width)
    half_height = 0.5 * ((higher / scale_height).clamp(max=coder.bbox_xform_clip).exp() * height)
    return torch.stack(
        [
            center_x - half_width,
            center_y - half_height,
            center_x + half_width,
            center_y + half_height,
        ],
        dim=-1,
    )


def clipped(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes (..., 4) cut at the border of the image."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    sides = ((x1, width), (y1, height), (x2, width), (y2, height))
    return torch.stack([side.clamp(0, most) for side, most in sides], dim=-1)


def are_large(boxes: Tensor, smallest: float) -> Tensor:
    """Which boxes (..., 4) have sides of at least ``smallest`` pixels; bool (...)."""
    return (boxes[..., 2:] - boxes[..., :2] >= smallest).all(-1)
