"""How training samples are varied, by the names that ``--augment`` knows; ``utils.data.transforms``
does it."""

from __future__ import annotations

from typing import NamedTuple


class Augmentation(NamedTuple):
    """What happens to a training sample, and how probable it is."""

    flip: float = 0.0  # probability that left and right are exchanged
    transpose: float = 0.0  # probability that rows and columns are exchanged
    scale: tuple[float, float] | None = None  # the least and the largest factor of the size
    jitter: float = 0.0  # how far factors of brightness, contrast, saturation may lie from 1
    blur: float = 0.0  # probability
    noise: float = 0.0  # probability
    copy_paste: float = 0.0  # probability that objects of a second sample are pasted


# Hue stays, as colour often tells classes apart, and so does up and down, as people stand upright.
AUGMENTATIONS = {
    "none": Augmentation(),
    "flip": Augmentation(flip=0.5),
    "light": Augmentation(flip=0.5, scale=(0.8, 1.25), jitter=0.2),
    "strong": Augmentation(
        flip=0.5, scale=(0.5, 2.0), jitter=0.4, blur=0.1, noise=0.1, copy_paste=0.5
    ),
    "transpose": Augmentation(transpose=0.5),
}
DEFAULT_AUGMENTATION = "flip"  # the tutorial's
