"""The folder of a run of predict.py: a new one, or that of the same run when it was stopped."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

from utils.config import ConfigError
from utils.folders import numbered, write_json
from utils.prediction.journal import PATTERN, forget

SETTINGS = "args.json"
DIGEST = "sha256"  # of the weights file, which only this program's settings have
MADE_FOLDERS = ("overlays", "ids", "classes", "splash", "crops", "cutouts")
MADE_FILES = ("predictions.json", "counts.csv", "measurements.csv", "objects.bedpe")
OUT_OF_DISK = (errno.ENOSPC, errno.EDQUOT)


def open_folder(wanted: Path, settings: dict[str, Any], digest: str, overwrite: bool) -> Path:
    """``wanted``, or the first of ``wanted-2``, ``wanted-3``... that is new, empty, or was begun
    with the same settings and weights; with others too, if it may be overwritten.

    Raises:
        ConfigError: no folder can be made there.
        OSError: the disk is full; names the file.
    """
    wanted = wanted.resolve()
    settings = json.loads(json.dumps({**settings, DIGEST: digest}))  # as they are read again
    for name in numbered(wanted.name):
        folder = wanted.with_name(name)
        if not _is_free(folder):
            before = _settings_of(folder)
            if before is None or (before != settings and not overwrite):
                continue
        if overwrite:
            forget(folder)
            _remove_outputs(folder)
        write_json(folder / SETTINGS, settings)
        return folder
    raise AssertionError  # the names do not end


def outputs_in(folder: Path) -> str:
    """What a run has left for its user: ``counts.csv, overlays/ and predictions.json``."""
    own = {SETTINGS, *(path.name for path in folder.glob(PATTERN.format("*")))}
    names = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in sorted(folder.iterdir())
        if path.name not in own and not path.name.startswith(".")
    ]
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _remove_outputs(folder: Path) -> None:
    """Remove what an earlier run made, all but labelme files, which a person may have corrected."""
    for name in MADE_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in MADE_FILES:
        (folder / name).unlink(missing_ok=True)


def _is_free(folder: Path) -> bool:
    """Make the folder; whether it is empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return not any(folder.iterdir())
    except FileExistsError:  # a file
        return False
    except OSError as error:
        if error.errno in OUT_OF_DISK:
            raise
        problem = f"{folder}: cannot be made ({error.strerror}); choose another place"
        raise ConfigError(problem) from error


def _settings_of(folder: Path) -> dict[str, Any] | None:
    """What the folder's run was told; None if it is the folder of no run of predict.py."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return settings if isinstance(settings, dict) and DIGEST in settings else None
