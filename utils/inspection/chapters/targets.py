"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def targets_chapter(subject: Subject) -> Chapter:
    return Chapter("targets", "targets", "To be written.")
