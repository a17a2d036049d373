"""Arrays and tensors at the borders of networks that PyTorch runs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from utils.export.card import ModelCard
from utils.export.session import Found, signature_of


def tensor_of(images: np.ndarray, card: ModelCard) -> Tensor:
    """The images of ``Session.run``.

    Raises:
        ValueError: they are not what the network takes. Compiled code would not notice: it reads
            what happens to lie in memory.
    """
    dtype, shape, _ = signature_of(card)
    is_known = images.ndim == len(shape) and images.dtype == dtype and images.size > 0
    if not is_known or any(
        side not in (None, given) for side, given in zip(shape, images.shape, strict=True)
    ):
        sides = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(
            f"images are {images.dtype} {images.shape}, the network takes {dtype} ({sides})"
        )
    return torch.from_numpy(np.ascontiguousarray(images))


def found_of(outputs: Iterable[Tensor]) -> Found:
    """The outputs of ``nets.exportable.ExportableMaskRCNN``."""
    return Found(*(output.numpy() for output in outputs))
