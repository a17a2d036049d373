"""The rules that score thresholds can be chosen by, as ``--operating-point`` names them."""

from __future__ import annotations

import math

CHOICES = "f1, recall=R or precision=P (above 0, at most 1), false-alarms=X (0 or more)"
WORDS = {
    "f1": "best F1",
    "recall": "recall at least {}",
    "precision": "precision at least {}",
    "false-alarms": "at most {} false alarms per image without objects",
}


def parse_rule(rule: str) -> tuple[str, float]:
    """The kind of a rule and its number, 0 for ``f1``.

    Raises:
        ValueError: no such rule; the message names the choices.
    """
    kind, _, number = rule.partition("=")
    try:
        wish = float(number) if rule != "f1" else 0.0
    except ValueError:
        wish = math.nan
    share = 0 < wish <= 1
    known = {
        "f1": rule == "f1",
        "recall": share,
        "precision": share,
        "false-alarms": 0 <= wish < math.inf,
    }
    if not known.get(kind, False):
        raise ValueError(f"{rule!r} is no rule for score thresholds; choose {CHOICES}")
    return kind, wish


def in_words(rule: str) -> str:
    """``best F1``, ``recall at least 0.95``; a rule that is not known as it is."""
    kind, _, number = rule.partition("=")
    return WORDS[kind].format(number) if kind in WORDS else rule
