"""Write a labelled data set in another format; its own folder is never written to.

    python -m tools.convert my_labelme --to coco my_coco
    python -m tools.convert my_masks --to yolo my_yolo --simplify 1
    python -m tools.convert my_labelme --to label-png pictures --by-kind --multiple-of 64
    python -m tools.convert shapes --to labelme practice       # the built-in set, to practise on

Without --simplify and --resize outlines are exact: filled again, they are the same pixels.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import nets  # noqa: F401  (before all that needs torchvision: checks that it fits torch)
from utils.command_line import parse
from utils.config import SHAPES, ConfigError, DataConfig
from utils.conversion.convert import DRAWN, FORMATS, check_apart, convert
from utils.conversion.drawn_shapes import draw_shapes
from utils.data.images import limit_pixels
from utils.data.records import RecordSet
from utils.data_parts import places_of, read_parts
from utils.exit_codes import run
from utils.options import argument, option


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(DataConfig):
    """Settings of the conversion."""

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


def main(config: ConvertConfig) -> None:
    limit_pixels(config.max_pixels)
    if config.source == Path(SHAPES):
        with TemporaryDirectory() as drawn:
            write(config, draw_shapes(Path(drawn)))
        return
    check_apart(config.source, config.folder)
    places = places_of(config.source, format=config.format)
    parts = read_parts(places, config.format, config.classes, config.reading)
    for records in parts.values():
        print(records.summary())
        for note in records.notes:
            print(f"  {note}")
    write(config, parts)


def write(config: ConvertConfig, parts: Mapping[str, RecordSet]) -> None:
    """Write all parts, and say what could not be kept."""
    notes = convert(
        parts,
        config.to,
        config.folder,
        simplify=config.simplify,
        size=config.size,
        multiple_of=config.multiple_of,
        by_kind=config.by_kind,
        overwrite=config.overwrite,
    )
    count = sum(len(records.images) for records in parts.values())
    print(f"{count} images written: {config.folder} ({config.to})")
    for note in notes:
        print(f"  {note}")


if __name__ == "__main__":
    sys.exit(run(main, parse(ConvertConfig, None, __doc__)))
