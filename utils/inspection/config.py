"""Every setting of tools.inspect, with its default and help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from utils.config import BEST, SPLITS, CommonConfig, ConfigError
from utils.options import argument, option

WEIGHTS = "weights"  # the chapter that needs no image
CHAPTERS = ("data", "anchors", "proposals", "targets", "heads", "activations", WEIGHTS)
ALL, EXPLAIN = "all", "explain"


@dataclass(frozen=True, kw_only=True)
class SubjectConfig(CommonConfig):
    """What is looked into, the same for all of tools.inspect."""

    weights: str = option(BEST, "weights file: a path, or a name in weights/ or its newest run")
    data: str = option("", "labelled folder, or 'shapes'; the weights' own data set by default")
    split: str = option(
        "auto", "which images: auto is val of the weights' own data and of sets in parts, else all",
        choices=SPLITS,
    )  # fmt: skip
    output: Path | None = option(None, "folder for page and pictures; runs/inspect/... by default")


@dataclass(frozen=True, kw_only=True)
class InspectConfig(SubjectConfig):
    """Settings of ``tools.inspect data`` to ``tools.inspect all``."""

    what: str = argument("what to look into", choices=(*CHAPTERS, ALL))
    image: str = option(
        "", "the image: its place in the data from 0 on, its name there, or any picture file; the "
        "first with objects by default"
    )  # fmt: skip
    start: str = option(
        "", "weights that the training started from, to show what it changed: coco, imagenet or a "
        "file; those that the run names by default"
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(SubjectConfig):
    """Settings of ``tools.inspect explain``."""

    image: str = argument("the image: its place in the data from 0 on, or its name or path")
    object: int | None = option(
        None, "the labelled object, by its number from 1 on; without one, all are listed"
    )
    missed: int | None = option(None, "the object, by its number among those not found, from 1 on")

    def __post_init__(self) -> None:
        if self.object is not None and self.missed is not None:
            raise ConfigError("--object and --missed both say which object; give one")
        for name in ("object", "missed"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} is {value}; objects are numbered from 1 on")
