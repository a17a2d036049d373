"""The archives that PyTorch's formats are: zip files with checksums, the card among the entries."""

from __future__ import annotations

import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from nets.weights_file import WeightsError
from utils.export.card import KEY, ModelCard, read_card
from utils.export.session import reading

CARD = f"/extra/{KEY}"  # behind the archive's own name; where PyTorch puts a user's extra files
ADVICE = "copy it again, else export it again, with the PyTorch that is to run it"
COMPILED = "/data/aotinductor/"


class TorchArchive(NamedTuple):
    """What is known of one without loading the network.

    Attributes:
        card: what it knows of itself.
        is_compiled: whether it holds machine code.
    """

    card: ModelCard
    is_compiled: bool


def read_archive(path: Path) -> TorchArchive:
    """Look into a ``.pt2`` or TorchScript file; nothing in it is run.

    Raises:
        WeightsError: it is damaged, or none of ``tools.export``.
    """
    with open(path, "rb") as file, reading_network(path), zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        bad_entry = archive.testzip()
        text = next((archive.read(name) for name in names if name.endswith(CARD)), b"")
        card = text.decode()
    if bad_entry:
        raise WeightsError(
            f"{path}: checksum of {bad_entry} is wrong; the file is damaged, copy it again"
        )
    return TorchArchive(read_card(path, card), any(COMPILED in name for name in names))


def reading_network(path: Path) -> AbstractContextManager[None]:
    """``reading`` a file of PyTorch."""
    return reading(path, "network", ADVICE)
