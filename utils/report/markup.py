"""Pieces of the page as HTML text; every text that comes from outside is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

UNDEFINED = "-"


def document(title: str, style: str, body: str) -> str:
    """A whole page: ``body`` is HTML, and nothing in it can be loaded from elsewhere or run."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], css: str = "") -> str:
    """A table of texts that scrolls sideways in a box of its own."""
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    lines = [f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows]
    return box(f'<table class="{css}"><tr>{top}</tr>{"".join(lines)}</table>')


def box(content: str) -> str:
    """What may be wider than a phone."""
    return f'<div class="wide">{content}</div>'


def section(title: str, *parts: str) -> str:
    """A part of the page; nothing at all if all its ``parts`` are empty."""
    content = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def charts(drawn: Sequence[str]) -> str:
    """Charts side by side, as many as the page is wide."""
    figures = "".join(f"<figure>{one}</figure>" for one in drawn)
    return f'<div class="charts">{figures}</div>' if drawn else ""


def details(summary: str, content: str) -> str:
    """Something that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def paragraph(text: str, css: str = "") -> str:
    """A paragraph; nothing if there is no text."""
    return f'<p class="{css}">{escape(text)}</p>' if text else ""


def listed(texts: Sequence[str], css: str = "") -> str:
    """A list of texts; nothing if there are none."""
    lines = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{css}">{lines}</ul>' if lines else ""


def picture(data: bytes, alt: str, kind: str = "jpeg") -> str:
    """A picture within the page; ``kind`` is that of its file, jpeg or png."""
    text = base64.b64encode(data).decode("ascii")
    return f'<img loading="lazy" alt="{escape(alt)}" src="data:image/{kind};base64,{text}">'


def number(value: float | None, digits: int = 3) -> str:
    """A number as text; ``-`` if there is none."""
    return UNDEFINED if value is None else f"{value:.{digits}f}"
