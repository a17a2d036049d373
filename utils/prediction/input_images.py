"""Images as people hand them over: paths, Pillow images, arrays, tensors; their form is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.data.channels import RGB
from utils.data.images import DAMAGE, load_image, to_channels
from utils.data.records import DataError

AnyImage = Path | str | Image.Image | np.ndarray | Tensor


def as_array(image: AnyImage, channels: int) -> np.ndarray:
    """The pixels of an image, (H, W, channels): uint8, or float32 in 0..1.

    Args:
        image: a path; a Pillow image, which is read as its file would be; an array (H, W, channels)
            or a tensor (channels, H, W), uint8 or floats in 0..1. (H, W) is grey.
        channels: of the network.

    Raises:
        ValueError: an array or tensor of another shape, type or range, or something else.
        DataError: a file or Pillow image that cannot be read.
    """
    if isinstance(image, Path | str):
        return load_image(image, channels)
    if isinstance(image, Image.Image):
        return _from_pillow(image, channels)
    if isinstance(image, Tensor):
        return _checked(_numpy(image), channels, is_tensor=True)
    if isinstance(image, np.ndarray):
        return _checked(image, channels)
    raise ValueError(f"need a path, a Pillow image, an array or a tensor, got {type(image)}")


def _from_pillow(image: Image.Image, channels: int) -> np.ndarray:
    if 0 in image.size:
        raise ValueError(f"need at least one pixel, got {image.width}x{image.height}")
    try:
        return to_channels(image, channels, "the image")
    except DataError:  # which says all there is to say
        raise
    except DAMAGE as error:  # Pillow decodes as late as now
        raise DataError(f"the image: cannot be decoded ({error})") from error


def _numpy(image: Tensor) -> np.ndarray:
    array = image.detach().cpu()
    if array.dtype == torch.bfloat16:  # which numpy does not know
        array = array.float()
    return array.numpy()


def _checked(array: np.ndarray, channels: int, is_tensor: bool = False) -> np.ndarray:
    """The array in its own order of axes, (H, W, channels), uint8 or float32."""
    shape = f"({channels}, H, W)" if is_tensor else f"(H, W, {channels})"
    wanted = f"need uint8, or floats in 0..1, {shape} or grey (H, W)"
    found = f"{array.dtype} {array.shape}"
    is_grey = array.ndim == 2 and channels in (1, RGB)
    given = array.shape[:1] if is_tensor else array.shape[2:]
    is_wrong = not is_grey and (array.ndim != 3 or given != (channels,))
    if is_wrong or 0 in array.shape:
        raise ValueError(f"{wanted}, got {found}{_advice(array, channels, is_tensor)}")
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise ValueError(f"{wanted}, got {found}")
    if is_grey:
        array = np.repeat(array[:, :, None], channels, axis=2)
    elif is_tensor:
        array = array.transpose(1, 2, 0)
    return array if array.dtype == np.uint8 else _in_range(array)


def _advice(array: np.ndarray, channels: int, is_tensor: bool) -> str:
    """What most often is meant by an array of a wrong shape."""
    if array.ndim == 4:
        return "; several images are a list of them"
    if array.ndim == 3 and not is_tensor and array.shape[0] == channels:
        return "; of channels first make a tensor, or image.transpose(1, 2, 0)"
    if array.ndim == 3 and is_tensor and array.shape[2] == channels:
        return "; of channels last make an array, or image.permute(2, 0, 1)"
    return ""


def _in_range(array: np.ndarray) -> np.ndarray:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN is not either
        raise ValueError(f"floats must lie in 0..1, these are {low:g}..{high:g}; divide by 255?")
    return array.astype(np.float32, copy=False)
