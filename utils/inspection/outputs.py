"""What an inspection leaves: pictures, one page, and the same in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from utils.drawing import png
from utils.folders import write_file
from utils.inspection.chapter import Chapter
from utils.inspection.page import page_html
from utils.training.curves import Curves


def write_inspection(
    folder: Path, title: str, about: Sequence[str], chapters: Sequence[Chapter]
) -> Path:
    """Write ``page.html``, a PNG file for each figure, and TensorBoard events; returns the page.

    Raises:
        OSError: the disk is full or not writable; names the file.
    """
    curves = Curves(folder)
    try:
        curves.text("inspect", "  \n".join([title, *about]), 0)
        for chapter in chapters:
            curves.text(f"inspect/{chapter.name}", chapter.introduction, 0)
            for figure in chapter.figures:
                sheet = figure.sheet()
                write_file(folder / f"{chapter.name}-{figure.name}.png", png(sheet))
                curves.picture(f"{chapter.name}/{figure.name}", sheet, 0)
                curves.text(f"{chapter.name}/{figure.name}", figure.text, 0)
    finally:
        curves.close()
    page = folder / "page.html"
    write_file(page, page_html(title, about, chapters).encode("utf-8", "replace"))
    return page
