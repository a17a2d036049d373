"""Find what is wrong with a data set: unreadable pictures, broken masks, duplicates and more.

    python -m tools.check my_folder
    python -m tools.check my_folder --val-data held_out --min-size 800 --max-size 1333
    python -m tools.check my_folder --fix-to my_folder_repaired

Prints everything found, the worst first, and writes a page with charts and sample images. Errors,
which would stop a training run, end it with exit code 4. The data set itself is never changed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nets  # noqa: F401  (before all that needs torchvision: checks that it fits torch)
from nets.mask_rcnn import ARCHITECTURES, anchor_sizes
from utils.command_line import parse
from utils.config import ConfigError, DataConfig, TrainConfig
from utils.conversion.convert import FORMATS, check_apart, convert
from utils.data.images import limit_pixels
from utils.data.records import DataError, RecordSet
from utils.data_parts import WHOLE, places_of, read_parts
from utils.doctor.examination import Looks, examine, look_at_all
from utils.doctor.findings import counts, printable, report
from utils.doctor.network_view import NetworkView
from utils.doctor.page import write_page
from utils.doctor.repair import repaired
from utils.doctor.summary import class_table, part_table, text_table
from utils.exit_codes import run
from utils.folders import new_folder, safe_name
from utils.options import argument, option

ALL = "all"  # what the only part of an undivided set is called


@dataclass(frozen=True, kw_only=True)
class CheckConfig(DataConfig):
    """Settings of tools.check."""

    data: Path = argument("labelled folder or annotation file, also one that comes in parts")
    val_data: Path | None = option(None, "a separate labelled folder that is held out")
    arch: str = option(
        TrainConfig.arch, "network whose anchors objects are held against",
        choices=tuple(ARCHITECTURES),
    )  # fmt: skip
    min_size: int = option(TrainConfig.min_size, "shorter side of the network's input in pixels")
    max_size: int = option(TrainConfig.max_size, "longer side of the network's input at most")
    channels: int = option(TrainConfig.channels, "channels of the images")
    output: Path | None = option(None, "folder for the page; runs/check/<name> by default")
    fix_to: Path | None = option(None, "write a repaired copy into this new folder")

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ConfigError(f"--channels is {self.channels}, must be at least 1")
        if not 0 < self.min_size <= self.max_size:
            raise ConfigError(
                f"--min-size {self.min_size} must be above 0 and at most --max-size {self.max_size}"
            )
        if self.fix_to and self.fix_to.exists():
            raise ConfigError(f"--fix-to {self.fix_to}: exists, name a new folder")


def main(config: CheckConfig) -> None:
    limit_pixels(config.max_pixels)
    name = config.data.resolve().name
    output = config.output or Path("runs") / "check" / safe_name(name)
    for folder in (output, config.fix_to):
        for data in (config.data, config.val_data):
            if folder and data:
                check_apart(data, folder)
    sizes = config.min_size, config.max_size
    view = NetworkView(*sizes, anchor_sizes(config.arch), config.channels)
    places = places_of(config.data, config.val_data, config.format)
    problems: list[str] = []
    parts = read_parts(places, config.format, config.classes, config.reading, problems)
    if not parts:
        raise DataError("\n".join(problems))
    missing = [str(place) for part, place in places.items() if part not in parts]
    if whole := parts.get(WHOLE):
        parts = divided(whole)
    for records in parts.values():
        print(records.summary())
    looks = look_at_all(parts, config.channels)
    findings = examine(parts, problems, view, looks)
    if findings:
        print(report(findings) + "\n")
    print(text_table(part_table(parts, view)) + "\n\n" + text_table(class_table(parts)) + "\n")
    print(f"page: {write_page(new_folder(output), name, parts, findings, view, looks)}")
    advice = "correct them"
    if config.fix_to and missing:
        advice += f"; --fix-to wrote nothing, {' and '.join(missing)} cannot be read"
    elif config.fix_to and fix(parts, looks, len(problems), config.fix_to):
        advice += f", or check {config.fix_to}, which leaves them out"
    print(counts(findings))
    errors = sum(finding.severity == "error" for finding in findings)
    if errors:
        raise DataError(f"{config.data}: {errors} error(s), listed above; {advice}")


def divided(data: RecordSet) -> dict[str, RecordSet]:
    """A data set as its own files divide it; else it is one part."""
    if data.given_split is None:
        return {ALL: data}
    train, val = data.given_split
    others = sorted(set(data.names()) - {*train, *val})
    named = {"train": train, "val": val, "other": others}
    return {part: data.subset(names) for part, names in named.items() if names}


def fix(parts: Mapping[str, RecordSet], looks: Looks, unused: int, folder: Path) -> bool:
    """Write a repaired copy, and say what was done and what its format could not keep; false if
    no image is left for it."""
    copies, done = repaired(parts, looks)
    if unused:
        done.insert(0, f"{unused} problem(s) listed above: their images left out")
    is_written = any(data.images for data in copies.values())
    if is_written:
        format = next(iter(copies.values())).format
        named = {"" if part == ALL else part: data for part, data in copies.items()}
        done += convert(named, format if format in FORMATS else "coco", folder)
    title = f"repaired copy: {folder}" if is_written else "no copy is written, no image is left:"
    print("\n".join([title, *(f"  {printable(text)}" for text in done)]))
    return is_written


if __name__ == "__main__":
    sys.exit(run(main, parse(CheckConfig, None, __doc__)))
