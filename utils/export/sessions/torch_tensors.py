"""Arrays and tensors at the borders of networks that PyTorch runs."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from utils.export.card import ModelCard
from utils.export.session import Found


def tensor_of(images: np.ndarray, card: ModelCard) -> Tensor:
    """The images of ``Session.run``.

    Raises:
        ValueError: they are not what the network takes. Compiled code would not notice: it reads
            what happens to lie in memory.
    """
    size, batch = card.settings.size, card.settings.batch
    dtype = np.uint8 if card.takes_bytes else np.float32
    wanted = (batch, *(size or (None, None)), card.weights.channels)
    fits = len(wanted) == images.ndim and images.dtype == dtype and images.size
    if not fits or any(w not in (None, n) for w, n in zip(wanted, images.shape, strict=True)):
        sides = ", ".join("any" if side is None else str(side) for side in wanted)
        raise ValueError(
            f"images are {images.dtype} {images.shape}, "
            f"the network takes {np.dtype(dtype)} ({sides})"
        )
    return torch.from_numpy(np.ascontiguousarray(images))


def found_of(outputs: Iterable[Tensor]) -> Found:
    """The outputs of ``nets.exportable.ExportableMaskRCNN``."""
    return Found(*(output.numpy() for output in outputs))
