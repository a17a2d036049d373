"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def anchors_chapter(subject: Subject) -> Chapter:
    return Chapter("anchors", "anchors", "To be written.")
