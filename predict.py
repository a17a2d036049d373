"""Find objects in pictures: overlays, COCO predictions and counts.

python predict.py --weights MaskRCNN_9.pth                       # the held-out images
python predict.py --weights MaskRCNN_9.pth --source photos/ "more/*.png" one.jpg
python predict.py --weights best.pth --source photos/ --score-threshold 0.7
"""

from __future__ import annotations

import sys

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
from utils.prediction.predictor import Predictor
from utils.prediction.sources import find_images, labelled_images
from utils.weights_lookup import find_weights, run_name


def main(config: PredictConfig) -> None:
    device = choose_device(config.device)
    limit_pixels(config.max_pixels)

    path = find_weights(config.weights, config.output_root)
    weights = load_weights(path, config.classes)
    check_reading_rule(weights.preprocessing)
    precision = choose_precision(config.precision, device, weights.precision)
    predictor = Predictor(weights, device, precision, config.score_threshold)
    if config.source:
        images = find_images(config.source)
    else:
        images = labelled_images(
            weights.data, weights.classes, config.data, config.format, config.reading
        )
    print(f"weights {path} ({weights.arch}), {precision.name} on {device.type}")
    print(f"{len(images)} images, score threshold {predictor.score_threshold}")

    folder = new_folder(config.output or config.output_root / "runs" / "predict" / run_name(path))
    writer = PredictionWriter(folder, weights.classes)
    failures: list[str] = []
    for image in tqdm(images, "predicting", unit="image", leave=False, disable=None):
        try:
            pixels = image.read()
            prediction = predictor(pixels)
        except DataError as error:  # the other pictures are still wanted
            failures.append(f"{image.name}: {error}")
            continue
        found = writer.add(image.name, pixels, prediction)
        tqdm.write(f"{image.name}: {counted(found)}")
    print(f"total in {len(writer.images)} images: {counted(writer.finish())}")
    print(f"overlays, predictions.json and counts.csv: {folder}")
    if failures:
        raise DataError(f"{len(failures)} of {len(images)} pictures could not be used:\n"
                        + "\n".join(failures))  # fmt: skip


def counted(counts: dict[str, int]) -> str:
    """``3 person, 1 dog`` or ``nothing``."""
    return ", ".join(f"{number} {name}" for name, number in counts.items()) or "nothing"


if __name__ == "__main__":
    sys.exit(run(main, parse(PredictConfig, None, __doc__)))
