"""What an evaluation leaves in a folder: its numbers, and the page that explains them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision

from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import InstanceDataset
from utils.evaluation.assessment import Assessment
from utils.folders import write_json
from utils.report.page import write_report
from utils.report.run_record import RunRecord

METRICS, INTERVALS, REPORT = "metrics.json", "intervals.json", "report.html"


def write_assessment(
    folder: Path,
    assessment: Assessment,
    dataset: InstanceDataset,
    title: str,
    judged: Path,
    record: RunRecord | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write ``metrics.json``, ``intervals.json`` (name: [low, high]) and ``report.html``.

    Args:
        folder: an existing one.
        dataset: whose images were judged; the page shows some.
        title: the name of the model.
        judged: the weights or predictions.
        record: of the run that trained it, for the curves and settings of the page.
        notes: what else was told of the predictions.
    """
    write_json(folder / METRICS, assessment.metrics)
    ends = {name: [one.low, one.high] for name, one in assessment.intervals.items()}
    write_json(folder / INTERVALS, ends)
    facts = {
        "predictions" if judged.suffix == ".json" else "weights": str(judged),
        "data": str(dataset.data.root),
        "date": time.strftime("%Y-%m-%d"),
        "torch, where judged": torch.__version__,
        "torchvision, where judged": torchvision.__version__,
        **{f"note {n}": note for n, note in enumerate((*dataset.data.notes, *notes), 1)},
    }
    write_report(
        folder / REPORT,
        title,
        assessment,
        record,
        lambda n: dataset.read(SampleKey(0, n))[0],
        facts,
    )
