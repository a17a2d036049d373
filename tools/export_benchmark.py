"""Prediction with exported files: torchvision's own way, ours, and every format that can be written
here; the same weights, the same images, by turns.

The reference is that of ``prediction_benchmark``. All give all detections with a score of 0.05 or
more, as run lengths; pictures are read beforehand.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nets.weights_file import load_weights
from tools.machine import CPU, comparison
from tools.prediction_benchmark import ARCH, SCORE, random_weights, read_pictures
from utils.device import choose_precision
from utils.export.card import card_of
from utils.export.formats import ONNX
from utils.export.network import network_of
from utils.export.settings import ExportSettings
from utils.recommendation.candidates import candidates
from utils.recommendation.timing import exported_way, own_way, seconds_by_turns, stock_way

REFERENCE = "reference"


def compare(
    weights: Path | None, source: Path | None, images: int, rounds: int, precision: str = "auto"
) -> Iterator[dict[str, Any]]:
    """Seconds per image, medians, of our network and of each format, and what its file is like.

    Args:
        weights: a weights file; a random ResNet-50 FPN by default, with a hundred detections in
            each image. Objects cost time: compare with a trained one.
        source: a folder of pictures; PennFudan by default, noise where it is not there. 8-bit
            formats are calibrated on them too, which says nothing about accuracy.
        images: how many of them.
        rounds: how often each is looked at, after one to warm up.
        precision: of our network.
    """
    pictures = read_pictures(source, images, CPU)
    chosen = choose_precision(precision, CPU)
    settings = ExportSettings(score_threshold=SCORE)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        content = load_weights(weights or random_weights(Path(folder) / "random.pth"))
        card = card_of(content, settings, ONNX)  # its thresholds are those of all formats
        ours = f"our {chosen.name}"
        ways = {REFERENCE: stock_way(network_of(card)), ours: own_way(card, chosen)}
        files = {}
        for one in candidates(content, settings, pictures, Path(folder)):
            ways[one.card.format] = exported_way(one.session)
            files[one.card.format] = {
                "file_mb": one.megabytes, "write_s": one.write_s, "open_s": one.open_s,
            }  # fmt: skip
        seconds = seconds_by_turns(ways, [[picture] for picture in pictures], rounds)
        found = statistics.mean(ways[ours]([picture]) for picture in pictures)
    what = weights.name if weights else f"random {ARCH}"
    for name in list(ways)[1:]:
        title = f"export {what} {name}, {found:.0f} detections"
        yield comparison(title, seconds[REFERENCE], seconds[name]) | files.get(name, {})
