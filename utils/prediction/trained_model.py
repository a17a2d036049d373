"""A trained model as it lies in a file: a weights file, or one that ``tools.export`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from nets.weights_file import WeightsFile, load_weights, renamed
from utils.config import ConfigError
from utils.device import Precision, choose_device, choose_precision
from utils.export.card import ModelCard
from utils.export.formats import FORMATS
from utils.export.open_session import is_exported, open_session
from utils.export.session import Session


class TrainedModel(NamedTuple):
    """What such a file holds.

    Attributes:
        path: of the file.
        weights: what is known of the network; without its tensors if there is a session.
        session: what runs the network, if the file is an exported one.
    """

    path: Path
    weights: WeightsFile
    session: Session | None = None

    def place(
        self, device: str = "auto", precision: str = "auto", reference: bool = False
    ) -> tuple[torch.device, Precision]:
        """Where it computes, and in which number format; an exported file on the CPU, in its own.

        Raises:
            ConfigError: it cannot be had there, or so.
        """
        if self.session is None:
            on = choose_device(device)
            return on, choose_precision(precision, on, self.weights.precision)
        format = self.session.card.format
        formats = ("auto",) if FORMATS[format].is_int8 else ("auto", "fp32")
        for flag, is_possible in (
            (f"--device {device}", device in ("auto", "cpu")),
            (f"--precision {precision}", precision in formats),
            ("--reference", not reference),
        ):
            if not is_possible:
                raise ConfigError(
                    f"{flag}: {self.path} is an exported file ({format}), which runs on the CPU "
                    "as it was written; leave it out, or give the weights (.pth) themselves"
                )
        return torch.device("cpu"), Precision("fp32", "cpu")

    def limits(self, max_dets: int = 0) -> list[str]:
        """What an exported file leaves out that its weights give: notes for who looks at results
        of which so many detections count, per image."""
        if self.session is None:
            return []
        card, notes = self.session.card, []
        if card.settings.score_threshold is not None:
            notes.append(
                f"{self.path} was exported to give nothing with a score below "
                f"{card.score_threshold:g}; thresholds and AP are about what is above"
            )
        if max_dets > card.detections:
            notes.append(
                f"{self.path} gives at most {card.detections} detections of an image, where "
                f"{max_dets} count; export it with --max-detections {max_dets} to compare its AP "
                "with that of weights"
            )
        return notes

    def about(self, device: torch.device, precision: Precision) -> str:
        """What it is and where it runs, in a line."""
        how = self.session.card.format if self.session else precision.name
        return f"{self.path} ({self.weights.arch}), {how} on {device.type}"


def open_model(path: Path, classes: tuple[str, ...] = ()) -> TrainedModel:
    """Read a weights file, or open an exported one.

    Args:
        path: the file.
        classes: names in label order, instead of the file's.

    Raises:
        WeightsError: missing, damaged, or of another program; or with another number of classes.
        ConfigError: what runs it is not installed.
    """
    if not is_exported(path):
        return TrainedModel(path, load_weights(path, classes))
    session = open_session(path)
    weights = _with_thresholds_of(session.card)
    return TrainedModel(path, renamed(path, weights, classes) if classes else weights, session)


def _with_thresholds_of(card: ModelCard) -> WeightsFile:
    """The weights; no class has a threshold below the file's, as nothing below it is found."""

    def raised(thresholds: Sequence[float]) -> list[float]:
        return [max(threshold, card.score_threshold) for threshold in thresholds]

    weights, point = card.weights, card.weights.operating_point
    if point:
        point = {**point, "thresholds": raised(point["thresholds"])}
    (least,) = raised([weights.score_threshold])
    return replace(weights, score_threshold=least, operating_point=point)
