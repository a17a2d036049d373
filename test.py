"""Judge weights files, or predictions of any tool, on labelled images.

python test.py                                          # newest run, its held-out images
python test.py --weights weights/PennFudanPed/best.pth
python test.py --weights best.pth --data other_folder
python test.py --weights weights/first/best.pth weights/second/best.pth    # which is better?
python test.py --weights best.pth best.onnx             # what did the export cost?
python test.py --weights best.pth --operating-point recall=0.95 --store
python test.py --data my_folder --predictions results.json
python test.py --compare runs/first runs/second
torchrun --nproc-per-node 2 test.py --weights best.pth
"""

from __future__ import annotations

from utils.command_line import parse
from utils.config import BEST, ConfigError, TestConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(TestConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from nets.mask_rcnn import input_size
from nets.weights_file import store_operating_point
from utils.data.images import check_reading_rule, limit_pixels
from utils.data.instance_dataset import InstanceDataset
from utils.data.loader import Batch, eval_loader, worker_count
from utils.device import Precision, choose_device
from utils.doctor.examination import check_sizes
from utils.evaluation.assessment import Assessment, assess
from utils.evaluation.difference_text import describe_difference
from utils.evaluation.judge import Judged, judge, judge_arrays, predictions_by
from utils.evaluation.operating_point import stored_point
from utils.evaluation.predictions_file import read_predictions
from utils.evaluation.table import describe
from utils.exit_codes import run
from utils.folders import new_folder, write_json
from utils.memory import keep_freed_memory
from utils.open_judged_data import open_evaluation_data, open_labels
from utils.prediction.predictor import Predictor
from utils.prediction.trained_model import TrainedModel, open_model
from utils.processes import Processes, start_processes
from utils.report.outputs import write_assessment
from utils.report.run_comparison import compare_runs
from utils.report.run_record import read_run
from utils.weights_lookup import find_weights, run_name, run_record


class Candidate(NamedTuple):
    """One of the models that are judged, by the name that tells it from the others."""

    name: str
    assessment: Assessment
    dataset: InstanceDataset


def main(config: TestConfig) -> None:
    if config.compare:
        print(compare_runs(config.compare))
        return
    limit_pixels(config.max_pixels)
    device = choose_device(config.device)
    keep_freed_memory(device)
    with start_processes(device) as processes:
        judged: list[Candidate] = []
        for name in config.weights or (() if config.predictions else (BEST,)):
            judged += judge_weights(config, name, processes)
        if processes.is_first:
            own = judged[0].dataset if judged else None
            judged += [judge_file(config, path, own) for path in config.predictions]
            for other in judged[1:]:
                print(f"\n{describe_difference(*judged[0][:2], *other[:2])}")


def judge_weights(config: TestConfig, name: str, processes: Processes) -> list[Candidate]:
    """All processes together look at the images; the first one reports and has the result."""
    path = find_weights(name, config.output_root)
    trained = open_model(path, config.classes)
    weights = trained.weights
    check_reading_rule(weights.preprocessing)
    device, precision = trained.place(config.device, config.precision, config.reference)
    if config.store and trained.session:
        raise ConfigError(
            f"--store: {path} is an exported file, which keeps the score thresholds that it was "
            "exported with; store them in the weights (.pth) and export those again"
        )
    dataset = open_evaluation_data(
        weights.data,
        weights.classes,
        data=config.data,
        format=config.format,
        options=config.reading,
        part=config.split,
        channels=weights.channels,
    )
    judging, size = judging_of(trained, config, device, precision)
    check_sizes(dataset.data.images, *size)
    print(f"weights {trained.about(device, precision)}")
    notes = trained.limits(config.max_dets)
    tell(dataset, notes)

    batches = eval_loader(
        dataset, worker_count(config.workers, device.type), device.type == "cuda",
        config.worker_timeout, processes.rank, processes.count,
    )  # fmt: skip
    predictions = predictions_by(judging, batches, processes)
    if predictions is None:
        return []
    point = config.operating_point or stored_point(weights)
    assessment = assess(dataset.data, predictions, point, max_dets=config.max_dets, input_size=size)
    report(config, path, assessment, dataset, notes)
    if config.store:
        kept = assessment.operating_point.where_chosen(stored_point(weights))
        store_operating_point(path, kept.to_dict())
        print(f"score thresholds stored in {path}")
    return [Candidate(str(path), assessment, dataset)]


def judging_of(
    trained: TrainedModel, config: TestConfig, device: torch.device, precision: Precision
) -> tuple[Callable[[Iterable[Batch]], Iterator[Judged]], tuple[int, int]]:
    """What looks at labelled images, and the least and greatest side that it resizes them to."""
    if trained.session:
        card = trained.session.card
        predictor = Predictor(
            trained.weights, device, precision, score_threshold=card.score_threshold,
            session=trained.session,
        )  # fmt: skip
        return partial(judge_arrays, predictor.predict), card.input_size
    model = trained.weights.build(config.reference)
    model.to(device, memory_format=precision.memory_format)
    most = model.roi_heads.detections_per_img
    model.roi_heads.detections_per_img = max(most, config.max_dets)
    judging = partial(judge, model, precision=precision, with_losses=False)
    return judging, input_size(model)


def judge_file(config: TestConfig, path: Path, dataset: InstanceDataset | None) -> Candidate:
    """The predictions of another tool, or of predict.py, against the labels; those of ``--data`` if
    no weights were judged on others."""
    labels = dataset
    if config.data or dataset is None:
        labels = open_labels(
            config.data, format=config.format, classes=config.classes, options=config.reading,
            part=config.split,
        )  # fmt: skip
    assert labels is not None
    found = read_predictions(path, labels.data, config.data or labels.data.root)
    dataset = dataset or labels
    found = found.for_data(labels.data.classes, dataset.data)
    print(f"predictions {path}")
    tell(dataset, found.notes)
    assessment = assess(
        dataset.data,
        found.of_image,
        config.operating_point or "f1",
        max_dets=config.max_dets,
        has_masks=found.has_masks,
    )
    report(config, path, assessment, dataset, found.notes)
    return Candidate(str(path), assessment, dataset)


def tell(dataset: InstanceDataset, notes: Sequence[str] = ()) -> None:
    """Print what is judged, and what is left out."""
    print(f"data {dataset.data.root}: {len(dataset)} images")
    for note in (*dataset.data.notes, *notes):
        print(f"note: {note}")


def report(
    config: TestConfig,
    path: Path,
    assessment: Assessment,
    dataset: InstanceDataset,
    notes: Sequence[str] = (),
) -> None:
    """Print what was found out about a file, and leave it in a folder."""
    name = run_name(path)
    folder = config.output or config.output_root / "runs" / "test" / name
    if config.output and len(config.weights) + len(config.predictions) > 1:
        folder = config.output / name
    folder, trained_in = new_folder(folder), run_record(path)
    # What --compare holds against what other runs were judged on.
    write_json(folder / "split.json", {"val": dataset.data.names()})
    print(describe(assessment))
    record = read_run(trained_in) if trained_in else None
    write_assessment(folder, assessment, dataset, name, path, record, notes)
    print(f"written: {folder / 'metrics.json'}, {folder / 'report.html'}")


if __name__ == "__main__":
    sys.exit(run(main, settings))
