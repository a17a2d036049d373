"""Feature maps as pictures: in colours, as they lie over the image, with its labelled objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from utils.drawing import DrawnObject, panel, recorded_objects
from utils.inspection.canvas import OBJECT, Canvas
from utils.inspection.chapter import Key
from utils.inspection.chapters.cards import stacked
from utils.inspection.feature_maps import object_cover, own_maps
from utils.inspection.heat_map import NOT_FINITE, colour_scale, heat_map
from utils.inspection.subject import Subject
from utils.inspection.trace import Maps

WIDTH, GAP = 960, 6
LEAST_HEIGHT = 90  # of a very wide image fewer stand side by side
TALLEST = 1.4  # times as high as wide
OUTLINED = 20  # more boxes would hide the maps


@dataclass(frozen=True)
class MapPictures:
    """The maps of a subject's image, what is labelled in it, and pictures of both."""

    subject: Subject

    @cached_property
    def maps(self) -> Maps:
        """All maps of backbone and pyramid, (C, h, w)."""
        return own_maps(self.subject.trace)

    @cached_property
    def objects(self) -> list[DrawnObject]:
        """Those labelled, maybe none."""
        record = self.subject.record
        return recorded_objects(record, self.subject.classes) if record is not None else []

    @cached_property
    def boxes(self) -> Tensor:
        """Of the objects in pixels of the network's input, (N, 4), the largest first."""
        boxes = torch.tensor([one.box for one in self.objects]).view(-1, 4)
        boxes = boxes * torch.tensor(self.subject.trace.scale * 2)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        return boxes[areas.argsort(descending=True, stable=True)]

    @cached_property
    def cover(self) -> Maps:
        """The share of each point that is labelled, (h, w), for each map; none if no object is, or
        if objects are all that there is."""
        cover = object_cover(self.subject.trace, self.objects) if self.objects else {}
        return cover if any((share < 1).any() for share in cover.values()) else {}

    def stride(self, name: str) -> int:
        """Pixels of the network's input between the points of a map."""
        trace = self.subject.trace
        if name in trace.features:
            return trace.strides()[name]
        return trace.batch.shape[3] // trace.body[name].shape[3]

    def columns(self, most: int) -> int:
        """How many pictures stand side by side."""
        height, width = self.subject.trace.size
        fitting = (n for n in range(most, 1, -1) if wide(n) * height / width >= LEAST_HEIGHT)
        return next(fitting, 1)

    def image(self, columns: int) -> Image.Image:
        """The image as the network sees it."""
        return self._outlined(self.subject.input_pixels, columns)

    def map(
        self, name: str, values: Tensor, columns: int, ends: tuple[float | None, ...] = (None, None)
    ) -> Image.Image:
        """A map (h, w) of the level of that name in colours, as it lies over the image: points
        stand where torchvision centres their anchors, in the corner of the image and then a stride
        apart.

        Args:
            name: of the level.
            values: without padding.
            columns: so many are to stand side by side.
            ends: of the colour scale, the lowest and highest value by default.
        """
        trace = self.subject.trace
        level = {**trace.body, **trace.features}[name]
        width, height = self._shown(columns)
        scale = width / trace.size[1]
        across, down = (scale * trace.batch.shape[axis] / level.shape[axis] for axis in (3, 2))
        # What lies beyond the last point looks like it.
        values = F.pad(values[None, None], (0, 1, 0, 1), mode="replicate")[0, 0]
        size = round(values.shape[1] * across), round(values.shape[0] * down)
        left, top = round(across / 2), round(down / 2)
        picture = heat_map(values.numpy(), size, *ends)
        picture = picture.crop((left, top, left + width, top + height))
        return self._outlined(np.asarray(picture), columns)

    def keys(self, shown: Iterable[Tensor]) -> tuple[Key, ...]:
        """The legend of pictures of these maps."""
        keys, count = [], len(self.boxes)
        if count:
            most = f" (the {OUTLINED} largest of {count})" if count > OUTLINED else ""
            keys.append(Key(OBJECT, f"labelled object{most}"))
        if not all(values.isfinite().all() for values in shown):
            keys.append(Key(NOT_FINITE, "infinite or NaN", "area"))
        return tuple(keys)

    def _shown(self, columns: int) -> tuple[int, int]:
        height, width = self.subject.trace.size
        scale = min(wide(columns) / width, TALLEST * wide(columns) / height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _outlined(self, pixels: np.ndarray, columns: int) -> Image.Image:
        canvas = Canvas(pixels, max(self._shown(columns)))
        scale = pixels.shape[1] / self.subject.trace.size[1]
        canvas.boxes(self.boxes[:OUTLINED] * scale, OBJECT, width=2)
        cell = Image.new("RGB", (wide(columns), canvas.size[1]), "white")
        cell.paste(canvas.picture(), (0, 0))
        return cell


def map_panel(
    pictures: Sequence[Image.Image], captions: Sequence[str], columns: int, low: str, high: str
) -> Image.Image:
    """Pictures with their captions, and below them what the darkest and lightest colour mean."""
    return stacked([panel(pictures, captions, columns), colour_scale(WIDTH // 2, low, high)])


def wide(columns: int) -> int:
    """Width of each of so many pictures in a row."""
    return (WIDTH - GAP) // columns - GAP
