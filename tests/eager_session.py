"""An exported file's network that has not been exported: what a file of any settings finds."""

from pathlib import Path

import torch

from utils.export.card import card_of, read_card
from utils.export.formats import ONNX
from utils.export.program import exportable
from utils.export.session import Found, Session
from utils.export.settings import ExportSettings


class EagerSession(Session):
    """Runs the form of a network that is exported, and notes which images it is given; ``change``
    is done to what it finds."""

    def __init__(self, card, change=lambda found: found):
        self.path = Path("model.onnx")
        self.card = read_card(self.path, card.to_json())
        self.network, self.change = exportable(card), change
        self.seen = []

    @torch.inference_mode()
    def run(self, images):
        self.seen.append(images)
        found = self.network(torch.from_numpy(images))
        return self.change(Found(*(one.numpy() for one in found)))


def eager_session(weights, **settings):
    return EagerSession(card_of(weights, ExportSettings(**settings), ONNX))


class FixedSession(Session):
    """Finds the same in each image."""

    def __init__(self, weights, found, **settings):
        self.path = Path("model.onnx")
        places = found.labels.shape[1]
        settings = ExportSettings(max_detections=places, **settings)
        self.card = card_of(weights, settings, ONNX)
        self.found = found
        self.seen = []

    def run(self, images):
        self.seen.append(images)
        return Found(*(one.repeat(len(images), 0) for one in self.found if one is not None))
