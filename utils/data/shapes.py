"""The built-in data set: squares, circles and triangles drawn on the fly, no files needed.

The scenes follow the shapes demo of Matterport's Mask R-CNN: 128 pixels, 1 to 4 shapes of random
kind, colour, place and size on a plain background; later shapes cover earlier ones, and shapes
whose boxes overlap too much (IoU above 0.3) are thinned out, the later one staying.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.data.records import ImageRecord, Instance, RecordSet

NAME = "shapes"
HELD_OUT = 50  # scenes of the evaluation set
EPOCH_SCENES = 1000  # fresh scenes per training epoch
CLASSES = ("square", "circle", "triangle")
SIZE = 128  # image side in pixels
MARGIN = 20  # centres keep this far from the border; also the smallest half-side of a shape
MAX_SHAPES = 4
SCENES_PER_SEED = 10_000_000  # training with seed s draws scenes from s times this number on
ROOT = Path(NAME)  # the place scenes pretend to lie in, so that they have names like files do


@dataclass(frozen=True)
class Scene:
    """A drawn image, uint8 RGB (128, 128, 3), and its record."""

    image: np.ndarray
    record: ImageRecord


def draw_scene(number: int, held_out: bool = False) -> Scene:
    """Draw scene ``number``, 0 or more: the same number gives the same pixels on every machine.

    Held-out scenes are a series of their own, which no training ever shows.
    """
    rng = np.random.Generator(np.random.PCG64([number, held_out]))
    background = rng.integers(0, 256, 3)
    count = int(rng.integers(1, MAX_SHAPES + 1))
    kinds = rng.integers(0, len(CLASSES), count)
    colours = rng.integers(0, 256, (count, 3))
    centres = rng.integers(MARGIN, SIZE - MARGIN, (count, 2))
    half_sides = rng.integers(MARGIN, SIZE // 4 + 1, count)

    kept = _thin_out(centres, half_sides)
    image = np.empty((SIZE, SIZE, 3), np.uint8)
    image[:] = background
    visible: list[np.ndarray] = []
    for i in kept:
        mask = shape_mask(CLASSES[kinds[i]], int(centres[i, 0]), int(centres[i, 1]), half_sides[i])
        image[mask] = colours[i]
        visible = [earlier & ~mask for earlier in visible] + [mask]

    instances = tuple(
        Instance.from_mask(int(kinds[i]) + 1, mask)
        for i, mask in zip(kept, visible, strict=True)
        if mask.any()
    )
    path = ROOT / (f"held_out_{number:03d}.png" if held_out else f"scene_{number:09d}.png")
    return Scene(image, ImageRecord(number + 1, path, SIZE, SIZE, instances))


def shape_mask(kind: str, x: int, y: int, half_side: int) -> np.ndarray:
    """The pixels of one shape centred on (x, y), bool (128, 128)."""
    rows, columns = np.ogrid[:SIZE, :SIZE]
    dy, dx = rows - y, columns - x
    if kind == "square":
        return (abs(dx) <= half_side) & (abs(dy) <= half_side)
    if kind == "circle":
        return dx**2 + dy**2 <= half_side**2
    # Apex at the top; the base is 2 / sin(60 degrees) half-sides wide, as in the demo.
    half_width = (dy + half_side) / (2 * np.sin(np.pi / 3))
    return (abs(dy) <= half_side) & (abs(dx) <= half_width)


def _thin_out(centres: np.ndarray, half_sides: np.ndarray) -> list[int]:
    """Indices of the shapes that stay, in drawing order; later shapes win an overlap."""
    low, high = centres - half_sides[:, None], centres + half_sides[:, None]
    sides = np.clip(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), 0, None)
    common, areas = sides.prod(2), (2 * half_sides) ** 2
    # In integers, and an IoU of 0.3 itself is too much, as it is in float32.
    is_overlap = 10 * common >= 3 * (areas[:, None] + areas - common)
    kept: list[int] = []
    for i in reversed(range(len(centres))):
        if not is_overlap[i, kept].any():
            kept.append(i)
    return kept[::-1]


def read_shapes(numbers: range, held_out: bool = False) -> RecordSet:
    """The records of the scenes with the given numbers."""
    images = tuple(draw_scene(number, held_out).record for number in numbers)
    return RecordSet(ROOT, NAME, CLASSES, images)
