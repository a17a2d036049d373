"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def proposals_chapter(subject: Subject) -> Chapter:
    return Chapter("proposals", "proposals", "To be written.")
