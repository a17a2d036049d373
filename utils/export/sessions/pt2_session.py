"""Running what ``torch.export`` and AOTInductor write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch._inductor  # not with torch itself
import torchvision  # noqa: F401  # its NMS is in the graph
from torch import Tensor

from utils.export.session import Found, Session
from utils.export.sessions.torch_archive import read_archive, reading_network
from utils.export.sessions.torch_tensors import found_of, tensor_of

Network = Callable[[Tensor], Iterable[Tensor]]
LOGGERS = ("torch.export", "torch._inductor.package.package")  # they tell what is raised anyhow


class Pt2Session(Session):
    """A ``.pt2`` file on the CPU: a graph (``torch.export``) or machine code (AOTInductor).

    Opening it can run code that is in the file, so only open files that you trust: machine code is
    code, and PyTorch reads graphs by unpickling.

    Raises:
        WeightsError: the file is damaged, or none of ``tools.export``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.card, is_compiled = read_archive(path)
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        load = torch._inductor.aoti_load_package if is_compiled else _graph
        with reading_network(path):
            self._network: Network = load(str(path))

    @torch.inference_mode()
    def run(self, images: np.ndarray) -> Found:
        return found_of(self._network(tensor_of(images, self.card)))


def _graph(path: str) -> Network:
    # Its guards say that no feature map is one cell high or wide. That was so in the example; it
    # holds for thin images too.
    return torch.export.load(path).module(check_guards=False)
