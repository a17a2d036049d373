"""Running TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision  # noqa: F401  # its NMS and RoIAlign are in the program

from utils.export.session import Found, Session
from utils.export.sessions.torch_archive import read_archive, reading_network
from utils.export.sessions.torch_tensors import found_of, tensor_of


class TorchScriptSession(Session):
    """A TorchScript file on the CPU. It is a program: only open files that you trust.

    Raises:
        WeightsError: the file is damaged, or none of ``tools.export``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.card = read_archive(path).card
        with reading_network(path), warnings.catch_warnings():  # that it is deprecated
            warnings.simplefilter("ignore")
            self._network = torch.jit.load(path, map_location="cpu")

    @torch.inference_mode()
    def run(self, images: np.ndarray) -> Found:
        return found_of(self._network(tensor_of(images, self.card)))
