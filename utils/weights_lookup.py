"""Finding a weights file by the name a person gives."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nets.weights_file import WeightsError
from utils.export.formats import SUFFIXES

FOLDER = "weights"
MOST_LISTED = 10


def find_weights(name: str, root: Path) -> Path:
    """A weights file, or an exported one, by path, by name in ``weights/``, or by name in the
    newest run: the last one that wrote weights, whenever they were exported.

    Raises:
        WeightsError: it is nowhere; the message lists what there is.
    """
    given, home = Path(name), root / FOLDER
    if given.is_file():
        return given
    if (home / name).is_file():
        return home / name
    weights = _newest_first(home, [".pth"])
    exported = _newest_first(home, SUFFIXES)
    found = weights or exported  # which may have been brought here alone
    if found and (found[0].parent / name).is_file():
        return found[0].parent / name
    listed = (weights + exported)[:MOST_LISTED]
    listing = ", ".join(map(str, listed)) or "none yet; run python train.py first"
    raise WeightsError(
        f"{name}: no such weights file here, in {home} or in its newest run. There are: {listing}"
    )


def _newest_first(home: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files of all runs with one of these suffixes."""
    files = [path for suffix in suffixes for path in home.glob(f"*/*{suffix}")]
    return sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)


def run_name(path: Path) -> str:
    """The run that a weights file in ``weights/<run>/`` belongs to; its own stem elsewhere."""
    folder = path.resolve().parent
    return folder.name if folder.parent.name == FOLDER else path.stem


def run_record(path: Path) -> Path | None:
    """``runs/<run>/`` of the training that a weights file in ``weights/<run>/`` is from."""
    folder = path.resolve().parent
    record = folder.parent.parent / "runs" / folder.name
    return record if folder.parent.name == FOLDER and record.is_dir() else None
