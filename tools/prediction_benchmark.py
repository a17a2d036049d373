"""Prediction in the plain torchvision way and ours: the same weights, the same images, by turns.

The reference is what a short script does: the network in float32, full-size float masks, those
thresholded at 0.5 and encoded by pycocotools. Ours is a ``Predictor``. Both give all detections
with a score of 0.05 or more, as run lengths; pictures are read beforehand.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection import MaskRCNN
from torchvision.ops import MultiScaleRoIAlign

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, load_weights, save_weights
from utils.data.images import list_images, load_image
from utils.prediction.predictor import Predictor

PENNFUDAN = Path(__file__).resolve().parents[2] / "shared" / "PennFudanPed"
ARCH = "maskrcnn_resnet50_fpn"
SCORE = 0.05  # torchvision's box_score_thresh
SURENESS = 20  # scales the random scores, so that a hundred are above it
DRAWN = (480, 640, 3)
MEGABYTE = 2**20
Way = Callable[[np.ndarray], int]


def compare(
    weights: Path | None, source: Path | None, images: int, rounds: int, precision: str = "auto"
) -> list[dict[str, Any]]:
    """Seconds per image of both ways, medians, and the most memory of a process of each.

    Args:
        weights: a weights file; a random ResNet-50 FPN by default, with a hundred detections in
            each image.
        source: a folder of pictures; PennFudan by default, noise where it is not there.
        images: how many of them.
        rounds: how often each is looked at, after one image to warm up.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = weights or _random_weights(Path(folder) / "random.pth")
        # First: Linux counts for a process what the one that started it held at that moment.
        memory = {
            name: peak_memory(name, path, source, images, precision)
            for name in ("reference", "ours")
        }
        pictures = read_pictures(source, images)
        ways = {"reference": reference_way(path), "ours": our_way(path, precision)}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        found = 0
        for way in ways.values():
            found = way(pictures[0])
        for picture in pictures * rounds:
            for name, way in ways.items():
                start = time.perf_counter()
                found = way(picture)
                seconds[name].append(time.perf_counter() - start)
    medians = {f"{name}_s": statistics.median(values) for name, values in seconds.items()}
    what = weights.name if weights else f"random {ARCH}"
    return [
        {
            "name": f"predict {what}, {found} detections",
            **medians,
            "ratio": medians["reference_s"] / medians["ours_s"],
            **{f"{name}_mb": value for name, value in memory.items()},
        }
    ]


def reference_way(path: Path) -> Way:
    """torchvision's own network and masks, of which it gives the number."""
    model = load_weights(path).build()
    heads = model.roi_heads
    heads.score_thresh = SCORE
    for part in ("box_roi_pool", "mask_roi_pool"):
        pool = getattr(heads, part)
        own = MultiScaleRoIAlign(pool.featmap_names, pool.output_size, pool.sampling_ratio)
        setattr(heads, part, own)

    @torch.inference_mode()
    def way(picture: np.ndarray) -> int:
        image = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        (found,) = MaskRCNN.forward(model, [image])
        masks = (found["masks"][:, 0] >= 0.5).numpy().astype(np.uint8)
        return len([coco_mask.encode(np.asfortranarray(mask)) for mask in masks])

    return way


def our_way(path: Path, precision: str) -> Way:
    predictor = Predictor.from_file(path, device="cpu", precision=precision, score_threshold=SCORE)
    return lambda picture: len(predictor.predict([picture])[0]["masks"])


def read_pictures(source: Path | None, images: int) -> list[np.ndarray]:
    """The first pictures of a folder, of PennFudan, or noise."""
    root = Path(os.environ.get("PENNFUDAN_ROOT", PENNFUDAN)) / "PNGImages"
    folder = source or (root if root.is_dir() else None)
    if folder:
        return [load_image(path) for path in list_images(folder)[:images]]
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, DRAWN, np.uint8) for _ in range(images)]


def peak_memory(way: str, path: Path, source: Path | None, images: int, precision: str) -> float:
    """The most memory, in MB, of a process that looks at all pictures in one way."""
    command = [sys.executable, "-m", __spec__.name, way, str(path), str(images), precision]
    command += [str(source)] if source else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _random_weights(path: Path) -> Path:
    torch.manual_seed(0)
    options: dict[str, Any] = {"frozen_norm": True}
    model = build_model(ARCH, 2, **options)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(SURENESS)
    save_weights(path, WeightsFile(ARCH, 2, ("object",), model.state_dict(), options))
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """What ``peak_memory`` starts."""
    import resource  # Windows has none

    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("reference", "ours"))
    parser.add_argument("weights", type=Path)
    parser.add_argument("images", type=int)
    parser.add_argument("precision")
    parser.add_argument("source", type=Path, nargs="?")
    args = parser.parse_args(arguments)
    of = {"reference": reference_way, "ours": lambda path: our_way(path, args.precision)}
    way = of[args.way](args.weights)
    for picture in read_pictures(args.source, args.images):
        way(picture)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE)


if __name__ == "__main__":
    main()
