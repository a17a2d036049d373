"""The held-out images after each epoch: losses, average precision, and pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torchvision.models.detection import MaskRCNN
from tqdm import tqdm

from utils.data.instance_dataset import InstanceDataset
from utils.data.loader import Batch
from utils.device import Precision
from utils.evaluation.coco_evaluator import CocoEvaluator, Metrics, metrics_of
from utils.evaluation.judge import Judged, judge, judge_together
from utils.evaluation.matches import Matches
from utils.evaluation.operating_point import choose
from utils.interruption import Interruption
from utils.processes import ALONE, Processes
from utils.training.diverged import DivergedError, shown
from utils.training.panels import ValidationPanels


class Validated(NamedTuple):
    """What a pass came to: mean losses, metrics, and the score thresholds chosen by it."""

    losses: dict[str, float]
    metrics: Metrics
    operating_point: dict[str, Any]


class Validation:
    """One pass over the held-out images that gives everything a run records of them.

    ``batches`` are this process's share of the images. Of the last pass, ``seconds`` is what it
    took and ``matches`` are those of masks, in the first process.
    """

    seconds = 0.0
    matches: Matches | None = None

    def __init__(
        self,
        dataset: InstanceDataset,
        batches: Iterable[Batch],
        precision: Precision,
        processes: Processes = ALONE,
    ) -> None:
        self.batches = batches
        self.precision = precision
        self.processes = processes
        self.evaluator = CocoEvaluator(dataset.data)
        self.panels = ValidationPanels(dataset)

    def run(self, model: MaskRCNN, interruption: Interruption) -> Validated:
        """Judge the model as it is; the result is the same in all processes.

        Raises:
            Stopped: a process was asked to end.
            DivergedError: a mean loss is not finite.
        """
        started = time.perf_counter()
        hidden = None if self.processes.is_first else True
        progress = tqdm(self.batches, "validating", unit="image", leave=False, disable=hidden)
        judged = judge_together(
            judge(model, progress, self.precision), self.processes, lambda: interruption.urged
        )
        # A time limit waits: one shorter than the judging would never be got past.
        interruption.check(self.processes, minds_time=False)
        validated = Validated({}, {}, {})
        if judged is not None:
            self.evaluator.reset()
            for image_id, prediction, _ in judged:
                self.evaluator.process(image_id, prediction)
                self.panels.take(image_id, prediction)
            classes, matches = self.evaluator.data.classes, self.evaluator.matches()
            self.matches = matches["segm"]
            validated = Validated(
                mean_losses(judged),
                metrics_of(matches, classes),
                choose(matches["segm"], classes).to_dict(),
            )
        validated = self.processes.from_first(validated)
        self.seconds = time.perf_counter() - started
        return validated


def mean_losses(judged: Sequence[Judged]) -> dict[str, float]:
    """The mean over images of each loss.

    Raises:
        DivergedError: one is not finite.
    """
    if not judged:
        return {}
    means = {
        name: sum(one.losses[name] for one in judged) / len(judged) for name in judged[0].losses
    }
    if not all(map(math.isfinite, means.values())):
        raise DivergedError(f"the validation loss is not finite ({shown(means)}); lower --lr")
    return means
