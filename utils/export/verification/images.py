"""The images that an exported file is held against the network with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from utils.data.shapes import draw_scene
from utils.export.card import ModelCard
from utils.export.fitting import fitted

SMALL, WIDE = (128, 128), (97, 211)  # (height, width); torchvision's size for 97 is hit exactly
LARGEST = 1.5  # times the longest side that the network looks at
# Places of a picture that are exactly alike have scores that are alike too, and which of them comes
# first would be a matter of chance.
NOISE = 6  # grey levels
FLAT = {"black": 0, "white": 255, "grey": 128, "dark": 40}


class Case(NamedTuple):
    """Different images (N, H, W, C) of one size, as the network takes them; maybe the user's."""

    name: str
    images: np.ndarray
    is_own: bool = False


def cases(
    card: ModelCard, own: Sequence[np.ndarray], finds_nothing: Callable[[np.ndarray], bool]
) -> Iterator[Case]:
    """Several sizes, batches, images of the user's, and one in which nothing is found.

    Args:
        card: what the file is made for.
        own: images (H, W, C) of the user's.
        finds_nothing: whether the network finds nothing in an image.
    """
    channels, fixed = card.weights.channels, card.settings.size
    small, wide, tall = (fixed,) * 3 if fixed else (SMALL, WIDE, _tall(card))
    several = [*(drawn(small, number, channels) for number in range(3)), noise(small, channels)]
    for name, level in FLAT.items():
        flat = _as_taken(np.full((*small, channels), level, np.uint8))
        if finds_nothing(flat):
            several[1] = flat
            yield Case(f"nothing to find, {name}", flat[None])
            break
    yield Case("different images", np.stack(several))
    yield Case("a drawn scene", drawn(wide, 3, channels)[None])
    yield Case("a crowded scene", drawn(tall, 4, channels, tiles=3)[None])
    for number, image in enumerate(own, 1):
        yield Case(f"image {number} of the data", _own(image, card)[None], is_own=True)


def spread_evenly(images: Sequence[np.ndarray], count: int) -> Sequence[np.ndarray]:
    """So many of them, from all over them, or all."""
    return images[:: max(1, len(images) // count)][:count]


def drawn(size: tuple[int, int], number: int, channels: int, tiles: int = 1) -> np.ndarray:
    """Scenes of the built-in set side by side, ``tiles`` across and down, in one image."""
    scenes = [draw_scene(number + tile).image for tile in range(tiles * tiles)]
    rows = [np.concatenate(scenes[row::tiles], axis=1) for row in range(tiles)]
    picture = np.concatenate(rows)[:, :, np.arange(channels) % 3]
    grain = np.random.default_rng(number).integers(-NOISE, NOISE + 1, (*size, channels))
    grained = stretched(picture, size).astype(np.int64) + grain
    return _as_taken(grained.clip(0, 255).astype(np.uint8))


def noise(size: tuple[int, int], channels: int) -> np.ndarray:
    """An image of nothing but noise."""
    return _as_taken(np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8))


def stretched(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (H, W, C) of another height and width."""
    if image.shape[:2] == size:
        return image
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    if image.dtype == np.uint8:
        pixels = pixels.round()
    return np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy().astype(image.dtype))


def _own(image: np.ndarray, card: ModelCard) -> np.ndarray:
    """An image of the user's as the file takes it; no larger than the network looks at closely."""
    if card.settings.size:
        return fitted(image, card.settings.size, card.image_mean).canvas
    height, width = image.shape[:2]
    shrunk = min(1, LARGEST * card.input_size[1] / max(height, width))
    return stretched(image, (max(1, int(height * shrunk)), max(1, int(width * shrunk))))


def _tall(card: ModelCard) -> tuple[int, int]:
    """More than the network looks at, and odd."""
    side = card.input_size[0]
    return side * 3 // 2 | 1, side | 1


def _as_taken(image: np.ndarray) -> np.ndarray:
    return image if image.shape[2] == 3 else image.astype(np.float32) / 255
