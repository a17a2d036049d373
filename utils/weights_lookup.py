"""Finding a weights file by the name a person gives."""

from __future__ import annotations

from pathlib import Path

from nets.weights_file import WeightsError

FOLDER = "weights"
MOST_LISTED = 10


def find_weights(name: str, root: Path) -> Path:
    """A weights file by path, by name in ``weights/``, or by name in the newest run.

    Raises:
        WeightsError: it is nowhere; the message lists what there is.
    """
    given, home = Path(name), root / FOLDER
    if given.is_file():
        return given
    if (home / name).is_file():
        return home / name
    found = sorted(home.glob("*/*.pth"), key=lambda path: path.stat().st_mtime, reverse=True)
    if found and (found[0].parent / name).is_file():
        return found[0].parent / name
    listing = ", ".join(map(str, found[:MOST_LISTED])) or "none yet; run python train.py first"
    raise WeightsError(
        f"{name}: no such weights file here, in {home} or in its newest run. There are: {listing}"
    )


def run_name(path: Path) -> str:
    """The run that a weights file in ``weights/<run>/`` belongs to; its own stem elsewhere."""
    folder = path.resolve().parent
    return folder.name if folder.parent.name == FOLDER else path.stem


def run_record(path: Path) -> Path | None:
    """``runs/<run>/`` of the training that a weights file in ``weights/<run>/`` is from."""
    folder = path.resolve().parent
    record = folder.parent.parent / "runs" / folder.name
    return record if folder.parent.name == FOLDER and record.is_dir() else None
