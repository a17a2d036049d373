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
from utils.config import ConfigError
from utils.data.images import check_resizable, limit_pixels
from utils.data.records import DataError
from utils.exit_codes import run
from utils.export.card import ModelCard, card_of
from utils.export.formats import FORMATS, ONNX
from utils.export.open_session import is_exported, open_session, parts_of
from utils.export.placing import placed_when_done
from utils.export.report import report_path, write_report
from utils.export.training_images import training_images
from utils.export.verification.verify import verify
from utils.export.write import write
from utils.interruption import Interruption
from utils.recommendation.recommendation import recommend
from utils.weights_lookup import find_weights


def main(config: ExportConfig) -> None:
    path = find_weights(config.weights, config.output_root)
    if is_exported(path):
        raise ConfigError(f"{path} is an exported file already; --weights takes a .pth file")
    limit_pixels(config.max_pixels)
    weights = load_weights(path, config.classes)
    if config.recommend:
        check_size(card_of(weights, config.settings, ONNX))
        with Interruption():
            print(recommend(weights, config))
        return
    output = config.output or beside(path, config.format)
    if path.resolve() in [part.resolve() for part in (*parts_of(output), report_path(output))]:
        raise ConfigError(f"--output {output} would overwrite {path}; choose another name")
    card = card_of(weights, config.settings, config.format)
    check_size(card)
    images = training_images(
        weights, config.data, config.calibration_images, are_needed=FORMATS[config.format].is_int8
    )
    with Interruption(), placed_when_done(output) as place:
        write(card, place, images)
        verification = verify(card, open_session(place), images)
        print(*verification.lines(), sep="\n")
        verification.check()
        write_report(place, card, verification)
    print(f"written: {output}")


def check_size(card: ModelCard) -> None:
    """Raise ``ConfigError`` if images of ``--size`` cannot be resized for the network."""
    if card.settings.size:
        try:
            check_resizable(*card.settings.size, *card.input_size)
        except DataError as error:
            height, width = card.settings.size
            raise ConfigError(
                f"--size {height}x{width} is too thin: the network resizes images to at most "
                f"{card.input_size[1]} pixels, which leaves none across"
            ) from error


def beside(weights: Path, format: str) -> Path:
    """Where a file goes that no ``--output`` names: ``best.onnx`` beside ``best.pth``, and
    ``best-int8.onnx``, as each format has a name of its own."""
    suffix = FORMATS[format].suffixes[0]
    first = next(name for name, other in FORMATS.items() if suffix in other.suffixes)
    kind = "" if format == first else f"-{format.rpartition('-')[2]}"
    return weights.with_name(f"{weights.stem}{kind}{suffix}")


if __name__ == "__main__":
    sys.exit(run(main, settings))
