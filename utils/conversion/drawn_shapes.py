"""The built-in shapes as picture files, to practise on with any format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from utils.data import shapes
from utils.data.records import RecordSet

TRAINING_SCENES = 150


def draw_shapes(folder: Path) -> dict[str, RecordSet]:
    """Draw the first training scenes and all held-out ones as PNG files, in a folder per part."""
    parts = {}
    for part, count in (("train", TRAINING_SCENES), ("val", shapes.HELD_OUT)):
        root = folder / part
        root.mkdir(parents=True)
        images = []
        for number in range(count):
            scene = shapes.draw_scene(number, held_out=part == "val")
            path = root / scene.record.path.name
            Image.fromarray(scene.image).save(path)
            images.append(replace(scene.record, path=path))
        parts[part] = RecordSet(root, shapes.NAME, shapes.CLASSES, tuple(images))
    return parts
