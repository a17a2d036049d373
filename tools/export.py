"""Write a trained network as a file that runs without this program, or without Python.

    python -m tools.export --weights best.pth --format onnx
    python -m tools.export --weights best.pth --format openvino-int8 --output model.xml
    python -m tools.export --weights best.pth --format aoti --size 480x640 --batch 1
    python -m tools.export --weights best.pth --recommend     # which format is fastest here?

The file is compared with the network before it takes its place; if it differs, nothing is written.
predict.py and test.py take it as they take weights.
"""

from __future__ import annotations

from utils.command_line import parse
from utils.export.config import ExportConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(ExportConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import sys
from pathlib import Path

from nets.weights_file import load_weights
from utils.exit_codes import run
from utils.export.calibration import calibration_images
from utils.export.formats import FORMATS
from utils.export.open_session import open_session
from utils.export.placing import placed_when_done
from utils.export.program import card_of
from utils.export.recommendation import recommend
from utils.export.report import write_report
from utils.export.verification import verify
from utils.export.write import write
from utils.weights_lookup import find_weights


def main(config: ExportConfig) -> None:
    path = find_weights(config.weights, config.output_root)
    weights = load_weights(path)
    if config.recommend:
        print(recommend(weights, config))
        return
    card = card_of(weights, config.settings, config.format)
    images = calibration_images(weights, config.data, config.calibration_images)
    output = config.output or beside(path, config.format)
    with placed_when_done(output) as place:
        write(card, place, images)
        verification = verify(card, open_session(place), images)
        print(*verification.lines(), sep="\n")
        verification.check()
        write_report(place, card, verification)
    print(f"written: {output}")


def beside(weights: Path, format: str) -> Path:
    """Where a file goes that no ``--output`` names: ``best-int8.onnx`` beside ``best.pth``."""
    kind = format.removeprefix(format.partition("-")[0]) if FORMATS[format].is_int8 else ""
    return weights.with_name(f"{weights.stem}{kind}{FORMATS[format].suffixes[0]}")


if __name__ == "__main__":
    sys.exit(run(main, settings))
