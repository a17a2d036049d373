"""Judge a weights file on labelled images: COCO AP of boxes and masks, overall and per class.

python test.py                                          # newest run, its held-out images
python test.py --weights weights/PennFudanPed/best.pth
python test.py --weights best.pth --data other_folder
"""

from __future__ import annotations

import sys

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
from utils.evaluation.table import metrics_table
from utils.exit_codes import run
from utils.folders import new_folder, write_json
from utils.open_data import open_evaluation_data
from utils.training.engine import evaluate
from utils.weights_lookup import find_weights, run_name


def main(config: TestConfig) -> None:
    device = choose_device(config.device)
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
    )
    check_sizes(dataset.data.images, *input_size(model))
    print(f"weights {path} ({weights.arch}), {precision.name} on {device.type}")
    print(f"data {dataset.data.root}: {len(dataset)} images")

    batches = eval_loader(dataset, worker_count(config.workers, device.type), device.type == "cuda")
    evaluator = CocoEvaluator(dataset.data)
    progress = tqdm(batches, "testing", unit="image", leave=False, disable=None)
    evaluate(model, progress, precision, evaluator.process, with_losses=False)
    metrics = evaluator.evaluate()

    folder = new_folder(config.output or config.output_root / "runs" / "test" / run_name(path))
    write_json(folder / "metrics.json", metrics)
    print(metrics_table(metrics, dataset.data.classes))
    print(f"written: {folder / 'metrics.json'}")


if __name__ == "__main__":
    sys.exit(run(main, parse(TestConfig, None, __doc__)))
