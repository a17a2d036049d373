"""Prediction in the plain torchvision way and ours: the same weights, the same images, by turns.

The reference is what a short script does: the network in float32, full-size float masks, those
thresholded at 0.5 and encoded by pycocotools. Ours is a ``Predictor``. Both give all detections
with a score of 0.05 or more, as run lengths; pictures are read beforehand. On a GPU ours takes
several of one size together, the reference one after the other.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, load_weights, save_weights
from tools.benchmark_data import penn_fudan
from tools.machine import (
    CPU,
    GIGA,
    WAYS,
    comparison,
    facts_of,
    flops,
    peak_memory,
    print_peak_memory,
    taking_turns,
)
from utils.data.images import list_images, load_image
from utils.device import choose_precision
from utils.memory import keep_freed_memory
from utils.prediction.predictor import GPU_BATCH, Predictor
from utils.recommendation.timing import Way, stock_way

ARCH = "maskrcnn_resnet50_fpn"
SCORE = 0.05  # torchvision's box_score_thresh
SURENESS = 20  # scales the random scores, so that a hundred are above it
DRAWN, DRAWN_FOR_GPU = (480, 640, 3), (800, 1333, 3)


def compare(
    weights: Path | None,
    source: Path | None,
    images: int,
    rounds: int,
    device: str = "cpu",
    precision: str = "auto",
) -> list[dict[str, Any]]:
    """Seconds per image of both ways, medians, the most memory of a process of each, and how near
    each comes to what the machine can do in its number format.

    Args:
        weights: a weights file; a random ResNet-50 FPN by default, with a hundred detections in
            each image.
        source: a folder of pictures; PennFudan by default, noise where it is not there and for a
            GPU, where pictures are to have one size.
        images: how many of them.
        rounds: how often each is looked at, after one to warm up.
        device: ``cpu`` or ``cuda``.
        precision: of ours.
    """
    on = torch.device(device)
    chosen = choose_precision(precision, on)
    with tempfile.TemporaryDirectory() as folder:
        path = weights or random_weights(Path(folder) / "random.pth")
        memory = {}
        if on.type == "cpu":  # first, while this process holds little
            given = [str(path), str(images), precision, *([str(source)] if source else [])]
            memory = {f"{way}_mb": peak_memory(__name__, [way, *given]) for way in WAYS}
        pictures = read_pictures(source, images, on)
        ways = {"reference": reference_way(path, on), "ours": our_way(path, on, precision)}
    size = min(GPU_BATCH if on.type == "cuda" else 1, len(pictures))
    groups = [pictures[i : i + size] for i in range(0, len(pictures) - size + 1, size)]
    found = ways["ours"](groups[0]) // size
    operations = flops(lambda: ways["reference"](groups[0])) / size

    def turn(way: Way) -> Callable[[], int]:
        left = cycle(groups)
        return lambda: way(next(left))

    turns = {name: turn(way) for name, way in ways.items()}
    medians = taking_turns(turns, on, rounds * len(groups))
    seconds = {way: median / size for way, median in medians.items()}
    what = weights.name if weights else f"random {ARCH}"
    name = f"predict {what} {device} {chosen.name}, {found} detections"
    result = comparison(name, **seconds) | memory | {"gflop_per_image": operations / GIGA}
    for way, dtype in zip(WAYS, (torch.float32, chosen.dtype), strict=True):
        result |= facts_of(way, turns[way], on, dtype, seconds[way], operations)
    return [result]


def reference_way(path: Path, device: torch.device) -> Way:
    """torchvision's own network and masks."""
    model = load_weights(path).build(reference=True).to(device)
    model.roi_heads.score_thresh = SCORE
    return stock_way(model, device)


def our_way(path: Path, device: torch.device, precision: str) -> Way:
    predictor = Predictor.from_file(
        path, device=device.type, precision=precision, score_threshold=SCORE
    )
    return lambda pictures: sum(len(one["masks"]) for one in predictor.predict(pictures))


def read_pictures(source: Path | None, images: int, device: torch.device) -> list[np.ndarray]:
    """The first pictures of a folder, of PennFudan, or noise."""
    size = DRAWN_FOR_GPU if device.type == "cuda" else DRAWN
    root = penn_fudan() if device.type == "cpu" else None
    folder = source or (root / "PNGImages" if root else None)
    if folder:
        return [load_image(path) for path in list_images(folder)[:images]]
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, size, np.uint8) for _ in range(images)]


def random_weights(path: Path) -> Path:
    torch.manual_seed(0)
    options: dict[str, Any] = {"frozen_norm": True}
    model = build_model(ARCH, 2, **options)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(SURENESS)
    save_weights(path, WeightsFile(ARCH, 2, ("object",), model.state_dict(), options))
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """What ``compare`` starts to measure memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("weights", type=Path)
    parser.add_argument("images", type=int)
    parser.add_argument("precision")
    parser.add_argument("source", type=Path, nargs="?")
    args = parser.parse_args(arguments)
    keep_freed_memory(CPU)
    way = (
        reference_way(args.weights, CPU)
        if args.way == "reference"
        else our_way(args.weights, CPU, args.precision)
    )
    for picture in read_pictures(args.source, args.images, CPU):
        way([picture])
    print_peak_memory()


if __name__ == "__main__":
    main()
