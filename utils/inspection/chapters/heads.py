"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def heads_chapter(subject: Subject) -> Chapter:
    return Chapter("heads", "heads", "To be written.")
