"""Running TorchScript."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
import torchvision  # noqa: F401  # its NMS and RoIAlign are in the program

from utils.export.session import Found, Session
from utils.export.sessions.torch_archive import read_archive, unreadable
from utils.export.sessions.torch_tensors import found_of, tensor_of


class TorchScriptSession(Session):
    """A TorchScript file on the CPU; a program in a language of its own, which cannot reach files.

    Raises:
        WeightsError: the file is damaged, or none of ``tools.export``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.card = read_archive(path).card
        try:
            with warnings.catch_warnings():  # that it is deprecated
                warnings.simplefilter("ignore")
                self._network = torch.jit.load(path, map_location="cpu")
        except Exception as error:  # of many kinds, depending on what is wrong
            raise unreadable(path, error) from error

    @torch.inference_mode()
    def run(self, images: np.ndarray) -> Found:
        return found_of(self._network(tensor_of(images, self.card)))
