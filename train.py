"""Fine-tune Mask R-CNN.

python train.py                                        # PennFudanPed/ if here, else shapes
python train.py --data my_folder --epochs 20
python train.py --data my_folder --weights none --min-size 320 --max-size 640
CUDA_VISIBLE_DEVICES=0 python train.py --data my_folder
tensorboard --logdir runs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

import nets  # noqa: F401  (before all that needs torchvision: checks that it fits torch)
from nets.initial_weights import (
    PRETRAINED_TRAINABLE_LAYERS,
    load_initial_weights,
    start_options,
)
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile
from utils.config import SHAPES, TrainConfig, parse, to_dict
from utils.data.doctor import check_images
from utils.data.images import READING_RULE, limit_pixels
from utils.data.loader import EpochSampler, eval_loader, train_loader, worker_count
from utils.device import choose_device, choose_precision, describe
from utils.exit_codes import run
from utils.open_data import TrainingData, open_training_data
from utils.training.checkpoint import BEST, EPOCH_PREFIX, Checkpoints, training_state
from utils.training.engine import train_one_epoch
from utils.training.panels import training_panel
from utils.training.recorder import Recorder, log, open_log
from utils.training.run_folder import RunFolder, environment
from utils.training.schedule import build_optimizer, build_schedule
from utils.training.validation import Validation


def main(config: TrainConfig) -> None:
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    torch.manual_seed(config.seed)
    limit_pixels(config.max_pixels)

    data = open_data(config)
    classes = data.train.data.classes
    sampler = EpochSampler(len(data.train), config.seed)
    workers = worker_count(config.workers, device.type)
    pin = device.type == "cuda"
    train_batches = train_loader(data.train, sampler, config.batch_size, workers, pin)
    val_batches = eval_loader(data.val, workers, pin)

    options = model_options(config)
    trainable = None if config.weights == "none" else PRETRAINED_TRAINABLE_LAYERS
    model = build_model(config.arch, len(classes) + 1, trainable_layers=trainable, **options)
    loaded = load_initial_weights(model, config.arch, config.weights)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, len(train_batches))
    scaler = precision.scaler()

    folder = RunFolder.create(config.output_root, config.name or Path(config.data).resolve().name)
    open_log(folder.log)
    describe_run(config, folder, data, environment(describe(device), precision.name), str(loaded))
    checkpoints = Checkpoints(folder.weights, config.keep)
    validation = Validation(data.val, val_batches, precision)
    with Recorder(folder, classes, config.epochs, len(train_batches)) as recorder:
        recorder.text("settings", json.dumps(to_dict(config), indent=2))
        recorder.picture("train/batch0", training_panel(data.train, sampler), "train_batch0.jpg")
        recorder.picture("val/labels", validation.panels.labels(), "val_gt.jpg")
        for epoch in range(config.epochs):
            sampler.epoch = epoch
            recorder.start_epoch(epoch)
            train_one_epoch(
                model, train_batches, optimizer, schedule, precision, scaler, config.clip_norm,
                recorder.step,
            )  # fmt: skip
            val_losses, metrics = validation.run(model)
            recorder.end_epoch(val_losses, metrics)
            weights = WeightsFile(
                config.arch, len(classes) + 1, classes, model.state_dict(), options,
                preprocessing={"reading": READING_RULE}, data=data.description(config.data),
                metrics=metrics, epoch=epoch,
            )  # fmt: skip
            is_best = checkpoints.save(weights, training_state(optimizer, schedule, scaler))
            if is_best:
                folder.write_json("metrics.json", {"epoch": epoch, **metrics})
            found = validation.panels.found()
            recorder.picture("val/predictions", found, "val_pred.jpg" if is_best else None)
    say_goodbye(config, folder, checkpoints)


def open_data(config: TrainConfig) -> TrainingData:
    """Both sides of the split, every image file decoded once so that none fails in the night."""
    data = open_training_data(
        config.data, config.format, config.classes, config.val_data, config.split_file,
        config.epoch_scenes, config.seed, config.debug,
    )  # fmt: skip
    if config.data != SHAPES:
        for part in (data.train.data, data.val.data):
            check_images(part, config.min_size, config.max_size)
    return data


def model_options(config: TrainConfig) -> dict[str, Any]:
    """Keywords of ``build_model`` that belong to the trained network and stay in its file."""
    return {
        **start_options(config.arch, config.weights),
        "min_size": config.min_size,
        "max_size": config.max_size,
        "box_batch_size_per_image": config.rois,
        "rpn_pre_nms_top_n_train": config.proposals,
        "rpn_post_nms_top_n_train": config.proposals,
        "rpn_pre_nms_top_n_test": min(config.proposals, 1000),
        "rpn_post_nms_top_n_test": min(config.proposals, 1000),
    }


def describe_run(
    config: TrainConfig, folder: RunFolder, data: TrainingData, machine: dict[str, Any], loaded: str
) -> None:
    """Write down and say what is about to happen."""
    folder.write_json("args.json", to_dict(config))
    folder.write_json("environment.json", machine)
    folder.write_json("split.json", data.split.to_dict())
    classes = data.train.data.classes
    log.info("run %s: %s", folder.name, folder.record)
    log.info(
        "data %s (%s): %d training and %d held-out images, classes %s",
        config.data, data.train.data.format, len(data.train), len(data.val), ", ".join(classes),
    )  # fmt: skip
    log.info(
        "network %s, input %d to %d px, %s on %s",
        config.arch, config.min_size, config.max_size, machine["precision"], machine["device"],
    )  # fmt: skip
    log.info("%s", loaded)


def say_goodbye(config: TrainConfig, folder: RunFolder, checkpoints: Checkpoints) -> None:
    """Say where everything is and what to run next."""
    newest = f"{EPOCH_PREFIX}{config.epochs - 1}.pth" if config.keep else BEST
    root = "" if config.output_root == Path() else f" --output-root {config.output_root}"
    log.info(
        "done. Best segm AP %.3f in epoch %d: %s\n"
        "curves and pictures: %s (tensorboard --logdir %s)\n"
        "next: python test.py --weights %s\n"
        "      python predict.py --weights %s%s",
        checkpoints.best, checkpoints.best_epoch + 1, folder.weights / BEST, folder.record,
        folder.record.parent, folder.weights / BEST, newest, root,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(run(main, parse(TrainConfig, None, __doc__)))
