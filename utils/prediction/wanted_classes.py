"""What ``--classes`` means to predict.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nets.weights_file import nameless, renamed
from utils.config import ConfigError
from utils.prediction.trained_model import TrainedModel, open_model


def load_wanted(path: Path, names: Sequence[str]) -> tuple[TrainedModel, tuple[str, ...]]:
    """The model, and which of its classes to look for (none: all).

    Names choose among those that the weights know. A plain ``state_dict`` knows none, so they are
    the names of all its classes, in label order.

    Raises:
        WeightsError: the file is none, or has no names and another number of classes.
        ConfigError: the weights know no such class; or what runs the file is not installed.
    """
    model = open_model(path)
    weights = model.weights
    unknown = [name for name in names if name not in weights.classes]
    if unknown and weights.classes == nameless(len(weights.classes)):
        return model._replace(weights=renamed(path, weights, tuple(names))), ()
    if unknown:
        known = ", ".join(weights.classes)
        raise ConfigError(f"--classes: the weights know no {unknown[0]!r}; they know {known}")
    return model, tuple(names)
