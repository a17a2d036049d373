"""What ``--classes`` means to predict.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nets.weights_file import WeightsFile, load_weights


def load_wanted(path: Path, names: Sequence[str]) -> tuple[WeightsFile, tuple[str, ...]]:
    """The weights, and which of their classes to look for (none: all).

    Names that the weights know choose classes. Others are the names of all classes, in label order,
    as a plain ``state_dict`` has none.

    Raises:
        WeightsError: the file is none; or the names are neither, which says what the weights know.
    """
    weights = load_weights(path)
    if set(names) & set(weights.classes):
        return weights, tuple(names)
    return load_weights(path, tuple(names)), ()
