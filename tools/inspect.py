"""See inside: what an image is to a network, step by step, and why an object was missed.

    python -m tools.inspect all --weights best.pth --data my_folder --image 3
    python -m tools.inspect anchors --image photo.png
    python -m tools.inspect weights --start coco
    python -m tools.inspect explain photo.png              # what became of each object
    python -m tools.inspect explain photo.png --missed 1   # why the first of the missed was missed

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

from collections.abc import Sequence

from utils.data.images import limit_pixels
from utils.exit_codes import run
from utils.folders import new_folder, safe_name
from utils.inspection.chapter import Chapter
from utils.inspection.chapters.explanation import explanation_chapter
from utils.inspection.outputs import write_inspection
from utils.inspection.story import about, tell
from utils.inspection.subject import Subject, open_subject
from utils.memory import keep_freed_memory
from utils.weights_lookup import run_name


def main(config: SubjectConfig) -> None:
    if isinstance(config, ExplainConfig):
        explain(config)
    elif isinstance(config, InspectConfig):
        inspect(config)


def inspect(config: InspectConfig) -> None:
    subject = opened(config, config.image)
    chapters = []
    for chapter in tell(subject, config.what, config.start):
        print(f"{chapter.name}: {len(chapter.figures)} pictures")
        chapters.append(chapter)
    for finding in (finding for chapter in chapters for finding in chapter.findings):
        print(f"note: {finding}")
    leave(config, subject, f"Inside {subject.path.name}, looking at {subject.name}", chapters)


def explain(config: ExplainConfig) -> None:
    subject = opened(config, config.image)
    chapter = explanation_chapter(subject, config.object, config.missed)
    print(chapter.introduction)
    leave(config, subject, chapter.title, [chapter])


def opened(config: SubjectConfig, image: str) -> Subject:
    """What is looked into, told in a few lines."""
    limit_pixels(config.max_pixels)
    subject = open_subject(config, image)
    keep_freed_memory(subject.device)
    print("\n".join(about(subject)))
    return subject


def leave(config: SubjectConfig, subject: Subject, title: str, chapters: Sequence[Chapter]) -> None:
    """Write page and pictures into a new folder."""
    place = config.output_root / "runs" / "inspect" / safe_name(run_name(subject.path))
    folder = new_folder(config.output or place)
    page = write_inspection(folder, title, about(subject), chapters)
    print(f"page: {page} (pictures beside it; tensorboard --logdir {folder.parent})")


if __name__ == "__main__":
    sys.exit(run(main, settings))
