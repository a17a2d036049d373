"""What pictures are called in a run, and their output files, whatever the sources are called."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from utils.folders import safe_name

LONGEST = 200  # bytes of a part of a stem; file systems allow 255, and outputs add to it
OUTPUT_ENDINGS = (".jpg", ".json", ".mp4", ".png")
RESERVED = frozenset(  # by Windows, with any ending
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
)


def as_text(name: str) -> str:
    """A name that can be written as UTF-8: bytes of a file name that are none are shown as codes
    such as ``\\udcff``."""
    return name.encode("utf-8", "backslashreplace").decode()


def unique_names(names: Sequence[str]) -> list[str]:
    """The names as text; of those that others have before them, ``name-2.png``, ``name-3.png``...

    Args:
        names: with forward slashes.
    """
    taken: dict[str, int] = {}
    return [_unique(as_text(name), taken, str) for name in names]


def output_stems(names: Sequence[str], videos: Collection[str] = ()) -> list[str]:
    """What the output files of pictures and videos are called, without their endings.

    A stem is the name without its ending where that is a file name on every system. It never leads
    out of the folder it is joined to, and differs from the others by more than case.

    Args:
        names: of all, no two the same.
        videos: which of them are videos. The frames of one have the stems ``stem/000000``...
    """
    taken: dict[str, int] = {}
    stems = {n: _unique(_safe_stem(n), taken, _folded) for n in names if n not in videos}
    for folder in {stem.rpartition("/")[0] for stem in stems.values()}:
        taken.setdefault(_folded(folder), 1)  # else frames might be called like pictures in it
    stems |= {n: _unique(_safe_stem(n), taken, _folded) for n in names if n in videos}
    return [stems[name] for name in names]


def _safe_stem(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".", "..")] or [""]
    return "/".join(map(_safe_part, [*parts[:-1], PurePosixPath(parts[-1]).stem]))


@lru_cache  # most parts are folders
def _safe_part(part: str) -> str:
    safe = safe_name(part).encode()[:LONGEST].decode(errors="ignore").rstrip(" .")
    if safe.lower().endswith(OUTPUT_ENDINGS):  # as a folder, it might be where a file is to be
        safe = "_".join(safe.rsplit(".", 1))
    return f"_{safe}" if safe.split(".")[0].rstrip().upper() in RESERVED else safe


def _folded(stem: str) -> str:
    """The same for stems that are one file on a system that ignores case."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", stem).casefold())


def _unique(name: str, taken: dict[str, int], key: Callable[[str], str]) -> str:
    """``name``, or the first of ``name-2``... that is not taken; ``taken`` remembers how far the
    numbers are, as thousands may have one name."""
    candidate, first = name, key(name)
    while (own := key(candidate)) in taken:
        taken[first] += 1
        pure = PurePosixPath(name)
        candidate = pure.with_name(f"{pure.stem}-{taken[first]}{pure.suffix}").as_posix()
    taken[own] = 1
    return candidate
