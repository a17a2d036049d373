"""What a network is exported for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportSettings:
    """Settings of an exported file.

    Attributes:
        size: height and width of its images in pixels; ``None`` for any.
        batch: how many images it takes at once; ``None`` for any number.
        paste: it gives masks of the images' size too.
        score_threshold, nms_threshold, max_detections: instead of the network's own.
    """

    size: tuple[int, int] | None = None
    batch: int | None = None
    paste: bool = False
    score_threshold: float | None = None
    nms_threshold: float | None = None
    max_detections: int | None = None
