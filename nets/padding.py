"""Batches of several processes padded alike.

torchvision pads the images of a batch to the largest of them. Where a batch is divided among
processes, each would pad to the largest of its own part; the size of the padded image decides what
lies beyond an image's border and which anchors there are, so the parts would train differently from
the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor
from torchvision.models.detection import MaskRCNN


@contextmanager
def padding_to(
    model: MaskRCNN, agree: Callable[[Sequence[int]], Sequence[int]] | None
) -> Iterator[None]:
    """Within, batches are padded to what ``agree`` makes of the shape (C, H, W) that holds all of
    their images, then up to torchvision's next multiple; None leaves it to torchvision."""
    if agree is None:
        yield
        return
    own = model.transform.batch_images

    def batch_images(images: list[Tensor], size_divisible: int = 32) -> Tensor:
        shape = [max(sides) for sides in zip(*(image.shape for image in images), strict=True)]
        blank = images[0].new_zeros(tuple(agree(shape)))
        return own([*images, blank], size_divisible)[:-1]

    model.transform.batch_images = batch_images
    try:
        yield
    finally:
        del model.transform.batch_images
