"""Which format is fastest on this machine, measured."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from nets.weights_file import WeightsError, WeightsFile
from utils.command_line import as_arguments
from utils.device import choose_precision, describe
from utils.export.card import ModelCard, card_of
from utils.export.config import ExportConfig
from utils.export.fitting import fitted
from utils.export.formats import ONNX
from utils.export.network import network_of
from utils.export.training_images import training_images
from utils.export.verification.images import drawn, spread_evenly
from utils.export.verification.verify import Verification, verify
from utils.recommendation.candidates import Candidate, candidates, tell, tell_failure
from utils.recommendation.timing import CPU, exported_way, own_way, seconds_by_turns, stock_way

IMAGES, ROUNDS = 4, 3
DRAWN = (480, 640)  # height and width in pixels
STOCK = "torchvision, fp32"


class Result(NamedTuple):
    """What was measured of one way to find objects.

    Attributes:
        seconds: for one image.
        file: the exported file, if it is one that finds them,
        verification: and how that compares with the network.
    """

    seconds: float
    file: Candidate | None = None
    verification: Verification | None = None


def recommend(weights: WeightsFile, config: ExportConfig) -> str:
    """Write the network in every format that can be written here, in a temporary folder, hold each
    against the network, time them, and say in words which to use. Tells meanwhile what it does.

    Drawn images are timed if those of the weights' data set are not there.
    """
    images = training_images(weights, config.data, config.calibration_images, are_needed=False)
    precision = choose_precision("auto", CPU, weights.precision)
    ours = f"predict.py, {precision.name}"
    card = card_of(weights, config.settings, ONNX)  # its thresholds are those of all formats
    ways = {STOCK: stock_way(network_of(card)), ours: own_way(card, precision)}
    files: dict[str, tuple[Candidate, Verification]] = {}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for file in candidates(weights, config.settings, images, Path(folder)):
            try:
                verification = verify(file.card, file.session, images)
                verification.check()
            except WeightsError as error:
                tell_failure(file.card.format, error)
            else:
                ways[file.card.format] = exported_way(file.session)
                files[file.card.format] = file, verification
        some = some_of(images, card)
        batches = [[image] * (config.settings.batch or 1) for image in some]
        tell(f"timed by turns: {', '.join(ways)}")
        seconds = seconds_by_turns(ways, batches, ROUNDS)
    results = {name: Result(seconds[name], *files.get(name, ())) for name in ways}
    note = (
        f"Seconds for an image on this machine ({describe(CPU)}), from its pixels to run lengths\n"
        f"of all objects of score {card.score_threshold:g} or more: medians of {ROUNDS} rounds of "
        f"{len(some)} images. Other work on the\nmachine shifts them."
    )
    return "\n".join(["", table(results), note, "", *advice(results, ours, config)])


def some_of(images: Sequence[np.ndarray], card: ModelCard) -> list[np.ndarray]:
    """Images to time with, spread evenly, of the size that the card's files take."""
    some = list(spread_evenly(images, IMAGES))
    size = card.settings.size
    if not some:
        return [drawn(size or DRAWN, number, card.weights.channels) for number in range(IMAGES)]
    return [fitted(image, size, card.image_mean).canvas for image in some] if size else some


def table(results: dict[str, Result]) -> str:
    """A line for each way, the fastest first."""
    width = max(len(name) for name in results)
    heads = ("s/image", "speed", "MB", "write s", "open s")
    lines = [f"{'':{width}}" + "".join(f"{head:>9}" for head in heads) + "  like the network"]
    for name, result in sorted(results.items(), key=lambda item: item[1].seconds):
        cells = [f"{result.seconds:.3f}", f"{speed(results, name):.2f}x", "-", "-", "-"]
        if file := result.file:
            cells[2:] = f"{file.megabytes:.0f}", f"{file.write_s:.0f}", f"{file.open_s:.1f}"
        row = f"{name:{width}}" + "".join(f"{cell:>9}" for cell in cells)
        lines.append(f"{row}  {likeness(result)}".rstrip())
    return "\n".join(lines)


def speed(results: dict[str, Result], name: str) -> float:
    """How many times as fast as torchvision's own network."""
    return results[STOCK].seconds / results[name].seconds


def is_equal(result: Result) -> bool:
    """Whether it is a file that finds what the network finds."""
    return result.verification is not None and result.verification.agreement is None


def likeness(result: Result) -> str:
    """What a file finds against what the network finds, in words."""
    if result.verification is None:
        return ""
    if (agreed := result.verification.agreement) is None:
        return "equal"
    return (
        f"{agreed.found} of {agreed.sure} sure objects found again, mask IoU {agreed.mask_iou:.2f}"
    )


def advice(results: dict[str, Result], ours: str, config: ExportConfig) -> list[str]:
    """Which format to use, why, and the command that writes it."""
    files = sorted((n for n, r in results.items() if r.file), key=lambda n: results[n].seconds)
    if not files:
        return ["No format could be written and verified here: keep the weights file."]
    fastest = files[0]
    equal = next((name for name in files if is_equal(results[name])), None)
    lines = []
    if equal:
        lines += [
            f"Use {equal}: of the files that find what the network finds it is the fastest here, "
            f"{speed(results, equal):.1f} times as fast as torchvision.",
            command(equal, config),
        ]
    if fastest != equal:
        lines += [
            f"Fastest of all files is {fastest}, {speed(results, fastest):.1f} times as fast, but "
            f"not equal: {likeness(results[fastest])}. test.py tells what AP it costs.",
            command(fastest, config),
        ]
    if results[ours].seconds < results[equal or fastest].seconds:
        lines.append(f"Where PyTorch can be used, {ours} with the weights themselves is faster "
                     f"than {equal or fastest}: {speed(results, ours):.1f} times.")  # fmt: skip
    return lines


def command(format: str, config: ExportConfig) -> str:
    """What writes the format with the same settings."""
    arguments = as_arguments(replace(config, recommend=False, format=format), ExportConfig)
    return f"    python -m tools.export {shlex.join(arguments)}"
