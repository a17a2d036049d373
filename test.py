"""Judge a weights file on labelled images: COCO AP of boxes and masks, overall and per class.

python test.py                                          # newest run, its held-out images
python test.py --weights weights/PennFudanPed/best.pth
python test.py --weights best.pth --data other_folder
torchrun --nproc-per-node 2 test.py --weights best.pth
"""

from __future__ import annotations

import sys

import torch
from tqdm import tqdm

import nets  # noqa: F401  (before all that needs torchvision: checks that it fits torch)
from nets.mask_rcnn import input_size
from nets.weights_file import load_weights
from utils.command_line import parse
from utils.config import TestConfig
from utils.data.images import check_reading_rule, limit_pixels
from utils.data.loader import eval_loader, worker_count
from utils.device import choose_device, choose_precision
from utils.doctor.examination import check_sizes
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.judge import judge, judge_together
from utils.evaluation.table import metrics_table
from utils.exit_codes import run
from utils.folders import new_folder, write_json
from utils.open_data import open_evaluation_data
from utils.processes import Processes, start_processes
from utils.weights_lookup import find_weights, run_name


def main(config: TestConfig) -> None:
    device = choose_device(config.device)
    with start_processes(device) as processes:
        judge_weights(config, device, processes)


def judge_weights(config: TestConfig, device: torch.device, processes: Processes) -> None:
    """All processes together judge the images; the first one reports."""
    limit_pixels(config.max_pixels)

    path = find_weights(config.weights, config.output_root)
    weights = load_weights(path, config.classes)
    check_reading_rule(weights.preprocessing)
    precision = choose_precision(config.precision, device, weights.precision)
    model = weights.build().to(device, memory_format=precision.memory_format)
    dataset = open_evaluation_data(
        weights.data,
        weights.classes,
        data=config.data,
        format=config.format,
        options=config.reading,
        part=config.split,
        channels=weights.channels,
    )
    check_sizes(dataset.data.images, *input_size(model))
    print(f"weights {path} ({weights.arch}), {precision.name} on {device.type}")
    print(f"data {dataset.data.root}: {len(dataset)} images")

    batches = eval_loader(
        dataset, worker_count(config.workers, device.type), device.type == "cuda",
        config.worker_timeout, processes.rank, processes.count,
    )  # fmt: skip
    hidden = None if processes.is_first else True
    progress = tqdm(batches, "testing", unit="image", leave=False, disable=hidden)
    judged = judge_together(judge(model, progress, precision, with_losses=False), processes)
    if judged is None:
        return
    evaluator = CocoEvaluator(dataset.data)
    for image_id, prediction, _ in judged:
        evaluator.process(image_id, prediction)
    metrics = evaluator.evaluate()

    folder = new_folder(config.output or config.output_root / "runs" / "test" / run_name(path))
    write_json(folder / "metrics.json", metrics)
    print(metrics_table(metrics, dataset.data.classes))
    print(f"written: {folder / 'metrics.json'}")


if __name__ == "__main__":
    sys.exit(run(main, parse(TestConfig, None, __doc__)))
