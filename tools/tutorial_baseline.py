"""What torchvision's fine-tuning tutorial reaches on the same split in the same time.

    python -m tools.tutorial_baseline --data PennFudanPed --split-file runs/NAME/split.json \\
        --seconds 900 --min-size 320 --max-size 640

The model and the loop are the tutorial's: ``maskrcnn_resnet50_fpn`` in float32 from random weights,
SGD 0.005 with momentum 0.9, a tenth every 3 epochs, linear warm-up in the first epoch, batches of
2, horizontal flips. Only reading the images and the COCO evaluation are this project's.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import torch
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn

from utils.data.epoch_batches import EpochBatches
from utils.data.loader import eval_loader, to_device, train_loader
from utils.device import Precision
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.judge import judge
from utils.evaluation.table import metrics_table
from utils.open_data import TrainingData, open_training_data


def train_for(model: MaskRCNN, data: TrainingData, seconds: float, device: torch.device) -> int:
    """The tutorial's loop until the time is over; returns the number of steps."""
    order = EpochBatches(len(data.train), batch_size=2, seed=0)
    batches = train_loader(data.train, order, workers=0, pin_memory=False, timeout=0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.005, momentum=0.9, weight_decay=0.0005)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.1)
    model.train()
    steps, start = 0, time.perf_counter()
    for epoch in itertools.count():
        order.epoch = epoch
        warmup = min(1000, len(batches) - 1) if epoch == 0 else 0
        if warmup:
            ramp = torch.optim.lr_scheduler.LinearLR(optimizer, 0.001, total_iters=warmup)
        for images, targets in batches:
            images, moved = to_device(images, targets, device)  # noqa: PLW2901
            loss = sum(model(images, moved).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if steps < warmup:
                ramp.step()
            steps += 1
            if time.perf_counter() - start > seconds:
                return steps
        print(f"epoch {epoch + 1}: {steps} steps, {time.perf_counter() - start:.0f} s, "
              f"loss {loss.item():.3f}, "
              f"learning rate {schedule.get_last_lr()[0]:.1e}", flush=True)  # fmt: skip
        schedule.step()
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--split-file", type=Path)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--min-size", type=int, default=800)
    parser.add_argument("--max-size", type=int, default=1333)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    data = open_training_data(args.data, split_file=args.split_file)
    classes = data.train.data.classes
    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=len(classes) + 1,
        min_size=args.min_size, max_size=args.max_size,
    ).to(device)  # fmt: skip
    steps = train_for(model, data, args.seconds, device)
    print(f"{steps} steps in {args.seconds:.0f} s")
    evaluator = CocoEvaluator(data.val.data)
    batches = eval_loader(data.val, workers=0, pin_memory=False, timeout=0)
    for found in judge(model, batches, Precision("fp32", device.type), with_losses=False):
        evaluator.process(found.image_id, found.prediction)
    print(metrics_table(evaluator.evaluate(), classes))


if __name__ == "__main__":
    main()
