"""The best weights of a finished training, judged once more and explained on a page."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from nets.mask_rcnn import input_size
from nets.weights_file import load_weights
from utils.data.instance_dataset import InstanceDataset
from utils.data.loader import Batch
from utils.device import Precision
from utils.evaluation.assessment import assess
from utils.evaluation.judge import predictions_of
from utils.evaluation.operating_point import stored_point
from utils.processes import Processes
from utils.report.outputs import write_assessment
from utils.report.run_record import read_run
from utils.training.checkpoint import BEST
from utils.training.run_folder import RunFolder
from utils.training.text_log import only_warning


def report_best(
    folder: RunFolder,
    dataset: InstanceDataset,
    batches: Iterable[Batch],
    device: torch.device,
    precision: Precision,
    processes: Processes,
    reference: bool = False,
) -> None:
    """Write ``metrics.json``, ``intervals.json`` and ``report.html`` into the run's folder.

    Args:
        dataset: the held-out images.
        batches: of them, this process's share.
        reference: judge with torchvision's own modules.
    """
    best = folder.weights / BEST
    weights = processes.from_first(
        load_weights(best) if processes.is_first and best.exists() else None
    )
    if weights is None:  # it was moved
        return
    model = weights.build(reference).to(device, memory_format=precision.memory_format)
    predictions = predictions_of(model, batches, precision, processes)
    if predictions is None:
        return
    assessment = assess(
        dataset.data, predictions, stored_point(weights), input_size=input_size(model)
    )
    with only_warning():
        write_assessment(
            folder.record, assessment, dataset, folder.name, best, read_run(folder.record)
        )
