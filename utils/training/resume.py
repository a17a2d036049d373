"""Going on with a run: finding its saved state, and what of its settings may have changed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from nets.weights_file import WeightsError, WeightsFile, read_pth, weights_of
from utils.config import NEWEST, OF_ONE_CALL, ConfigError, TrainConfig
from utils.data.records import DataError
from utils.open_data import TrainingData
from utils.options import from_dict, options_of
from utils.training.checkpoint import LAST, PREVIOUS
from utils.training.run_folder import RunFolder
from utils.training.run_lock import lock_run
from utils.weights_lookup import FOLDER

# What a run is of; another value makes another run of it.
REFUSED = ("arch", "channels", "optimizer")
# What the saved network and the order of its data were made with; a new value would change nothing
# or spoil both.
KEPT = (
    "weights",
    "seed",
    "anchors",
    "normalize",
    "min_size",
    "max_size",
    "rois",
    "proposals",
    "name",
)
# Another way to the same data is welcome; whether it is the same is seen when it is opened.
NOT_COMPARED = ("data", "val_data", "images", "classes", "output_root", "debug")


@dataclass(frozen=True)
class SavedRun:
    """A ``last.pth``: the weights, the state of the training, the settings, and what is to be said
    of how it was found."""

    path: Path
    weights: WeightsFile
    state: dict[str, Any]
    settings: TrainConfig
    warnings: tuple[str, ...] = ()


def read_saved_run(config: TrainConfig) -> SavedRun:
    """Read what ``--resume`` names; a damaged file falls back to the one before it.

    Raises:
        WeightsError: there is none, or both are damaged, or it is not of a training.
        ConfigError: the run is being trained by another process.
    """
    path = find_saved_run(config.resume or NEWEST, config.output_root)
    folder = RunFolder.holding(path)
    if folder is not None:
        lock_run(folder)
    try:
        return _read(path)
    except WeightsError as error:
        previous = path.with_name(PREVIOUS)
        if path.name != LAST or not previous.exists():
            raise
        try:
            saved = _read(previous)
        except WeightsError as second:
            raise WeightsError(f"{error}; nor can the save before it be used: {second}") from error
        warning = (
            f"WARNING: {error}\nWARNING: going on from {previous} instead, the save before it; "
            "what was trained between them is trained again"
        )
        return replace(saved, warnings=(warning,))


def find_saved_run(resume: str, root: Path) -> Path:
    """The file that ``--resume`` names: a path, a run's name, or the newest of all runs."""
    home = root / FOLDER
    if resume == NEWEST:
        saves = [*home.glob(f"*/{PREVIOUS}"), *home.glob(f"*/{LAST}")]
        by_run = {path.parent: path for path in saves}  # previous.pth where last.pth is missing
        if not by_run:
            raise WeightsError(
                f"{home}: no run to go on with, there is no */{LAST}; start one without --resume"
            )
        return max(by_run.values(), key=lambda path: path.stat().st_mtime)
    for file in (LAST, PREVIOUS):
        for path in (Path(resume), home / resume, home / resume / file, Path(resume) / file):
            if path.is_file():
                return path
    raise WeightsError(f"--resume {resume}: no such file, and no run of that name in {home}")


def _read(path: Path) -> SavedRun:
    content = read_pth(path)
    if "format_version" not in content or "resume" not in content:
        raise WeightsError(
            f"{path}: holds weights but no state of a training; --resume wants a run's {LAST}. "
            f"To start a new run from these weights: --weights {path}"
        )
    state = content["resume"]
    try:
        return SavedRun(
            path, weights_of(path, content), state, from_dict(TrainConfig, state["settings"])
        )
    except (KeyError, ConfigError) as error:
        raise WeightsError(
            f"{path}: was saved by another version of this program ({error})"
        ) from error


def resumed_settings(saved: SavedRun, config: TrainConfig) -> tuple[TrainConfig, list[str]]:
    """The settings to go on with, and what to say of those that changed.

    Of the flags that were given, those that make the network or the order of the data what they are
    stay as they were saved; the others count as given.

    Raises:
        ConfigError: another network, other classes, another optimizer.
    """
    old = saved.settings
    changed = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name in config.given - set(OF_ONE_CALL)
        and getattr(config, field.name) != getattr(old, field.name)
    }
    if "classes" in changed and tuple(changed["classes"]) != saved.weights.classes:
        raise _refused("classes", list(saved.weights.classes), list(changed["classes"]))
    for name in REFUSED:
        if name in changed:
            raise _refused(name, getattr(old, name), changed[name])
    notes = []
    for name in changed.keys() - set(NOT_COMPARED):
        was, given = (_shown(name, value) for value in (getattr(old, name), changed[name]))
        if name in KEPT:
            notes.append(f"{_flag(name)} stays {was}, as saved; {given} is ignored")
        else:
            notes.append(f"{_flag(name)} is now {given}, as given; it was {was}")
    taken = {name: value for name, value in changed.items() if name not in KEPT}
    if taken.get("freeze") == "auto":
        del taken["freeze"]  # what was saved is what it had come to
    if "stages" in taken:
        taken["freeze"] = "auto"
    elif "freeze" in taken:
        taken["stages"] = ""
    settings = replace(old, **taken, given=config.given)
    return settings, sorted(notes)


def check_same_data(saved: SavedRun, data: TrainingData) -> None:
    """Raise ``DataError`` if the images, labels or the split are not those of the run."""
    was, now = saved.weights.data, data.description()
    if was["classes"] != now["classes"]:
        raise DataError(
            f"{data.source}: has the classes {', '.join(now['classes'])}, the run that is resumed "
            f"{', '.join(was['classes'])}"
        )
    for name in ("split", "val_fingerprint"):
        if was[name] != now[name]:
            raise DataError(
                f"{data.source}: is not the data of the run that is resumed; images, labels or "
                f"what is held out changed since {saved.path} was saved. Restore them, or start a "
                f"new run from these weights: --weights {saved.path}"
            )


def _refused(name: str, was: Any, given: Any) -> ConfigError:
    return ConfigError(
        f"{_flag(name)} {given}: the run that is resumed has {was}, and cannot go on with another; "
        "leave it out, or start a new run"
    )


def _shown(name: str, value: Any) -> Any:
    """A value as it is given on the command line, where single values have names."""
    words = options_of(TrainConfig)[name].metadata["words"]
    return next((word for word, meant in words.items() if meant == value), value)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
