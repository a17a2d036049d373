"""To be written."""

from __future__ import annotations

from utils.inspection.chapter import Chapter
from utils.inspection.subject import Subject


def explanation_chapter(
    subject: Subject, number: int | None = None, missed: int | None = None
) -> Chapter:
    return Chapter("explain", "explain", "To be written.")
