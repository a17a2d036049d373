"""An exported file's network that has not been exported: what a file of any settings finds."""

from pathlib import Path

import torch

from utils.export.program import card_of, exportable
from utils.export.session import Found, Session
from utils.export.settings import ExportSettings


class EagerSession(Session):
    """Runs the form of a network that is exported, and notes which images it is given."""

    def __init__(self, weights, **settings):
        settings = ExportSettings(**settings)
        self.path = Path("model.onnx")
        self.card = card_of(weights, settings, "onnx")
        self.network = exportable(weights, settings)
        self.seen = []

    @torch.inference_mode()
    def run(self, images):
        self.seen.append(images)
        return Found(*(one.numpy() for one in self.network(torch.from_numpy(images))))


class FixedSession(Session):
    """Finds the same in each image."""

    def __init__(self, weights, found, **settings):
        self.path = Path("model.onnx")
        self.card = card_of(weights, ExportSettings(**settings), "onnx")
        self.found = found
        self.seen = []

    def run(self, images):
        self.seen.append(images)
        return Found(*(one.repeat(len(images), 0) for one in self.found if one is not None))
