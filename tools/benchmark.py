"""Time this project's fast paths against torchvision's own, turn by turn in one process.

    python -m tools.benchmark roi-align
    python -m tools.benchmark masks --rounds 9 --json benchmark.json
    python -m tools.benchmark evaluate --images 100
    python -m tools.benchmark predict --weights best.pth --source photos/

Prints medians and the ratio of the reference's time to ours: above 1, ours is faster. Of the
evaluation it prints totals, and ends with 1 if the two do not give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from nets import roi_align
from tools import evaluation_benchmark, prediction_benchmark
from utils.data.outlines import ellipse
from utils.data.outlines import measure as measure_outline
from utils.data.records import ImageRecord, instance_masks
from utils.data.targets import record_target

MAP_SIZES = ((32, 32), (64, 64), (80, 112), (128, 128))  # rows and columns of the largest map
IMAGES, CHANNELS, BOXES, BINS = 2, 256, 512, 7
LEVELS = ["0", "1", "2", "3"]
PICTURE = (800, 1200)  # height and width in pixels
OBJECTS, ROIS = (1, 10, 100, 300), 128
TOLERANCE = 1e-9  # of a metric


class Case(NamedTuple):
    """One comparison: two functions that do the same."""

    name: str
    reference: Callable[[], object]
    ours: Callable[[], object]


def roi_align_cases() -> Iterator[Case]:
    """RoIAlign over a pyramid: both dtypes, with and without the backward pass."""
    # Whether it pays is what is measured here, so the limits of the fast path are lifted.
    roi_align.MAX_CELLS_TRAINING = roi_align.MAX_CELLS_INFERENCE = 10**9
    roi_align.DTYPES = (torch.float32, torch.bfloat16)
    torch.manual_seed(0)
    for dtype in (torch.bfloat16, torch.float32):
        for training in (True, False):
            for rows, columns in MAP_SIZES:
                maps = {
                    name: torch.randn(IMAGES, CHANNELS, rows >> i, columns >> i, dtype=dtype)
                    .to(memory_format=torch.channels_last)
                    .requires_grad_(training)
                    for i, name in enumerate(LEVELS)
                }
                corner = torch.rand(IMAGES, BOXES, 2) * torch.tensor([3.2 * columns, 3.2 * rows])
                size = 20 + 60 * torch.rand(IMAGES, BOXES, 2)
                boxes = list(torch.cat([corner, corner + size], dim=2))
                shapes = [(4 * rows, 4 * columns)] * IMAGES

                def run(pool: MultiScaleRoIAlign, maps=maps, boxes=boxes, shapes=shapes) -> None:  # noqa: ANN001
                    with (
                        torch.set_grad_enabled(maps["0"].requires_grad),
                        torch.autocast(
                            "cpu", torch.bfloat16, enabled=maps["0"].dtype == torch.bfloat16
                        ),
                    ):
                        out = pool(maps, boxes, shapes)
                    if out.requires_grad:
                        out.float().sum().backward()

                kinds = (MultiScaleRoIAlign, roi_align.MatmulRoIAlign)
                reference, ours = (kind(LEVELS, BINS, 2) for kind in kinds)
                what = "training" if training else "inference"
                name = f"roi-align {str(dtype)[6:]} {what} {rows * columns} cells"
                yield Case(
                    name, lambda run=run, r=reference: run(r), lambda run=run, o=ours: run(o)
                )


def mask_cases() -> Iterator[Case]:
    """Target masks on their way from the outline to the mask targets of the RoIs, at full size as
    torchvision has it and cut to their boxes: rasterised, resized as the model does, projected."""
    rng = np.random.default_rng(0)
    for objects in OBJECTS:
        record = drawn_record(rng, objects)

        def run(compact: bool, record: ImageRecord = record) -> Tensor:
            if compact:
                masks = record_target(record, compact_masks=True)["masks"]
            else:
                masks = torch.from_numpy(instance_masks(record))
            image, boxes = torch.zeros(3, *PICTURE), record_boxes(record)
            transform = GeneralizedRCNNTransform(800, 1333, [0.0] * 3, [1.0] * 3)
            target = transform([image], [{"boxes": boxes, "masks": masks}])[1][0]
            numbers = torch.arange(ROIS) % len(boxes)
            return project_masks_on_boxes(target["masks"], target["boxes"][numbers], numbers, 28)

        yield Case(
            f"masks {objects} objects", lambda run=run: run(False), lambda run=run: run(True)
        )


def drawn_record(rng: np.random.Generator, objects: int) -> ImageRecord:
    """An image with that many ellipses, which may overlap."""
    height, width = PICTURE
    instances = []
    for _ in range(objects):
        rx, ry = rng.uniform(10, 60, 2)
        outline = ellipse(rng.uniform(rx, width - rx), rng.uniform(ry, height - ry), rx, ry)
        instance = measure_outline([outline], (width, height), "drawn")
        instances += [instance] if instance else []
    return ImageRecord(1, Path("drawn.png"), width, height, tuple(instances))


def record_boxes(record: ImageRecord) -> Tensor:
    """The boxes of all objects, float32 (N, 4) xyxy."""
    boxes = torch.tensor([instance.bbox for instance in record.instances])
    boxes[:, 2:] += boxes[:, :2]
    return boxes.float()


SUITES = {"roi-align": roi_align_cases, "masks": mask_cases}


def measure(case: Case, rounds: int) -> dict[str, str | float]:
    """Median seconds of both, alternating, after one warm-up each."""
    seconds: dict[str, list[float]] = {"reference_s": [], "ours_s": []}
    for number in range(rounds + 1):
        for key, function in (("reference_s", case.reference), ("ours_s", case.ours)):
            start = time.perf_counter()
            function()
            if number:
                seconds[key].append(time.perf_counter() - start)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    return {"name": case.name, **medians, "ratio": medians["reference_s"] / medians["ours_s"]}


def show(result: dict[str, Any]) -> None:
    print("{name:45} reference {reference_s:.3f} s  ours {ours_s:.3f} s  {ratio:.2f}x"
          .format(**result), flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=(*SUITES, "evaluate", "predict", "all"))
    parser.add_argument("--rounds", type=int, default=5, help="of evaluate: blocks of images")
    parser.add_argument("--images", type=int, help="of evaluate (1000) and of predict (6)")
    parser.add_argument("--weights", type=Path, help="of predict; random ones by default")
    parser.add_argument("--source", type=Path, help="of predict: a folder of pictures")
    parser.add_argument("--detections", type=int, default=50, help="of evaluate: in each image")
    parser.add_argument("--classes", type=int, default=80, help="of evaluate")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    args = parser.parse_args()

    results, difference = [], 0.0
    if args.suite in ("predict", "all"):  # first: it measures the memory of processes of its own
        results += prediction_benchmark.compare(
            args.weights, args.source, args.images or 6, args.rounds
        )
        show(results[-1])
        print("most memory: reference {reference_mb:.0f} MB, ours {ours_mb:.0f} MB"
              .format(**results[-1]))  # fmt: skip
    for name, cases in SUITES.items():
        for case in cases() if args.suite in (name, "all") else ():
            results.append(measure(case, args.rounds))
            show(results[-1])
    if args.suite in ("evaluate", "all"):
        parts, difference = evaluation_benchmark.compare(
            args.images or 1000, args.detections, args.classes, args.rounds
        )
        for part in parts:
            show(part)
        print(f"largest difference of a metric: {difference:.1e}")
        results += parts
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if difference >= TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    main()
