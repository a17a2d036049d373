"""Every setting of tools.convert, with its default and help."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from utils.config import ConfigError, DataConfig
from utils.options import argument, option

FORMATS = ("coco", "labelme", "id-masks", "yolo", "label-png")
DRAWN = ("coco", "labelme", "yolo")  # with outlines, which can be simplified


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(DataConfig):
    """Settings of tools.convert."""

    source: Path = argument("labelled folder or annotation file, or 'shapes'")
    folder: Path = argument("where the new data set goes")
    to: str = option("", "format of the new data set", choices=FORMATS)
    simplify: float = option(
        0.0, "leave out corners of outlines traced from masks, which may move by X pixels"
    )
    resize: str = option("", "shrink pictures to fit into WxH pixels, as 1024x768")
    multiple_of: int = option(1, "pad pictures with black so that both sides are multiples of N")
    by_kind: bool = option(False, "label-png: gather files in img/ label/ label_viz/ label_names/")
    overwrite: bool = option(False, "replace files that are there")

    def __post_init__(self) -> None:
        problems = []
        if not self.to:
            problems.append(f"--to is missing; it is one of {', '.join(FORMATS)}")
        if not 0 <= self.simplify < math.inf:
            problems.append(f"--simplify is {self.simplify}, must be 0 or more pixels")
        if self.simplify and self.to not in DRAWN:
            problems.append(f"--simplify is for {', '.join(DRAWN)}, not for {self.to}")
        if self.resize and not re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}", self.resize):
            problems.append(f"--resize is {self.resize!r}, must be width x height as in 1024x768")
        if not 1 <= self.multiple_of <= 100_000:
            problems.append(f"--multiple-of is {self.multiple_of}, must be 1 to 100000")
        if self.by_kind and self.to != "label-png":
            problems.append(f"--by-kind is for label-png, not for {self.to}")
        if problems:
            raise ConfigError("; ".join(problems))

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of --resize."""
        width, _, height = self.resize.partition("x")
        return (int(width), int(height)) if self.resize else None
