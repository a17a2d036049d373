"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def weights_chapter(subject: Subject, start: str = "") -> Chapter:
    return Chapter("weights", "weights", "To be written.")
