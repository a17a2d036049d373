"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def activations_chapter(subject: Subject) -> Chapter:
    return Chapter("activations", "activations", "To be written.")
