"""A weights file and its network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.models.detection import MaskRCNN

from nets.weights_file import WeightsFile, load_weights
from utils.data.images import check_reading_rule
from utils.device import Precision, choose_device, choose_precision
from utils.inspection.config import SubjectConfig
from utils.weights_lookup import find_weights


@dataclass(frozen=True, repr=False)
class TrainedNetwork:
    """A network with its weights.

    Attributes:
        path: of the weights file.
        weights: as read.
        model: their network, in evaluation mode.
        precision: that it computes in.
    """

    path: Path
    weights: WeightsFile
    model: MaskRCNN
    precision: Precision

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in label order, label 1 first."""
        return self.weights.classes

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    def about(self) -> list[str]:
        """What is looked into, a line for each thing."""
        return [
            f"weights: {self.path} ({self.weights.arch}, classes {', '.join(self.classes)}), "
            f"{self.precision.name} on {self.device.type}"
        ]


def open_network(config: SubjectConfig) -> TrainedNetwork:
    """Open the weights file that a config names.

    Raises:
        WeightsError: no such weights, or damaged.
        ConfigError: the device or the number format is not there.
    """
    path = find_weights(config.weights, config.output_root)
    weights = load_weights(path, config.classes)
    check_reading_rule(weights.preprocessing)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device, weights.precision)
    model = weights.build(config.reference).to(device, memory_format=precision.memory_format)
    return TrainedNetwork(path, weights, model, precision)
