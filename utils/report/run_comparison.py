"""Runs side by side: what they were trained on, how good they are, and what was set differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.data.annotation_files import read_json
from utils.data.records import DataError
from utils.report.run_record import (
    ENVIRONMENT,
    RESULTS,
    SETTINGS,
    SPLIT,
    RunRecord,
    read_run,
)

METRICS, INTERVALS = "metrics.json", "intervals.json"
SHOWN = ("segm/AP", "segm/AP50", "bbox/AP", "bbox/AP50")
BEST_BY = "segm/AP"
PLACES = ("name", "output_root")  # settings that say where a run is and not what
UNKNOWN = "-"
LONGEST = 40  # characters of a setting

Cells = Sequence[str]


class ComparedRun(NamedTuple):
    """What is shown of a run."""

    record: RunRecord
    metrics: Mapping[str, Any]
    intervals: Mapping[str, Any]
    notes: tuple[str, ...]


def compare_runs(folders: Sequence[Path]) -> str:
    """A table of runs, a column each, and below it what they were told and ran on differently.

    Args:
        folders: ``runs/<name>`` of train.py or ``runs/test/<name>`` of test.py, which holds
            numbers alone. What is missing or damaged is ``-``, and a line says why.

    Raises:
        DataError: a folder is none of a run.
    """
    runs = [_read(folder) for folder in folders]
    rows = [("", _titles(folders))]
    facts: dict[str, Callable[[ComparedRun], str]] = {
        "data": lambda run: _shown(run.record.settings.get("data")),
        "architecture": lambda run: _shown(run.record.settings.get("arch")),
        "images trained on": lambda run: _images(run.record, "train"),
        "images held out": lambda run: _images(run.record, "val"),
        "epochs": lambda run: _epochs(run.record),
    }
    rows += [(name, [fact(run) for run in runs]) for name, fact in facts.items()]
    rows += [(name, [_number(run, name) for run in runs]) for name in SHOWN]
    settings = _differences([run.record.settings for run in runs], leaving_out=PLACES)
    environment = _differences([run.record.environment for run in runs])
    if settings:
        rows += [("settings", []), *settings]
    if environment:
        rows += [("ran on", []), *environment]
    notes = [
        f"{title}: {note}"
        for title, run in zip(rows[0][1], runs, strict=True)
        for note in run.notes
    ]
    warnings = _held_out_warnings([run.record for run in runs])
    return "\n".join([*_aligned(rows), *warnings, *notes])


def _read(folder: Path) -> ComparedRun:
    files = (METRICS, SETTINGS, SPLIT, RESULTS, ENVIRONMENT)
    missing = [name for name in files if not (folder / name).is_file()]
    if len(missing) == len(files):
        raise DataError(
            f"{folder}: is no folder of a run; name runs/<name> of train.py or runs/test/<name> of "
            f"test.py, which hold {METRICS}"
        )
    notes = [f"has no {', '.join(missing)}"] if missing else []
    metrics, intervals = (_numbers(folder / name, notes) for name in (METRICS, INTERVALS))
    record = read_run(folder)
    # A missing file is told once, with the others.
    notes += [note for note in record.notes if note.split()[0] not in missing]
    return ComparedRun(record, metrics, intervals, tuple(notes))


def _numbers(path: Path, notes: list[str]) -> dict[str, Any]:
    """What a file of numbers by name holds; nothing if it is not there or cannot be read."""
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
        if isinstance(content, dict):
            return content
        notes.append(f"{path.name} is not what a run writes")
    except DataError as error:
        notes.append(f"{path.name} cannot be read: {error}")
    return {}


def _titles(folders: Sequence[Path]) -> list[str]:
    """What the runs are called: folder names, or whole paths where these do not differ."""
    names = [path.resolve().name for path in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in folders]


def _number(run: ComparedRun, name: str) -> str:
    """A metric, with its 95 % interval if there is one."""
    value, ends = run.metrics.get(name), run.intervals.get(name)
    if not isinstance(value, int | float):
        return UNKNOWN
    if not (isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))):
        return f"{value:.3f}"
    return f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _images(record: RunRecord, side: str) -> str:
    names = record.split.get(side)
    if not isinstance(names, list):
        return UNKNOWN
    return str(len(names)) if names else "drawn"  # the built-in shapes are drawn as they come


def _epochs(record: RunRecord) -> str:
    """How many were trained, and which the best weights are of."""
    if not record.epochs:
        return UNKNOWN
    best, best_epoch = 0.0, 0
    for number, row in enumerate(record.epochs, 1):
        score = row.get(BEST_BY, 0.0)
        if score > best or not (score or best):  # as training.checkpoint judges
            best, best_epoch = score, number
    return f"{len(record.epochs)}, best {best_epoch}"


def _differences(
    found: Sequence[Mapping[str, Any]], leaving_out: Cells = ()
) -> list[tuple[str, list[str]]]:
    """Rows of what the runs that tell anything do not agree in."""
    told = [values for values in found if values]
    names = dict.fromkeys(name for values in told for name in values if name not in leaving_out)
    rows = [(f"  {name}", [_shown(values.get(name)) for values in found]) for name in names]
    return [
        row
        for name, row in zip(names, rows, strict=True)
        if any(values.get(name) != told[0].get(name) for values in told)
    ]


def _shown(value: Any) -> str:
    """A setting; of long ones the end, in which paths differ."""
    if value is None or value in ("", []):
        return UNKNOWN
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else "..." + text[3 - LONGEST :]


def _held_out_warnings(records: Sequence[RunRecord]) -> list[str]:
    """Whether the numbers are of the same images; runs without a split are not asked."""
    splits = [record.split for record in records if record.split]
    if len({repr(sorted(map(str, split.get("val") or []))) for split in splits}) > 1:
        return ["warning: judged on different held-out images, so the numbers do not compare; "
                "--split-file of one run makes another hold out the same"]  # fmt: skip
    told = {split["data_fingerprint"] for split in splits if "data_fingerprint" in split}
    if len(told) > 1:  # test.py's folders do not tell: they know the images they judged alone
        return ["warning: the held-out images have the same names, but the data sets differ: the "
                "numbers compare only if the held-out labels are the same"]  # fmt: skip
    if len(splits) < len(records):
        return ["warning: not every run tells which images it was judged on"]
    return []


def _aligned(rows: Sequence[tuple[str, Cells]]) -> list[str]:
    """Columns as wide as what is in them, numbers under their run's name."""
    first = max(len(name) for name, _ in rows)
    columns = zip(*(cells for _, cells in rows if cells), strict=True)
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join([name.ljust(first), *map(str.ljust, cells, widths)]).rstrip()
        for name, cells in rows
    ]
