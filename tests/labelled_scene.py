"""An image of drawn objects to look into, in the place of the first of the shapes set."""

from dataclasses import replace

import numpy as np
from inspected import make_subject

from utils.data.records import Instance


def make_scene(masks, labels=(), own_boxes=(), crowds=(), model=None, channels=3):
    """A subject whose objects have these masks, (H, W) each.

    ``labels`` are all 1 by default; ``own_boxes`` are the labels' own, xywh by place; ``crowds``
    are places.
    """
    subject, noise = make_subject(0, model), np.random.default_rng(0)
    height, width = masks[0].shape
    pixels = noise.integers(60, 120, (height, width, channels), np.uint8)
    instances = []
    for place, (mask, label) in enumerate(zip(masks, labels or [1] * len(masks), strict=True)):
        one = Instance.from_mask(label, mask, int(place in crowds))
        instances.append(replace(one, bbox=dict(own_boxes).get(place, one.bbox)))
        pixels[mask > 0] = noise.integers(0, 255, channels)
    if channels != 3:
        pixels = pixels.astype(np.float32) / 255
    dataset, record = subject.dataset, replace(
        subject.record, width=width, height=height, instances=tuple(instances)
    )  # fmt: skip
    dataset.data = replace(dataset.data, images=(record,))
    dataset.read = lambda key: (pixels, record)
    options = {**subject.weights.options, "channels": channels}
    weights = replace(subject.weights, options=options)
    return replace(subject, pixels=pixels, record=record, weights=weights)


def rectangle(size, x1, y1, x2, y2):
    """A mask, uint8 (H, W), of ``size`` H, W."""
    mask = np.zeros(size, np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def disc(size, x, y, radius):
    """A mask, uint8 (H, W), of ``size`` H, W."""
    rows, columns = np.indices(size)
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).astype(np.uint8)


def comb(size):
    """Teeth of two pixels as high as the image, thinner than 28 numbers can tell."""
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 2] = 1
    mask[:, ::8] = mask[:, 1::8] = 1
    return mask
