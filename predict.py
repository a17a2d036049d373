"""Find objects in pictures: overlays, COCO predictions and counts.

python predict.py --weights MaskRCNN_9.pth                       # the held-out images
python predict.py --weights MaskRCNN_9.pth --source photos/ "more/*.png" one.jpg
python predict.py --weights best.pth --source photos/ --score-threshold 0.7
torchrun --nproc-per-node 2 predict.py --weights best.pth --source photos/
"""

from __future__ import annotations

import sys

import torch
from tqdm import tqdm

import nets  # noqa: F401  (before all that needs torchvision: checks that it fits torch)
from nets.weights_file import load_weights
from utils.command_line import parse
from utils.config import PredictConfig
from utils.data.images import check_reading_rule, limit_pixels
from utils.data.records import DataError
from utils.device import choose_device, choose_precision
from utils.exit_codes import run
from utils.folders import new_folder
from utils.prediction.outputs import PredictionWriter
from utils.prediction.predictor import Predictor, thresholds_in_words
from utils.prediction.sources import find_images, labelled_images
from utils.processes import Processes, start_processes
from utils.weights_lookup import find_weights, run_name


def main(config: PredictConfig) -> None:
    device = choose_device(config.device)
    with start_processes(device) as processes:
        predict(config, device, processes)


def predict(config: PredictConfig, device: torch.device, processes: Processes) -> None:
    """Each process looks at its share of the pictures; the first one reports."""
    limit_pixels(config.max_pixels)

    path = find_weights(config.weights, config.output_root)
    weights = load_weights(path, config.classes)
    check_reading_rule(weights.preprocessing)
    precision = choose_precision(config.precision, device, weights.precision)
    predictor = Predictor(weights, device, precision, config.score_threshold)
    if config.source:
        images = find_images(config.source, weights.channels)
    else:
        images = labelled_images(
            weights.data, weights.classes, config.data, config.format, config.reading,
            weights.channels,
        )  # fmt: skip
    print(f"weights {path} ({weights.arch}), {precision.name} on {device.type}")
    print(f"{len(images)} images, {thresholds_in_words(weights, config.score_threshold)}")

    wanted = config.output or config.output_root / "runs" / "predict" / run_name(path)
    folder = processes.from_first(new_folder(wanted) if processes.is_first else wanted)
    writer = PredictionWriter(folder, weights.classes, [image.name for image in images])
    failures: dict[int, str] = {}
    hidden = None if processes.is_first else True
    mine = processes.share(range(len(images)))
    for number in tqdm(mine, "predicting", unit="image", leave=False, disable=hidden):
        name, read = images[number]
        try:
            pixels = read()
            prediction = predictor(pixels)
        except DataError as error:  # the other pictures are still wanted
            failures[number] = f"{name}: {error}"
            continue
        found = writer.add(number, pixels, prediction)
        tqdm.write(f"{name}: {counted(found)}")
    finish(writer, failures, len(images), processes)


def finish(
    writer: PredictionWriter, failures: dict[int, str], count: int, processes: Processes
) -> None:
    """Bring together what the processes found, and raise ``DataError`` in all of them if pictures
    could not be used; the first one names them."""
    everyone = processes.gather((writer.predicted, failures))
    if everyone is not None:
        others = [one for predicted, _ in everyone[1:] for one in predicted]
        failures = {n: text for _, failed in everyone for n, text in failed.items()}
        total = writer.finish(others)
        print(f"total in {count - len(failures)} images: {counted(total)}")
        print(f"overlays, predictions.json and counts.csv: {writer.folder}")
    failed = processes.from_first(len(failures))
    if failed:
        names = ": see process 0"
        if processes.is_first:
            names = ":\n" + "\n".join(failures[number] for number in sorted(failures))
        raise DataError(f"{failed} of {count} pictures could not be used{names}")


def counted(counts: dict[str, int]) -> str:
    """``3 person, 1 dog`` or ``nothing``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing"


if __name__ == "__main__":
    sys.exit(run(main, parse(PredictConfig, None, __doc__)))
