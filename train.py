"""Fine-tune Mask R-CNN.

python train.py                                        # PennFudanPed/ if here, else shapes
python train.py --data my_folder --epochs 20
python train.py --data my_folder --weights none --min-size 320 --max-size 640
CUDA_VISIBLE_DEVICES=0 python train.py --data my_folder
tensorboard --logdir runs
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import nets  # noqa: F401  (before all that needs torchvision: checks that it fits torch)
from nets.initial_weights import KINDS, InitialWeights, read_initial_weights
from nets.mask_rcnn import anchor_sizes, build_model
from nets.weights_file import WeightsFile
from tools.check import CheckConfig
from utils.command_line import as_arguments, parse
from utils.config import SHAPES, TrainConfig, to_dict
from utils.data.images import READING_RULE, limit_pixels
from utils.data.loader import EpochSampler, eval_loader, train_loader, worker_count
from utils.data.records import DataError, refuse
from utils.device import choose_device, choose_precision, describe
from utils.doctor.examination import check_data
from utils.doctor.findings import headline
from utils.doctor.network_view import NetworkView
from utils.exit_codes import run
from utils.open_data import TrainingData, open_configured
from utils.training.checkpoint import BEST, Checkpoints, training_state
from utils.training.engine import seed_epoch, train_one_epoch
from utils.training.panels import training_panel
from utils.training.recorder import Recorder, log, open_log
from utils.training.run_folder import RunFolder, environment
from utils.training.schedule import build_optimizer, build_schedule
from utils.training.validation import Validation
from utils.weights_lookup import find_weights


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

    initial = open_weights(config)
    options = {**initial.options, **network_options(config)}
    model = build_model(
        config.arch, len(classes) + 1, trainable_layers=initial.trainable_layers, **options
    )
    loaded = initial.load_into(model)
    model = model.to(device, memory_format=precision.memory_format)
    optimizer = build_optimizer(model, config)
    schedule = build_schedule(optimizer, config, len(train_batches))
    scaler = precision.scaler()

    folder = RunFolder.create(config.output_root, config.name or Path(config.data).resolve().name)
    open_log(folder.log)
    describe_run(config, folder, data, environment(describe(device), precision.name), str(loaded))
    checkpoints = Checkpoints(folder.weights, config.keep)
    validation = Validation(data.val, val_batches, precision)
    description = data.description()
    with Recorder(folder, classes, config.epochs, len(train_batches)) as recorder:
        recorder.text("settings", json.dumps(to_dict(config), indent=2))
        recorder.picture("train/batch0", training_panel(data.train, sampler), "train_batch0.jpg")
        recorder.picture("val/labels", validation.panels.labels(), "val_gt.jpg")
        for epoch in range(config.epochs):
            seed_epoch(config.seed, epoch)
            sampler.epoch = epoch
            recorder.start_epoch(epoch)
            train_one_epoch(
                model, train_batches, optimizer, schedule, precision, scaler,
                clip_norm=config.clip_norm, on_step=recorder.step,
            )  # fmt: skip
            val_losses, metrics = validation.run(model)
            recorder.end_epoch(val_losses, metrics)
            weights = WeightsFile(
                config.arch, len(classes) + 1, classes, model.state_dict(), options,
                preprocessing={"reading": READING_RULE}, precision=precision.name,
                data=description, metrics=metrics, epoch=epoch,
            )  # fmt: skip
            state = training_state(optimizer, schedule, scaler, to_dict(config))
            is_best = checkpoints.save(weights, state)
            if is_best:
                folder.write_json("metrics.json", metrics)
            found = validation.panels.found()
            recorder.picture("val/predictions", found, "val_pred.jpg" if is_best else None)
    say_goodbye(config, folder, checkpoints)


def open_data(config: TrainConfig) -> TrainingData:
    """Both sides of the split, all that is wrong with them told at once and before the night."""
    problems: list[str] = []
    try:
        data = open_configured(config, problems)
    except DataError as error:
        if not problems:
            raise
        refuse([*problems, *error.problems], config.data)
    if config.data != SHAPES:
        view = NetworkView(config.min_size, config.max_size, anchor_sizes(config.arch))
        parts = {"train": data.train.data, "val": data.val.data}
        if line := headline(check_data(parts, problems, view)):
            check = ["python", "-m", "tools.check", config.data, *as_arguments(config, CheckConfig)]
            print(f"data: {line}; {shlex.join(check)} lists them")
    return data


def open_weights(config: TrainConfig) -> InitialWeights:
    """The tensors to start from; a file is found by name as in the other commands."""
    name = config.weights
    if name not in KINDS:
        name = str(find_weights(name, config.output_root))
    return read_initial_weights(config.arch, name)


def network_options(config: TrainConfig) -> dict[str, Any]:
    """Keywords of ``build_model`` that belong to the trained network and stay in its file."""
    return {
        "min_size": config.min_size,
        "max_size": config.max_size,
        "box_batch_size_per_image": config.rois,
        "rpn_pre_nms_top_n_train": config.proposals,
        "rpn_post_nms_top_n_train": config.proposals,
        "rpn_pre_nms_top_n_test": config.proposals // 2 or 1,
        "rpn_post_nms_top_n_test": config.proposals // 2 or 1,
    }


def describe_run(
    config: TrainConfig, folder: RunFolder, data: TrainingData, machine: dict[str, Any], loaded: str
) -> None:
    """Write down and say what is about to happen."""
    folder.write_json("args.json", to_dict(config))
    folder.write_json("environment.json", machine)
    folder.write_json("split.json", data.split.to_dict())
    log.info("run %s: %s", folder.name, folder.record)
    for name, part in (("training", data.train.data), ("held out", data.val.data)):
        log.info("%s: %s", name, "\n  ".join([part.summary(), *part.notes]))
    for note in data.notes:
        log.info("%s", note)
    log.info(
        "network %s, input %d to %d px, %s on %s",
        config.arch, config.min_size, config.max_size, machine["precision"], machine["device"],
    )  # fmt: skip
    log.info("%s", loaded)


def say_goodbye(config: TrainConfig, folder: RunFolder, checkpoints: Checkpoints) -> None:
    """Say where everything is and what to run next."""
    best = folder.weights / BEST
    root = []
    if config.output_root != Path():
        root = ["--output-root", str(config.output_root)]
    test = shlex.join(["python", "test.py", "--weights", str(best), *root])
    predict = shlex.join(["python", "predict.py", "--weights", str(best), *root])
    score = "undefined (no labelled object was held out)"
    if checkpoints.best is not None:
        score = f"{checkpoints.best:.3f}"
    log.info("done. Best segm AP %s in epoch %d: %s", score, checkpoints.best_epoch + 1, best)
    log.info("curves and pictures: %s (%s)", folder.record,
             shlex.join(["tensorboard", "--logdir", str(folder.record.parent)]))  # fmt: skip
    log.info("next: %s\n      %s", test, predict)


if __name__ == "__main__":
    sys.exit(run(main, parse(TrainConfig, None, __doc__)))
