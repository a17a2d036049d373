"""What a run says of itself before its first step and after its last, and the records of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.config import TrainConfig, to_dict
from utils.open_data import TrainingData
from utils.report.outputs import REPORT
from utils.training.checkpoint import BEST, Checkpoints
from utils.training.run_folder import RunFolder
from utils.training.stages import Stage
from utils.training.state import TrainingState
from utils.training.text_log import log


def announce(
    config: TrainConfig,
    folder: RunFolder,
    data: TrainingData,
    machine: dict[str, Any],
    notes: Sequence[str],
) -> None:
    """Write down and say what is about to happen; ``machine`` is the run's ``environment``."""
    folder.write_json("args.json", to_dict(config))
    folder.write_json("environment.json", machine)
    folder.write_json("split.json", data.split.to_dict())
    log.info("run %s: %s", folder.name, folder.record)
    for name, part in (("training", data.train.data), ("held out", data.val.data)):
        log.info("%s: %s", name, "\n  ".join([part.summary(), *part.notes]))
    log.info(
        "network %s, input %d to %d px, %s on %s",
        config.arch, config.min_size, config.max_size, machine["precision"], machine["device"],
    )  # fmt: skip
    for note in (*data.notes, *notes):
        log.info("%s", note)


def announce_resumed(
    path: Path, state: TrainingState, batches: int, stages: Sequence[Stage]
) -> None:
    """Say where in the run, of so many batches an epoch, the saved state of ``path`` is."""
    epochs = sum(stage.epochs for stage in stages)
    if state.epoch < epochs:
        log.info("going on with epoch %d after %d of its %d batches, as saved in %s",
                 state.epoch + 1, state.batches, batches, path)  # fmt: skip
        return
    more = "longer --stages train" if len(stages) > 1 else f"--epochs {epochs + 10} trains"
    log.info("this run is finished, all %d epochs of it, as saved in %s; %s it further",
             epochs, path, more)  # fmt: skip


def say_goodbye(folder: RunFolder, checkpoints: Checkpoints) -> None:
    """Say where everything is and what to run next."""
    best = folder.weights / BEST
    root = ["--output-root", str(folder.root)] if folder.root.resolve() != Path.cwd() else []
    test = shlex.join(["python", "test.py", "--weights", str(best), *root])
    predict = shlex.join(["python", "predict.py", "--weights", str(best), *root])
    score = "undefined (no labelled object was held out)"
    if checkpoints.best is not None:
        score = f"{checkpoints.best:.3f}"
    log.info("done. Best segm AP %s in epoch %d: %s", score, checkpoints.best_epoch + 1, best)
    if (page := folder.record / REPORT).exists():
        log.info("how good that is, and what goes wrong: %s", page)
    log.info("curves and pictures: %s (%s)", folder.record,
             shlex.join(["tensorboard", "--logdir", str(folder.record.parent)]))  # fmt: skip
    log.info("next: %s\n      %s", test, predict)
