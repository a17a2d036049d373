"""The held-out images after each epoch: losses, average precision, and pictures."""

from __future__ import annotations

from collections.abc import Iterable

from torchvision.models.detection import MaskRCNN
from tqdm import tqdm

from my_dataset import InstanceDataset
from nets.contract import Prediction
from nets.weights_file import WeightsFile
from utils.data.loader import Batch
from utils.device import Precision
from utils.evaluation.coco_evaluator import CocoEvaluator, Metrics
from utils.training.engine import evaluate
from utils.training.panels import ValidationPanels


class Validation:
    """One pass over the held-out images that gives everything a run records of them."""

    def __init__(
        self, dataset: InstanceDataset, batches: Iterable[Batch], precision: Precision
    ) -> None:
        self.batches = batches
        self.precision = precision
        self.evaluator = CocoEvaluator(dataset.data)
        self.panels = ValidationPanels(dataset, WeightsFile.score_threshold)

    def run(self, model: MaskRCNN) -> tuple[dict[str, float], Metrics]:
        """The mean losses and the metrics of the model as it is."""

        def take(image_id: int, prediction: Prediction) -> None:
            self.evaluator.process(image_id, prediction)
            self.panels.take(image_id, prediction)

        self.evaluator.reset()
        progress = tqdm(self.batches, "validating", unit="image", leave=False, disable=None)
        losses = evaluate(model, progress, self.precision, take)
        return losses, self.evaluator.evaluate()
