"""Gather pictures for a data set: fetched, decoded, without duplicates, numbered.

    python -m tools.gather addresses.txt cars/
    python -m tools.gather addresses.txt cars/ --name-pattern "car_{:04d}" --jobs 8
    python -m tools.gather downloads/ cars/

The list names one http(s) address or local path per line; lines that start with # are comments.
Pictures are stored byte for byte; what was left out, and why, is in cars/gathered.csv. The same
command again goes on where it ended and tries what failed once more.
"""

from __future__ import annotations

from utils.command_line import parse
from utils.gathering.config import LONGEST_NAME, GatherConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(GatherConfig, None, __doc__)

import sys
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from utils.config import ConfigError
from utils.data.images import limit_pixels
from utils.data.records import DataError, first_ten
from utils.exit_codes import run
from utils.folders import safe_name
from utils.gathering import journal
from utils.gathering.download import Limits, plain
from utils.gathering.gatherer import Gatherer
from utils.gathering.journal import Journal, JournalEntry
from utils.gathering.source_list import read_sources


def main(config: GatherConfig) -> None:
    limit_pixels(config.max_pixels)
    warnings.filterwarnings("ignore", r".* has \d+ frames")  # of a file that is yet to be named
    sources = read_sources(config.sources, config.folder)
    folder = new_or_existing(config.folder)
    limits = Limits(config.timeout, config.time_limit, config.max_bytes)

    with Journal(folder) as known:
        gatherer = Gatherer(folder, known, config.name_pattern or default_pattern(folder))
        remaining = gatherer.remaining(sources)
        entries = gatherer.gather(remaining, limits, config.jobs)
        for _ in tqdm(
            entries, "gathering", len(remaining), unit="image", leave=False, disable=None
        ):
            pass
        listed = [known.entries[source] for source in dict.fromkeys(sources)]

    tried = {entry.source for entry in remaining}
    kept = [entry for entry in listed if entry.file]
    earlier = sum(entry.source not in tried for entry in kept)
    lines = left_out([entry for entry in listed if not entry.file])
    if not kept:
        raise DataError("\n".join([f"{config.sources}: no picture could be gathered", *lines]))
    print(f"{len(kept)} of {len(listed)} pictures are in {folder} ({earlier} from earlier runs)")
    if len(sources) > len(listed):
        print(f"{len(sources) - len(listed)} lines of {config.sources} repeat an earlier one")
    print("\n".join([*lines, f"journal: {folder / journal.NAME}"]))


def default_pattern(folder: Path) -> str:
    """``cars_{:04d}`` for the folder ``cars``."""
    name = safe_name(folder.resolve().name).replace("{", "_").replace("}", "_")
    return name[: LONGEST_NAME // 2] + "_{:04d}"


def new_or_existing(folder: Path) -> Path:
    """Make the folder if there is none."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a folder for the pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def left_out(entries: Sequence[JournalEntry]) -> list[str]:
    """How many were left out for each reason, most frequent first, with the first ten of each."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_reason[entry.reason].append(f"{plain(entry.source)} ({plain(entry.details)})")
    lines = []
    for reason, texts in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        lines.append(f"left out, {reason}: {len(texts)}")
        lines += [f"  {text}" for text in first_ten(texts)]
    return lines


if __name__ == "__main__":
    sys.exit(run(main, settings))
