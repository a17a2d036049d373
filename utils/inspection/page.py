"""``page.html``: the chapters as one story, that needs no network, no script and no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from utils.drawing import png
from utils.inspection.chapter import Chapter, Figure, Table
from utils.report.markup import document, listed, paragraph, picture, table

STYLE = """
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: #1e1e1e; background: #fff; max-width: 1100px;
  margin: 0 auto; padding: 0 12px 3em; overflow-wrap: anywhere }
h1 { font-size: 1.6em; line-height: 1.25; margin: 0.8em 0 0.3em } p, ul { max-width: 50em }
h2 { margin: 2.2em 0 0.4em; padding-top: 0.6em; border-top: 3px solid #0072b2 }
h3 { margin: 1.6em 0 0.3em; line-height: 1.3 } figure { margin: 0 0 1em }
img { max-width: 100%; height: auto; display: block; border: 1px solid #ddd }
.small { font-size: 14px; color: #555 }
.findings { background: #fdf3e0; border-left: 5px solid #e8a324; margin: 1em 0; padding: 0.5em 1em
  0.5em 2em } .findings li { margin: 0.3em 0 }
nav ol { padding-left: 1.4em } nav a { color: #0072b2 } .wide { overflow: auto; max-height: 42em }
table { border-collapse: collapse; margin: 0.6em 0 1em; font-size: 15px }
th, td { padding: 0.25em 0.7em; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; max-width: 36em; overflow-wrap: normal; font-variant-numeric: tabular-nums }
@media print { figure, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .wide { overflow: visible; max-height: none } }
"""


def page_html(title: str, about: Sequence[str], chapters: Sequence[Chapter]) -> str:
    """The page as one HTML text: escaped, pictures within, and nothing that could be loaded.

    Args:
        title: what is looked into.
        about: which weights, data and image, a line each.
        chapters: in the order they are read.
    """
    findings = [finding for chapter in chapters for finding in chapter.findings]
    contents = "".join(
        f'<li><a href="#{chapter.name}">{escape(chapter.title)}</a></li>' for chapter in chapters
    )
    body = (
        f"<h1>{escape(title)}</h1>"
        + "".join(paragraph(line, "small") for line in about)
        + (f"<nav><ol>{contents}</ol></nav>" if len(chapters) > 1 else "")
        + (paragraph("What to look at first:") + listed(findings, "findings") if findings else "")
        + "".join(map(_chapter_html, chapters))
    )
    return document(title, STYLE, body)


def _chapter_html(chapter: Chapter) -> str:
    parts = "".join(map(_part_html, chapter.parts))
    return (
        f'<section id="{chapter.name}"><h2>{escape(chapter.title)}</h2>'
        f"{paragraph(chapter.introduction)}{parts}</section>"
    )


def _part_html(part: Figure | Table) -> str:
    heading = f"<h3>{escape(part.title)}</h3>{paragraph(part.text)}"
    if isinstance(part, Table):
        return heading + table(part.head, part.rows)
    shown = picture(png(part.sheet(with_title=False)), part.title, "png")
    return f"{heading}<figure>{shown}</figure>"
