"""Making folders and files that never overwrite others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def new_folder(path: Path) -> Path:
    """Make ``path``, or ``path-2``, ``path-3``... if it exists."""
    number = 1
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            number += 1


def safe_name(name: str) -> str:
    """A file name on every system: separators and control characters become ``_``."""
    safe = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    return safe.strip(" .") or "run"


def write_json(path: Path, content: Any) -> None:
    """UTF-8, indented, non-ASCII kept readable."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
