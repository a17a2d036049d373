"""The graph of a trained network, as ``torch.export`` takes it down."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from nets.export_operators import TORCH_OPERATORS, ExportOperators
from nets.exportable import ExportableMaskRCNN
from utils.export.card import ModelCard
from utils.export.network import network_of

# Any would do; they differ from each other and from all sides that mean something in the network.
EXAMPLE_BATCH, EXAMPLE_SIZE = 2, (200, 270)


def exportable(card: ModelCard, operators: ExportOperators = TORCH_OPERATORS) -> ExportableMaskRCNN:
    """The network as it is exported."""
    return ExportableMaskRCNN(network_of(card), paste=card.settings.paste, operators=operators)


def example_images(card: ModelCard) -> Tensor:
    """Images that a file takes; what they show does not matter."""
    batch, size = card.settings.batch or EXAMPLE_BATCH, card.settings.size or EXAMPLE_SIZE
    dtype = torch.uint8 if card.takes_bytes else torch.float32
    return torch.zeros(batch, *size, card.weights.channels, dtype=dtype)


@torch.no_grad()
def export_program(
    card: ModelCard, operators: ExportOperators = TORCH_OPERATORS
) -> ExportedProgram:
    """The graph, for images of the size and number that the card's settings say."""
    any_of_these: dict[int, Dim] = {}
    if card.settings.batch is None:
        any_of_these[0] = Dim("batch")
    if card.settings.size is None:
        any_of_these |= {1: Dim("height"), 2: Dim("width")}
    network = exportable(card, operators)
    with warnings.catch_warnings():  # on what the exporter does inside
        warnings.simplefilter("ignore")
        return torch.export.export(
            network,
            (example_images(card),),
            dynamic_shapes=(any_of_these or None,),
            strict=False,
        )
