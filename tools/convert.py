"""Write a labelled data set in another format; its own folder is never written to.

    python -m tools.convert my_labelme --to coco my_coco
    python -m tools.convert my_masks --to yolo my_yolo --simplify 1
    python -m tools.convert my_labelme --to label-png pictures --by-kind --multiple-of 64
    python -m tools.convert shapes --to labelme practice       # the built-in set, to practise on

Without --simplify and --resize outlines are exact: filled again, they are the same pixels.
"""

from __future__ import annotations

from utils.command_line import parse
from utils.config import SHAPES
from utils.conversion.config import ConvertConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(ConvertConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from utils.conversion.convert import check_apart, convert
from utils.conversion.drawn_shapes import draw_shapes
from utils.data.images import limit_pixels
from utils.data.records import RecordSet
from utils.data_parts import places_of, read_parts
from utils.exit_codes import run


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
    sys.exit(run(main, settings))
