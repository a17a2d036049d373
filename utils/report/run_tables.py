"""What was judged and how it came to be: data, settings, versions, commands to repeat it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from utils.data.records import RecordSet
from utils.evaluation.error_counts import SIZE_TEXTS, size_of
from utils.report.markup import details, listed, paragraph, table
from utils.report.run_record import RunRecord


def data_tables(data: RecordSet, run: RunRecord | None) -> str:
    """Images, objects by class and size, and what the run held out."""
    objects = [instance for record in data.images for instance in record.instances]
    counted = [instance for instance in objects if not instance.iscrowd]
    crowds = len(objects) - len(counted)
    empty = sum(not record.instances for record in data.images)
    text = f"{len(data.images)} images were judged, {empty} of them without objects."
    if crowds:
        text += f" {crowds} crowd regions count neither as objects nor as errors."
    if run and run.split:
        sides = [len(run.split.get(side, ())) for side in ("train", "val")]
        trained = f"{sides[0]} images trained, " if sides[0] else ""
        text += (
            f" In the run: {trained}{sides[1]} held out, drawn with seed {run.split.get('seed')}."
        )
    rows = []
    for label, name in enumerate(data.classes, start=1):
        sizes = [size_of(instance.area) for instance in counted if instance.label == label]
        rows.append([name, str(len(sizes)), *(str(sizes.count(size)) for size in SIZE_TEXTS)])
    return paragraph(text) + table(("class", "objects", *SIZE_TEXTS.values()), rows)


def run_tables(run: RunRecord | None, facts: Mapping[str, str]) -> str:
    """Settings, those that were changed first, versions, and commands."""
    versions = dict(facts)
    if run:
        versions |= {f"trained with {name}": str(value) for name, value in run.environment.items()}
    text = table(("", ""), versions.items()) if versions else ""
    if not run:
        return text
    changed = run.changed()
    settings = changed | {k: v for k, v in run.settings.items() if k not in changed}
    rows = [
        [f"--{name.replace('_', '-')}", _shown(value), "changed" if name in changed else ""]
        for name, value in settings.items()
    ]
    return (
        listed(run.notes)
        + details(f"{len(changed)} settings were changed", table(("setting", "value", ""), rows))
        + details("Versions", text)
        + "<h3>To repeat it</h3>"
        + "".join(f"<pre>{escape(shlex.join(line))}</pre>" for line in commands(run))
    )


def commands(run: RunRecord) -> list[Sequence[str]]:
    """Train, test and predict once more; the settings of training only if they are known."""
    root = str(run.settings.get("output_root", "."))
    root_option = [] if root == "." else ["--output-root", root]
    weights = f"weights/{run.folder.name}/best.pth"
    weights = weights if root == "." else f"{root.rstrip('/')}/{weights}"
    use = ["--weights", weights, *root_option]
    arguments = run.training_arguments()
    train = [] if arguments is None else [["python", "train.py", *arguments]]
    return [*train, ["python", "test.py", *use], ["python", "predict.py", *use]]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
