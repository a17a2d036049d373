"""Writing the graph of ``torch.export``."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from utils.export.card import KEY, ModelCard
from utils.export.program import export_program


def write_torch_export(card: ModelCard, path: Path) -> None:
    """Write the network of ``card.weights`` as a ``.pt2`` file for ``torch.export.load``."""
    program = export_program(card)
    with warnings.catch_warnings():  # about weights that are not on the CPU; they are
        warnings.simplefilter("ignore")
        torch.export.save(program, path, extra_files={KEY: card.to_json()})
