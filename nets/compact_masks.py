"""Target masks cut to their boxes, in place of one full-size mask per object.

A thousand objects in a picture of 2000 pixels are 4 GB of full-size masks, and torchvision makes
floats of them twice: to resize them to the network's input, and to cut the mask targets out of
them. Cut to its box, an object takes as many bytes as its box has pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class CompactMasks:
    """The masks of the N objects of one image, uint8 0/1, stored as crops.

    Stands in for an (N, H, W) tensor in the three things that torchvision's Mask R-CNN does with
    target masks: index, resize by ``interpolate`` (nearest), and ``roi_align``. The protocol for
    that is ``__torch_function__``. A resize gives the same pixels; the RoIAlign of a crop differs
    from that of the full mask by float rounding alone.

    Args:
        pixels: uint8 (P,), the crops one after the other, each row by row.
        boxes: int64 (N, 4), x, y, width, height of each crop in pixels; on the CPU.
        size: height and width of the image.
    """

    def __init__(self, pixels: Tensor, boxes: Tensor, size: tuple[int, int]) -> None:
        self.pixels = pixels
        self.boxes = boxes
        self.size = size

    @classmethod
    def from_crops(
        cls, crops: Sequence[Tensor], corners: Sequence[tuple[int, int]], size: tuple[int, int]
    ) -> CompactMasks:
        """From (h, w) crops and the x, y of their first pixels."""
        pixels = torch.cat([crop.reshape(-1) for crop in crops] or [torch.empty(0)])
        boxes = [(x, y, c.shape[1], c.shape[0]) for c, (x, y) in zip(crops, corners, strict=True)]
        return cls(pixels.to(torch.uint8), torch.tensor(boxes).reshape(-1, 4).long(), size)

    @classmethod
    def from_masks(cls, masks: Tensor | CompactMasks) -> CompactMasks:
        """From masks of either kind: uint8 (N, H, W) ones are cut to their boxes."""
        if isinstance(masks, CompactMasks):
            return masks
        height, width = masks.shape[-2:]
        return cls.from_crops(list(masks), [(0, 0)] * len(masks), (height, width)).tightened()

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def shape(self) -> torch.Size:
        """That of the full-size masks, (N, H, W)."""
        return torch.Size((len(self), *self.size))

    @property
    def dtype(self) -> torch.dtype:
        return self.pixels.dtype

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    def crops(self) -> list[Tensor]:
        """The crops, (h, w) views."""
        areas = (self.boxes[:, 2] * self.boxes[:, 3]).tolist()
        parts = self.pixels.split(areas)
        return [
            part.view(height, width)
            for part, (_, _, width, height) in zip(parts, self.boxes.tolist(), strict=True)
        ]

    def __iter__(self) -> Iterator[Tensor]:
        """The full-size masks, (H, W), one at a time."""
        for crop, (x, y, width, height) in zip(self.crops(), self.boxes.tolist(), strict=True):
            full = crop.new_zeros(self.size)
            full[y : y + height, x : x + width] = crop
            yield full

    def dense(self) -> Tensor:
        """All masks at full size, uint8 (N, H, W)."""
        full = self.pixels.new_zeros(self.shape)
        for mask, crop, (x, y, width, height) in zip(
            full, self.crops(), self.boxes.tolist(), strict=True
        ):
            mask[y : y + height, x : x + width] = crop
        return full

    def areas(self) -> Tensor:
        """How many pixels each object has, int64 (N,)."""
        return torch.tensor([int(crop.sum()) for crop in self.crops()], dtype=torch.int64)

    def selected(self, kept: Tensor) -> CompactMasks:
        """The objects for which ``kept``, bool (N,), is true."""
        crops = [crop for crop, keep in zip(self.crops(), kept.tolist(), strict=True) if keep]
        return self.from_crops(crops, self.boxes[kept, :2].tolist(), self.size)

    def joined(self, other: CompactMasks) -> CompactMasks:
        """These objects, then those of ``other``, which is of the same size."""
        pixels, boxes = (
            torch.cat(pair) for pair in ((self.pixels, other.pixels), (self.boxes, other.boxes))
        )
        return CompactMasks(pixels, boxes, self.size)

    def union(self) -> Tensor:
        """The pixels of any object, uint8 (H, W)."""
        pixels = self.pixels.new_zeros(self.size)
        for crop, (x, y, width, height) in zip(self.crops(), self.boxes.tolist(), strict=True):
            pixels[y : y + height, x : x + width] |= crop
        return pixels

    def without(self, pixels: Tensor) -> CompactMasks:
        """The objects without ``pixels``, uint8 0/1 (H, W)."""
        crops = [
            crop & ~pixels[y : y + height, x : x + width]
            for crop, (x, y, width, height) in zip(self.crops(), self.boxes.tolist(), strict=True)
        ]
        return self.from_crops(crops, self.boxes[:, :2].tolist(), self.size)

    def tightened(self) -> CompactMasks:
        """Each crop cut to its object; that of an object without a pixel is empty."""
        crops, corners = [], []
        for crop, (x, y, _, _) in zip(self.crops(), self.boxes.tolist(), strict=True):
            rows, columns = (crop.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
            top, bottom = (rows[0], rows[-1] + 1) if rows else (0, 0)
            left, right = (columns[0], columns[-1] + 1) if columns else (0, 0)
            crops.append(crop[top:bottom, left:right])
            corners.append((x + left, y + top))
        return self.from_crops(crops, corners, self.size)

    def cropped(self, top: int, left: int, height: int, width: int) -> CompactMasks:
        """What lies in a window, which may reach beyond the image or lie outside; objects outside
        the window have empty crops."""
        crops, corners = [], []
        moved = self.boxes[:, :2] - torch.tensor([left, top])
        for crop, (x, y) in zip(self.crops(), moved.tolist(), strict=True):
            rows = slice(max(-y, 0), max(height - y, 0))
            columns = slice(max(-x, 0), max(width - x, 0))
            crops.append(crop[rows, columns])
            corners.append((min(max(x, 0), width), min(max(y, 0), height)))
        return self.from_crops(crops, corners, (height, width))

    def transposed(self) -> CompactMasks:
        """Rows and columns exchanged: the masks of the transposed image."""
        corners = [(y, x) for x, y, _, _ in self.boxes.tolist()]
        return self.from_crops([crop.T for crop in self.crops()], corners, self.size[::-1])

    def flipped(self) -> CompactMasks:
        """Left and right exchanged."""
        corners = [(self.size[1] - x - w, y) for x, y, w, _ in self.boxes.tolist()]
        return self.from_crops([crop.flip(1) for crop in self.crops()], corners, self.size)

    def resized(self, size: tuple[int, int]) -> CompactMasks:
        """Resized to (height, width) as ``interpolate`` does in its nearest mode.

        An object that falls between the pixels that are taken has an empty crop.
        """
        if size == self.size:
            return self
        rows, columns = (_sources(*pair) for pair in zip(self.size, size, strict=True))
        x, y, width, height = self.boxes.T
        left, right = torch.searchsorted(columns, torch.stack([x, x + width])).tolist()
        top, bottom = torch.searchsorted(rows, torch.stack([y, y + height])).tolist()
        taken = [rows[:0]]
        for number, (x, y, _, _) in enumerate(self.boxes.tolist()):
            taken.append(rows[top[number] : bottom[number]] - y)
            taken.append(columns[left[number] : right[number]] - x)
        # In one transfer: a GPU would wait for one per object.
        _, *indices = torch.cat(taken).to(self.device).split([len(one) for one in taken])
        crops = [
            crop[of_rows][:, of_columns]
            for crop, of_rows, of_columns in zip(
                self.crops(), indices[::2], indices[1::2], strict=True
            )
        ]
        return self.from_crops(crops, list(zip(left, top, strict=True)), size)

    def roi_align(
        self,
        rois: Tensor,
        spatial_scale: float,
        height: int,
        width: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Tensor:
        """``torchvision.ops.roi_align`` of the full-size masks.

        Args:
            rois: (R, 5): the mask's number, then x1, y1, x2, y2 inside the image.
            spatial_scale, height, width, sampling_ratio, aligned: as in torchvision.

        Returns:
            (R, 1, height, width) in the dtype of ``rois``.
        """
        numbers = rois[:, 0].long().cpu()  # sorted there, so that a GPU waits once, not per object
        order = numbers.argsort(stable=True)
        counts = numbers.bincount(minlength=len(self)).tolist()
        corners = self.boxes[:, :2] - (self.boxes[:, :2] > 0).long()  # of crops with a margin
        origins = torch.cat([torch.arange(len(self))[:, None], corners, corners], 1)
        shifts = origins[numbers[order]].to(rois)
        order = order.to(rois.device)
        parts = [rois.new_zeros((0, 1, height, width))]
        for crop, box, shifted in zip(
            self.crops(), self.boxes.tolist(), (rois[order] - shifts).split(counts), strict=True
        ):
            if len(shifted):
                picture = _with_margin(crop, box, self.size).to(rois)[None, None]
                parts.append(
                    torch.ops.torchvision.roi_align(
                        picture, shifted, spatial_scale, height, width, sampling_ratio, aligned
                    )
                )
        result = rois.new_empty((len(rois), 1, height, width))
        result[order] = torch.cat(parts)
        return result

    def to(self, target: Any, non_blocking: bool = False) -> CompactMasks:
        """On another device; given a tensor, as torchvision does, on that tensor's."""
        device = target.device if isinstance(target, Tensor) else target
        pixels = self.pixels.to(device, non_blocking=non_blocking)
        return CompactMasks(pixels, self.boxes, self.size)

    def pin_memory(self) -> CompactMasks:
        """For a loader that copies to a GPU without waiting."""
        return CompactMasks(self.pixels.pin_memory(), self.boxes, self.size)

    # What torchvision does around the two functions below and means nothing for crops: a channel
    # axis more or less, uint8 to float and back.

    is_quantized = False

    def __getitem__(self, index: tuple[slice, int | None]) -> CompactMasks:
        if index not in ((slice(None), None), (slice(None), 0)):
            raise TypeError("compact masks have no parts but their crops(); take dense() first")
        return self

    def float(self) -> CompactMasks:
        return self

    def byte(self) -> CompactMasks:
        return self

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        masks: CompactMasks = args[0]
        kwargs = kwargs or {}
        if function is F.interpolate and kwargs.get("mode", "nearest") == "nearest":
            return masks.resized(_resized_size(masks.size, kwargs))
        if getattr(function, "__name__", "").startswith("roi_align"):
            return masks.roi_align(*args[1:], **kwargs)
        return NotImplemented


def _resized_size(size: tuple[int, int], options: Mapping[str, Any]) -> tuple[int, int]:
    """The output size of ``interpolate``: given, or by its scale factor, rounded down."""
    if options.get("size") is not None:
        height, width = options["size"]
        return int(height), int(width)
    scale = options["scale_factor"]
    return int(size[0] * scale), int(size[1] * scale)


def _sources(length: int, resized: int) -> Tensor:
    """Which of ``length`` pixels each of ``resized`` ones is taken from, as torch decides it in
    float32, in which torchvision resizes masks; in float64 some would be the next ones."""
    places = torch.arange(length, dtype=torch.float32)
    return F.interpolate(places[None, None], size=resized, mode="nearest")[0, 0].long()


def _with_margin(crop: Tensor, box: Sequence[int], size: tuple[int, int]) -> Tensor:
    """The crop with a pixel of background on each side that is not the image's border, so that
    samples between object and background see both."""
    x, y, width, height = box
    left, top = int(x > 0), int(y > 0)
    right, bottom = int(x + width < size[1]), int(y + height < size[0])
    return F.pad(crop, (left, right, top, bottom))
