"""Every picture decoded once, completely: its size, a hash of its pixels, or what is wrong.

What was found is kept outside the data set, in the user's cache folder, and holds as long as the
file's size and time of change stay the same. A cache that cannot be read or written is no problem.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from utils.data.arrays import pixels_allowed
from utils.data.channels import RGB
from utils.data.images import READING_RULE, load_image
from utils.data.records import DataError

FOLDER = "maskrcnn-finetune"
Entry = list[Any]  # size in bytes, time of change in ns, width, height, digest


@dataclass(frozen=True)
class Look:
    """One picture as decoded: upright width and height in pixels, and a hash of size and pixels.

    ``problem`` says why it cannot be read, or is empty.
    """

    width: int = 0
    height: int = 0
    digest: str = ""
    problem: str = ""


def look(path: Path, channels: int = RGB) -> Look:
    """Decode one picture completely, by the reading rule of training."""
    try:
        pixels = load_image(path, channels)
    except DataError as error:
        return Look(problem=str(error))
    height, width = pixels.shape[:2]
    digest = hashlib.blake2b(f"{width}x{height}".encode(), digest_size=16)
    digest.update(pixels.data)
    return Look(width, height, digest.hexdigest())


def look_at(paths: Sequence[Path], root: Path, channels: int = RGB) -> dict[Path, Look]:
    """Decode pictures in threads, with a progress bar; those in the cache are not opened.

    Args:
        paths: the pictures.
        root: the data set's folder, which has a cache file of its own for every number of channels.
        channels: that the pictures are read as.
    """
    name = hashlib.sha256(bytes(root.absolute())).hexdigest()[:16]
    file = cache_folder() / (f"{name}.json" if channels == RGB else f"{name}-{channels}.json")
    known = _read(file)
    stamps = {path: _stamp(path) for path in paths}
    looks: dict[Path, Look] = {}
    for path, stamp in stamps.items():
        entry = known.get(_key(path))
        if stamp and entry and tuple(entry[:2]) == stamp and pixels_allowed(entry[2] * entry[3]):
            looks[path] = Look(*entry[2:])
    rest = [path for path in stamps if path not in looks]
    read = partial(look, channels=channels)
    pool = ThreadPoolExecutor()
    try:
        seen = tqdm(pool.map(read, rest), "checking images", len(rest), leave=False, disable=None)
        for path, one in zip(rest, seen, strict=True):
            looks[path] = one
    finally:  # Ctrl-C keeps what was decoded, and does not wait for all the others
        pool.shutdown(cancel_futures=True)
        new = {
            _key(path): [*stamp, one.width, one.height, one.digest]
            for path in rest
            if (stamp := stamps[path]) and (one := looks.get(path)) and not one.problem
        }  # problems are not kept: permissions and limits change while the file does not
        if new:
            there = {key: known[key] for key in known if os.path.exists(key)}  # noqa: PTH110
            _write(file, there | new)
    return {path: looks[path] for path in paths}


def cache_folder() -> Path:
    """Where the user's system wants caches, by the XDG specification or on Windows."""
    given = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / FOLDER
    return Path(os.path.expanduser("~")) / ".cache" / FOLDER  # noqa: PTH111  (never raises)


def _key(path: Path) -> str:
    return str(path.absolute())


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _read(file: Path) -> dict[str, Entry]:
    """The entries of a cache file that have the right form; none of one read by another rule."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = content["pictures"].items() if content["rule"] == READING_RULE else ()
        kinds = [int, int, int, int, str]
        return {name: e for name, e in entries if list(map(type, e)) == kinds}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _write(file: Path, entries: dict[str, Entry]) -> None:
    """Replace a cache file in one step, so that two runs at once cannot mix their halves."""
    text = json.dumps({"rule": READING_RULE, "pictures": entries})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, suffix=".tmp", delete=False
        ) as unfinished:
            unfinished.write(text)
        Path(unfinished.name).replace(file)
    except OSError:
        pass  # the next run decodes again
