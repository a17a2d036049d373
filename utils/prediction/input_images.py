"""Images as people hand them over: paths, Pillow images, arrays, tensors; their form is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.data.channels import RGB
from utils.data.images import load_image, to_channels

AnyImage = Path | str | Image.Image | np.ndarray | Tensor


def as_array(image: AnyImage, channels: int) -> np.ndarray:
    """The pixels of an image, (H, W, channels): uint8, or float32 in 0..1.

    Raises:
        ValueError: an array or tensor of another shape, type or range.
        DataError: a file that cannot be read as a picture.
    """
    if isinstance(image, Path | str):
        return load_image(image, channels)
    if isinstance(image, Image.Image):
        return to_channels(image, channels, "the image")
    if isinstance(image, Tensor):
        return _from_tensor(image, channels)
    wanted = ("uint8",) if channels == RGB else ("float32",)
    shape = f"(H, W, {channels})"
    if image.ndim != 3 or image.shape[2] != channels or 0 in image.shape:
        raise ValueError(f"need an array {shape}, got {image.shape}")
    if image.dtype not in wanted:
        raise ValueError(f"need {' or '.join(wanted)} {shape}, got {image.dtype}")
    return _in_range(image)


def _from_tensor(image: Tensor, channels: int) -> np.ndarray:
    shape = f"({channels}, H, W)"
    if image.ndim != 3 or image.shape[0] != channels or 0 in image.shape:
        raise ValueError(f"need a tensor {shape}, got {tuple(image.shape)}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(f"need uint8 or floats in 0..1, {shape}, got {image.dtype}")
    array = image.detach().permute(1, 2, 0).cpu()
    return _in_range(array.numpy() if array.dtype == torch.uint8 else array.float().numpy())


def _in_range(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN is not either
        raise ValueError(f"floats must lie in 0..1, these are {low:g}..{high:g}; divide by 255?")
    return array
