"""See inside: what an image is to a network, step by step, and why an object was missed.

    python -m tools.inspect all --weights best.pth --data my_folder --image 3
    python -m tools.inspect anchors --image photo.png
    python -m tools.inspect weights --start coco
    python -m tools.inspect explain 3              # what became of each object
    python -m tools.inspect explain 3 --missed 1   # why the first of those not found was missed

Writes PNG pictures, page.html, which tells the story in order, and TensorBoard events. The parts
are data, anchors, proposals, targets, heads, activations and weights; ``explain --help`` shows the
options of explain.
"""

from __future__ import annotations

import sys

from utils.command_line import parse
from utils.inspection.config import EXPLAIN, ExplainConfig, InspectConfig, SubjectConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings: SubjectConfig
    if sys.argv[1:2] == [EXPLAIN]:
        settings = parse(ExplainConfig, sys.argv[2:], __doc__)
    else:
        settings = parse(InspectConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from utils.data.images import limit_pixels
from utils.exit_codes import run
from utils.folders import new_folder, safe_name
from utils.inspection.chapter import Chapter
from utils.inspection.chapters.explanation import explanation_chapter, explanation_lines
from utils.inspection.outputs import write_inspection
from utils.inspection.story import open_story
from utils.inspection.subject import Subject, open_subject
from utils.inspection.trained_network import TrainedNetwork
from utils.memory import keep_freed_memory
from utils.weights_lookup import run_name


def main(config: SubjectConfig) -> None:
    limit_pixels(config.max_pixels)
    if isinstance(config, ExplainConfig):
        explain(config)
    elif isinstance(config, InspectConfig):
        inspect(config)


def inspect(config: InspectConfig) -> None:
    network, story = open_story(config)
    announce(network)
    with folder_of(config, network) as folder:
        chapters = []
        for chapter in story:
            print(f"{chapter.name}: {len(chapter.figures)} pictures")
            chapters.append(chapter)
        for finding in (finding for chapter in chapters for finding in chapter.findings):
            print(f"note: {finding}")
        leave(folder, network, chapters)


def explain(config: ExplainConfig) -> None:
    subject = open_subject(config, config.image)
    announce(subject)
    chapter = explanation_chapter(subject, config.object, config.missed)
    print("\n".join(explanation_lines(chapter)))
    with folder_of(config, subject) as folder:
        leave(folder, subject, [chapter])


def announce(network: TrainedNetwork) -> None:
    """Tell what is looked into."""
    keep_freed_memory(network.device)
    print("\n".join(network.about()))


@contextlib.contextmanager
def folder_of(config: SubjectConfig, network: TrainedNetwork) -> Iterator[Path]:
    """A new folder, made before anything is computed for it; gone again if nothing gets into it."""
    place = config.output_root / "runs" / "inspect" / safe_name(run_name(network.path))
    folder = new_folder(config.output or place)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()


def leave(folder: Path, network: TrainedNetwork, chapters: Sequence[Chapter]) -> None:
    """Write page and pictures."""
    title = f"Inside {network.path.name}"
    if isinstance(network, Subject):
        title += f", looking at {network.name}"
    page = write_inspection(folder, title, network.about(), chapters)
    print(f"page: {page} (pictures beside it; tensorboard --logdir {folder.parent})")


if __name__ == "__main__":
    sys.exit(run(main, settings))
