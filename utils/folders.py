"""Making folders and files that never overwrite others."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def numbered(name: str) -> Iterator[str]:
    """``name``, ``name-2``, ``name-3``... without end."""
    yield name
    for number in itertools.count(2):
        yield f"{name}-{number}"


def new_folder(path: Path) -> Path:
    """Make ``path``, or the first of ``path-2``, ``path-3``... that does not exist."""
    for name in numbered(path.name):
        candidate = path.with_name(name)
        try:
            candidate.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    return candidate


def safe_name(name: str) -> str:
    """A file name on every system: separators and control characters become ``_``."""
    safe = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in name)
    return safe.strip(" .") or "run"


def write_json(path: Path, content: Any) -> None:
    """UTF-8, indented, non-ASCII kept readable."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
