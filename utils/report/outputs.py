"""What an evaluation leaves in a folder: its numbers, and the page that explains them."""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torchvision

from my_dataset import InstanceDataset
from utils.data.epoch_batches import SampleKey
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
    judged: str,
    record: RunRecord | None = None,
) -> None:
    """Write ``metrics.json``, ``intervals.json`` (name: [low, high]) and ``report.html``.

    Args:
        folder: an existing one.
        dataset: whose images were judged; the page shows some.
        title: the name of the model.
        judged: the weights or predictions, as the page names them.
        record: of the run that trained it, for the curves and settings of the page.
    """
    write_json(folder / METRICS, assessment.metrics)
    ends = {name: [one.low, one.high] for name, one in assessment.intervals.items()}
    write_json(folder / INTERVALS, ends)
    facts = {
        "weights": judged,
        "data": str(dataset.data.root),
        "date": time.strftime("%Y-%m-%d"),
        "torch, where judged": torch.__version__,
        "torchvision, where judged": torchvision.__version__,
    }
    write_report(
        folder / REPORT,
        title,
        assessment,
        record,
        lambda n: dataset.read(SampleKey(0, n))[0],
        facts,
    )
