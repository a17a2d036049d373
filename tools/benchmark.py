"""Time this project against torchvision's own recipe, turn by turn in one process.

    python -m tools.benchmark train                     # a training step
    python -m tools.benchmark predict --weights best.pth --source photos/
    python -m tools.benchmark export                    # predict, by files of every format
    python -m tools.benchmark evaluate --images 100     # from the network's outputs to AP
    python -m tools.benchmark load                      # from the files to the network's input
    python -m tools.benchmark all --json benchmark.json
    python -m tools.benchmark train --device cuda --batch-size 12

Also parts of the network: roi-align and masks. Prints medians and the ratio of the reference's time
to ours: above 1, ours is faster. On Penn-Fudan where it is there, else on drawn images. Ends with 1
if both evaluations do not give the same numbers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from utils.config import PRECISIONS, ConfigError

# In this order: what measures the memory of processes of its own goes before what needs much.
SUITES = ("train", "predict", "load", "evaluate", "roi-align", "masks", "export")
TOLERANCE = 1e-9  # of a metric
ON_GPU = ("train", "predict", "all")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=(*SUITES, "all"))
    parser.add_argument("--rounds", type=_count, default=5, help="of evaluate: blocks of images")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="train, predict")
    parser.add_argument("--precision", default="auto", choices=("auto", *PRECISIONS),
                        help="of ours, for train, predict and export")  # fmt: skip
    parser.add_argument("--batch-size", type=_count, default=2, help="of train")
    parser.add_argument("--images", type=_count, help="of evaluate (1000), predict and export (6)")
    parser.add_argument(
        "--weights", type=Path, help="of predict and export; random ones by default"
    )
    parser.add_argument("--source", type=Path, help="of predict and export: a folder of pictures")
    parser.add_argument("--detections", type=_count, default=50, help="of evaluate: per image")
    parser.add_argument("--classes", type=_count, default=80, help="of evaluate")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    args = parser.parse_args(arguments)
    if args.device == "cuda" and args.suite not in ON_GPU:
        parser.error(f"--device cuda is for {', '.join(ON_GPU)}; {args.suite} works on the CPU")
    if args.json and not args.json.parent.is_dir():
        parser.error(f"--json {args.json}: there is no folder {args.json.parent}")
    return args


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return count


if __name__ == "__main__":  # before torch is imported, as in train.py
    settings = parse()

import nets.torch_pair  # noqa: F401  # isort: skip  (first, as in train.py and predict.py)

import json
import time

from tools import (
    evaluation_benchmark,
    export_benchmark,
    loading_benchmark,
    part_benchmark,
    prediction_benchmark,
    training_benchmark,
)
from tools.machine import WAYS
from utils.device import choose_device, describe
from utils.memory import keep_freed_memory
from utils.training.run_folder import environment


def results_of(suite: str, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What one suite measures, as it comes."""
    if suite == "train":
        yield from training_benchmark.compare(
            args.rounds, args.batch_size, args.device, args.precision
        )
    elif suite == "predict":
        yield from prediction_benchmark.compare(
            args.weights, args.source, args.images or 6, args.rounds, args.device, args.precision
        )
    elif suite == "load":
        yield from loading_benchmark.compare(args.rounds)
    elif suite == "evaluate":
        yield from evaluation_benchmark.compare(
            args.images or 1000, args.detections, args.classes, args.rounds
        )
    elif suite == "export":
        yield from export_benchmark.compare(
            args.weights, args.source, args.images or 6, args.rounds, args.precision
        )
    else:
        cases = {"roi-align": part_benchmark.roi_align_cases, "masks": part_benchmark.mask_cases}
        yield from part_benchmark.compare(cases[suite](), args.rounds)


def show(result: dict[str, Any]) -> None:
    """One line, and one for each way of what else is known of it."""
    print("{name:45} reference {reference_s:.3f} s  ours {ours_s:.3f} s  {ratio:.2f}x"
          .format(**result))  # fmt: skip
    for way in WAYS:
        facts = {
            "images_per_s": "{:.2f} images/s",
            "share_of_limit": "{:.0%} of what the machine can do",
            "limit_gflops": "which is {:.0f} GFLOP/s",
            "mb": "{:.0f} MB at most",
            "launches": "{} launches a step",
            "synchronisations": "waits {} times a step",
        }
        told = [
            text.format(result[f"{way}_{name}"])
            for name, text in facts.items()
            if f"{way}_{name}" in result
        ]
        if told:
            print(f"    {way}: {', '.join(told)}")
    if "gflop_per_image" in result:
        print("    the network: {gflop_per_image:.0f} GFLOP per image".format(**result))
    if "file_mb" in result:
        print("    the file: {file_mb:.0f} MB, written in {write_s:.0f} s, opened in {open_s:.1f} s"
              .format(**result))  # fmt: skip
    if "difference" in result:
        print("    largest difference of a metric: {difference:.1e}".format(**result))
    sys.stdout.flush()


def main(args: argparse.Namespace) -> None:
    device = choose_device(args.device)
    keep_freed_memory(device)  # as train.py does; the reference has it too
    machine = environment(describe(device), args.precision)
    results: list[dict[str, Any]] = []
    content = {"started": time.strftime("%Y-%m-%d %H:%M"), "machine": machine, "results": results}
    for suite in SUITES if args.suite == "all" else (args.suite,):
        for result in results_of(suite, args):
            show(result)
            results.append(result)
            if args.json:  # each time, so that what was measured is there if the next one fails
                args.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if any(result.get("difference", 0.0) >= TOLERANCE for result in results):
        sys.exit(1)


if __name__ == "__main__":
    try:
        main(settings)
    except (ConfigError, OSError) as error:
        sys.exit(f"error: {error}")
