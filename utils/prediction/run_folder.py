"""The folder of a run of predict.py: a new one, or that of the same run when it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from utils.folders import new_folder, numbered, write_json
from utils.prediction.journal import PATTERN

SETTINGS = "args.json"


def open_folder(wanted: Path, settings: dict[str, Any], overwrite: bool) -> Path:
    """``wanted``, or the first of ``wanted-2``, ``wanted-3``... that is new or was begun with the
    same settings; ``wanted`` itself if it may be overwritten.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    wanted = wanted.resolve()
    settings = json.loads(json.dumps(settings))  # as they are read again
    for name in numbered(wanted.name):
        folder = wanted.with_name(name)
        if not folder.exists():
            folder = new_folder(folder)
        elif not overwrite and _settings_of(folder) != settings:
            continue
        for journal in folder.glob(PATTERN.format("*")) if overwrite else ():
            journal.unlink()
        write_json(folder / SETTINGS, settings)
        return folder
    raise AssertionError  # the names do not end


def _settings_of(folder: Path) -> Any:
    """What the folder's run was told; None if it is the folder of none."""
    try:
        return json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
