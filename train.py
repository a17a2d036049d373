"""Fine-tune Mask R-CNN.

python train.py                                        # PennFudanPed/ if here, else shapes
python train.py --data my_folder --epochs 20
python train.py --data my_folder --weights none --min-size 320 --max-size 640
python train.py --resume                               # go on with the newest run
CUDA_VISIBLE_DEVICES=0 python train.py --data my_folder
torchrun --nproc-per-node 2 train.py --data my_folder  # several processes: docs/scaling.md
tensorboard --logdir runs
"""

from __future__ import annotations

from utils.command_line import as_arguments, parse
from utils.config import NEWEST, SHAPES, TrainConfig, to_dict

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(TrainConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import math
import shlex
import sys
import time
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from nets.freezing import train_only
from nets.mask_rcnn import anchor_sizes
from nets.weights_file import WeightsFile, load_weights
from utils.data.images import READING_RULE, limit_pixels
from utils.data.records import DataError, refuse
from utils.device import choose_device, choose_precision, describe, make_deterministic
from utils.doctor.config import CheckConfig
from utils.doctor.examination import check_data
from utils.doctor.findings import headline
from utils.doctor.network_view import NetworkView
from utils.exit_codes import noting_settings, run
from utils.folders import passing_folder
from utils.interruption import Interruption
from utils.memory import keep_freed_memory
from utils.open_data import TrainingData, open_configured
from utils.processes import Processes, start_processes
from utils.training.announcements import announce, announce_resumed, say_goodbye
from utils.training.batch_fit import settle_batch_size
from utils.training.batches import Batches, batches_of
from utils.training.checkpoint import BEST, NO_BEST, Checkpoints, check_space, space_wanted
from utils.training.diverged import keeping_batch
from utils.training.engine import Trainer
from utils.training.final_report import report_best
from utils.training.forecast import Forecast, recorded_step_seconds
from utils.training.keeper import Keeper
from utils.training.network import open_network, reopen_network
from utils.training.panels import augmentation_panel, training_panel
from utils.training.recorder import NoRecorder, Recorder, duration
from utils.training.resume import check_same_data, read_saved_run, resumed_settings
from utils.training.run_folder import RunFolder, environment, open_folder
from utils.training.run_lock import lock_run
from utils.training.schedule import rate_factor
from utils.training.stages import Stage, read_stages, scaled, stage_at
from utils.training.state import go_on_from, start_state
from utils.training.text_log import close_log, log, open_log
from utils.training.validation import Validation

DRY_STEPS, DRY_IMAGES = 2, 2


class Run(NamedTuple):
    """Everything that takes part in a training."""

    config: TrainConfig
    data: TrainingData
    batches: Batches
    stages: tuple[Stage, ...]
    trainer: Trainer
    validation: Validation
    folder: RunFolder
    recorder: Recorder | NoRecorder
    keeper: Keeper
    is_introduced: bool  # its pictures were recorded


def main(config: TrainConfig) -> None:
    device = choose_device(config.device)
    keep_freed_memory(device)
    with Interruption(config.time_limit) as interruption, start_processes(device) as processes:
        if config.dry_run:
            dry_run(config, device, interruption, processes)
        else:
            run = open_run(config, device, processes, config.output_root)
            interruption.limit(run.config.time_limit)
            train(run, interruption)
            report(run, device)
            say_goodbye(run.folder, run.keeper.checkpoints)


def train(run: Run, interruption: Interruption) -> None:
    """Train the epochs that are left, judging and saving after each."""
    trainer, recorder, keeper = run.trainer, run.recorder, run.keeper
    state, processes = trainer.state, trainer.processes
    kept = f"diverged{f'-{processes.rank}' if processes.rank else ''}.pth"
    is_dry = run.config.dry_run
    with (
        interruption.deferred(),
        recorder,
        nullcontext() if is_dry else keeper.saving_when_stopped(),
        keeping_batch(run.data.train.data, None if is_dry else run.folder.record / kept),
        noting_settings(run.config),
    ):
        if not run.is_introduced:
            introduce(run)
        stage = None
        while state.epoch < sum(stage.epochs for stage in run.stages):
            if out_of_patience(run):
                break
            if stage is not stage_at(run.stages, state.epoch):
                stage = stage_at(run.stages, state.epoch)
                train_only(state.model, stage.trains)
                trainer.network = processes.wrap(state.model)
            run.batches.order.epoch, run.batches.order.first = state.epoch, state.batches
            recorder.start_epoch(state.epoch)
            for report in trainer.steps(run.batches.train, run.batches.order.own):
                recorder.step(report)
                keeper.after_step()
                interruption.check(processes)
            validated = run.validation.run(state.judged, interruption)
            is_best = keeper.checkpoints.judge(state.epoch, validated.metrics)
            recorder.end_epoch(validated.losses, validated.metrics, is_best)
            picture = "val_pred.jpg" if is_best else None
            found = partial(run.validation.panels.found, validated.operating_point["thresholds"])
            recorder.picture("val/predictions", found, picture)
            recorder.pr_curves(run.validation.matches, run.data.val.data.classes)
            keeper.end_epoch(validated, is_best)
            interruption.check(processes)


def open_run(config: TrainConfig, device: torch.device, processes: Processes, root: Path) -> Run:
    """A new run in a folder of ``root``, or the one that is resumed, ready for its next step."""
    saved, changes = None, []
    if config.resume is not None:
        saved = processes.from_first(read_saved_run(config) if processes.is_first else None)
        config, changes = resumed_settings(saved, config)
        changes = [*saved.warnings, *changes]
        device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    torch.manual_seed(config.seed)
    make_deterministic(config.deterministic)
    limit_pixels(config.max_pixels)

    data = open_data(config, processes)
    if saved:
        check_same_data(saved, data)
    network = reopen_network(config, saved) if saved else open_network(config, data)
    config = replace(config, freeze=network.freeze)
    model = network.model.to(device, memory_format=precision.memory_format)
    config, fit = settle_batch_size(config, data.train, model, network.stages, precision, processes)
    if config.sync_norm:
        model = processes.with_synchronised_norms(model, device)
    batches = batches_of(config, data, device, processes)
    steps = math.ceil(len(batches.order) / config.accumulate)
    factor, decision = rate_factor(config, processes)
    stages = scaled(network.stages, factor)
    if config.dry_run:
        stages = tuple(replace(stage, epochs=1) for stage in stages)
    state = start_state(
        model, config, stages, precision.scaler(), steps, config.batch_size * processes.count
    )
    if saved:
        go_on_from(state, saved.state, saved.weights.model, config, stages)

    home = replace(config, output_root=root)
    folder = open_folder(home, saved.path if saved else None, processes)
    checkpoints = Checkpoints(folder.weights, config.keep, writes=processes.is_first)
    recorder: Recorder | NoRecorder = NoRecorder()
    if processes.is_first:
        lock_run(folder)
        open_log(folder.log)
        machine = environment(describe(device), precision.name)
        notes = [*network.notes, *fit, *batches.notes, decision, *changes]
        announce(config, folder, data, machine, notes)
        recorded = saved.state["recorded"] if saved else None
        epochs = sum(stage.epochs for stage in stages)
        recorder = Recorder(folder, data.train.data.classes, epochs, steps, recorded)
    if saved:
        has_best = processes.from_first((folder.weights / BEST).exists())  # not if it was moved
        checkpoints.restore(saved.state if has_best else NO_BEST, saved.path)
        announce_resumed(saved.path, state, len(batches.order), stages)
    weights = WeightsFile(
        config.arch, len(data.train.data.classes) + 1, data.train.data.classes, {}, network.options,
        preprocessing={"reading": READING_RULE}, precision=precision.name, data=data.description(),
    )  # fmt: skip
    return Run(
        config, data, batches, stages,
        Trainer(state, precision, config.clip_norm, config.accumulate, config.seed,
                processes),
        Validation(data.val, batches.val, precision, processes),
        folder, recorder,
        Keeper(checkpoints, state, recorder, weights, to_dict(config), config.save_every),
        is_introduced=saved is not None and config.augment == saved.settings.augment,
    )  # fmt: skip


def open_data(config: TrainConfig, processes: Processes) -> TrainingData:
    """Both sides of the split, all that is wrong with them told at once and before the night."""
    problems: list[str] = []
    try:
        data = open_configured(config, problems)
    except DataError as error:
        if not problems:
            raise
        refuse(list(dict.fromkeys([*problems, *error.problems])), config.data)
    if config.data != SHAPES and processes.is_first:  # one look at every picture is enough
        view = NetworkView(
            config.min_size, config.max_size, anchor_sizes(config.arch), config.channels
        )
        parts = {"train": data.train.data, "val": data.val.data}
        if line := headline(check_data(parts, problems, view)):
            check = ["python", "-m", "tools.check", config.data, *as_arguments(config, CheckConfig)]
            print(f"data: {line}; {shlex.join(check)} lists them")
    return data.shortened(DRY_IMAGES) if config.dry_run else data


def report(run: Run, device: torch.device) -> None:
    """Judge the best weights once more, and leave a page about them."""
    report_best(
        run.folder, run.data.val, run.batches.val, device, run.trainer.precision,
        run.trainer.processes, run.config.reference,
    )  # fmt: skip


def introduce(run: Run) -> None:
    """Record the settings and the pictures that are there before the first step."""
    recorder, data = run.recorder, run.data
    recorder.settings(run.config)
    panel = partial(training_panel, data.train, run.batches.order)
    recorder.picture("train/batch0", panel, "train_batch0.jpg")
    panel = partial(augmentation_panel, data.train)
    recorder.picture("train/augmentation", panel, "augmentation.jpg")
    recorder.picture("val/labels", run.validation.panels.labels, "val_gt.jpg")


def out_of_patience(run: Run) -> bool:
    """Whether too many epochs went by without a better one."""
    patience, best = run.config.patience, run.keeper.checkpoints.best_epoch
    if not patience or run.trainer.state.epoch - 1 - best < patience:
        return False
    log.info("no better segm AP in %d epochs, since epoch %d: stopping", patience, best + 1)
    return True


def dry_run(
    config: TrainConfig, device: torch.device, interruption: Interruption, processes: Processes
) -> None:
    """All that a run does, with two steps per stage and two held-out images, in a folder that is
    removed."""
    started = time.monotonic()
    with ExitStack() as stack:
        root = config.output_root
        if processes.is_first:
            root = stack.enter_context(passing_folder(root, "dry-run-"))
            stack.callback(close_log)
        short = replace(config, steps_per_epoch=DRY_STEPS * config.accumulate)
        run = open_run(short, device, processes, root)
        train(run, interruption)
        report(run, device)
        if not processes.is_first:
            return
        tried = replace(short, output_root=root, dry_run=False, resume=NEWEST)
        read_saved_run(tried).weights.build()
        load_weights(run.folder.weights / BEST).build()
        expected = forecast(run, config.steps_per_epoch, device)
        wanted = space_wanted(run.folder.weights, config.keep)
    check_space(config.output_root, wanted)
    steps = run.trainer.state.step
    log.info("dry run: %d training steps, judging, saving, loading and TensorBoard work (%s); "
             "nothing is left of it\n%s",
             steps, duration(time.monotonic() - started), expected)  # fmt: skip


def forecast(run: Run, steps_per_epoch: int, device: torch.device) -> Forecast:
    """How long the run would be that a dry one was of."""
    config, processes = replace(run.config, steps_per_epoch=steps_per_epoch), run.trainer.processes
    batches = len(batches_of(config, run.data, device, processes).order)
    images = config.batch_size * config.accumulate * processes.count
    held_out = math.ceil(len(run.data.split.val) / processes.count)
    return Forecast(
        read_stages(config, config.freeze),
        recorded_step_seconds(run.folder.record, images, DRY_STEPS),
        run.validation.seconds / len(run.batches.val),
        math.ceil(batches / config.accumulate),
        images,
        held_out,
    )


if __name__ == "__main__":
    sys.exit(run(main, settings))
