"""What a conversion could not keep: counted by reason, for the person whose data it is."""

from __future__ import annotations


class NotKept:
    """Counts by reason, each with the place where it came up first."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, reason: str, place: str, count: int = 1) -> None:
        """Count ``count`` more of what ``reason`` names, at ``place``."""
        if count:
            self._counts[reason] = self._counts.get(reason, 0) + count
            self._first.setdefault(reason, place)

    def notes(self) -> list[str]:
        """One line per reason."""
        return [
            f"{count} {reason}, first in {self._first[reason]}"
            for reason, count in sorted(self._counts.items())
        ]
