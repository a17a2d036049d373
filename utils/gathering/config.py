"""Every setting of tools.gather, with its default and help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from utils.config import CommandConfig, ConfigError
from utils.data.images import IMAGE_SUFFIXES
from utils.folders import safe_name
from utils.gathering.gatherer import NUMBER, file_stem
from utils.options import argument, option

LONGEST_NAME = 100  # characters, so that it fits every file system in every script


@dataclass(frozen=True, kw_only=True)
class GatherConfig(CommandConfig):
    """Settings of tools.gather."""

    sources: Path = argument("text file with one address or path per line, or a folder")
    folder: Path = argument("folder for the pictures and gathered.csv")
    name_pattern: str = option("", "file name with a number: car_{:04d}; the folder's by default")
    jobs: int = option(4, "downloads at a time", short="-j")
    timeout: float = option(10.0, "seconds to wait for a connection or for the next bytes")
    time_limit: float = option(60.0, "seconds that one file may take")
    max_bytes: int = option(100_000_000, "refuse files larger than this")

    def __post_init__(self) -> None:
        problems = [
            f"--{name.replace('_', '-')} is {getattr(self, name)}, must be above 0"
            for name in ("jobs", "timeout", "time_limit", "max_bytes", "max_pixels")
            if not 0 < getattr(self, name) < math.inf
        ]
        problems += name_problems(self.name_pattern)
        if problems:
            raise ConfigError("; ".join(problems))


def name_problems(pattern: str) -> list[str]:
    """What is wrong with a ``--name-pattern``; the empty one stands for the default."""
    if not pattern:
        return []
    problems = []
    stem = file_stem(pattern, 1)
    if len(NUMBER.findall(pattern)) != 1 or "{" in stem or "}" in stem:
        problems.append(f"--name-pattern {pattern!r} needs one number, {{:04d}} or {{}}")
    if safe_name(stem) != stem or len(stem) > LONGEST_NAME:
        problems.append(f"--name-pattern {pattern!r} is no file name on every system")
    if Path(stem).suffix.lower() in IMAGE_SUFFIXES:
        problems.append(f"--name-pattern {pattern!r}: leave the suffix out, the format gives it")
    return problems
