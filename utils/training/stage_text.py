"""``--stages heads:2@0.005,all:8@0.0005``: the text, and what is wrong with it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # utils.config imports this file, to refuse stages that cannot be read
    from utils.config import TrainConfig

EXAMPLE = "heads:2@0.005,all:8@0.0005"
# A part may hold commas, colons and @ itself: a stage ends where a comma or the text's end follows
# its epochs or its rate.
_STAGE = re.compile(
    r"\s*(?P<part>[^\s,].*?)\s*:\s*(?P<epochs>[+-]?\d+)\s*"
    r"(?:@\s*(?P<lr>[^\s,:@]+)\s*)?(?:,(?=\s*\S)|$)"
)


@dataclass(frozen=True)
class Stage:
    """``trains`` is a part of the network as in ``nets.freezing``; ``lr`` the stage's full rate."""

    trains: str
    epochs: int
    lr: float


def stage_problems(config: TrainConfig) -> list[str]:
    """What is wrong with ``--stages``, alone and beside other flags, in words."""
    if not config.stages:
        return []
    stages, problems = parse_stages(config.stages, config.lr)
    for stage in stages:
        if stage.epochs < 1:
            problems.append(f"--stages: {stage.trains} has {stage.epochs} epochs, needs 1 or more")
        if not 0 < stage.lr < math.inf:
            problems.append(f"--stages: {stage.trains} has the rate {stage.lr}, must be above 0")
    if config.freeze != "auto":
        problems.append("--stages and --freeze both say what trains; give one")
    total = sum(stage.epochs for stage in stages)
    if not problems and config.epochs not in (type(config).epochs, total):
        problems.append(
            f"--stages are {total} epochs, --epochs says {config.epochs}; leave --epochs out "
            "and give the stages as many as there shall be"
        )
    return problems


def parse_stages(text: str, lr: float) -> tuple[list[Stage], list[str]]:
    """The stages of a text, ``lr`` where they name no rate, and what could not be read."""
    stages: list[Stage] = []
    start = 0
    while start < len(text):
        found = _STAGE.match(text, start)
        rate = _rate(found["lr"], lr) if found else None
        if found is None or rate is None:
            rest = text[start:].strip()
            return stages, [f"--stages: {rest!r} is not PART:EPOCHS[@LR], as in {EXAMPLE}"]
        stages.append(Stage(found["part"], int(found["epochs"]), rate))
        start = found.end()
    return stages, []


def _rate(text: str | None, default: float) -> float | None:
    """None if the text is no number."""
    try:
        return default if text is None else float(text)
    except ValueError:
        return None
