"""The story of an image in a network: which chapters there are, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from utils.inspection.chapter import Chapter
from utils.inspection.chapters.activations import activations_chapter
from utils.inspection.chapters.anchors import anchors_chapter
from utils.inspection.chapters.data import data_chapter
from utils.inspection.chapters.heads import heads_chapter
from utils.inspection.chapters.proposals import proposals_chapter
from utils.inspection.chapters.targets import targets_chapter
from utils.inspection.chapters.weights import weights_chapter
from utils.inspection.config import ALL, WEIGHTS, InspectConfig
from utils.inspection.subject import Subject, open_subject
from utils.inspection.trained_network import TrainedNetwork, open_network

# In the order of the data's way; behind them comes the chapter of the weights.
OF_AN_IMAGE: dict[str, Callable[[Subject], Chapter]] = {
    "data": data_chapter,
    "anchors": anchors_chapter,
    "proposals": proposals_chapter,
    "targets": targets_chapter,
    "heads": heads_chapter,
    "activations": activations_chapter,
}


def open_story(config: InspectConfig) -> tuple[TrainedNetwork, Iterator[Chapter]]:
    """What a config wants to be looked into, and the chapters about it, one after the other.

    The weights alone need neither data nor an image.
    """
    if config.what == WEIGHTS:
        network = open_network(config)
        return network, iter([weights_chapter(network, config.start)])
    subject = open_subject(config, config.image)
    return subject, _tell(subject, config)


def _tell(subject: Subject, config: InspectConfig) -> Iterator[Chapter]:
    for name, chapter in OF_AN_IMAGE.items():
        if config.what in (name, ALL):
            yield chapter(subject)
    if config.what == ALL:
        yield weights_chapter(subject, config.start)
