"""Find what is wrong with a data set: unreadable pictures, broken masks, duplicates and more.

    python -m tools.check my_folder
    python -m tools.check my_folder --val-data held_out --min-size 800 --max-size 1333
    python -m tools.check my_folder --fix-to my_folder_repaired

Prints everything found, the worst first, and writes a page with charts and sample images. Errors,
which would stop a training run, end it with exit code 4. The data set itself is never changed.
"""

from __future__ import annotations

from utils.command_line import parse
from utils.doctor.config import CheckConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(CheckConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import sys
from collections.abc import Mapping
from pathlib import Path

from nets.mask_rcnn import anchor_sizes
from utils.conversion.config import FORMATS
from utils.conversion.convert import check_apart, convert
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

ALL = "all"  # what the only part of an undivided set is called


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
    sys.exit(run(main, settings))
