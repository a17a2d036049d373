"""One page about a data set: what is wrong with it, what it holds, and some of its images.

``page.html`` needs no network and no other file; ``page.png`` shows the same pictures for a report
or a chat.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from utils.charts import bar_chart, histogram, scatter
from utils.data.channels import RGB
from utils.data.images import load_image
from utils.data.records import ImageRecord, RecordSet
from utils.doctor.examination import Looks
from utils.doctor.findings import Finding, counts, grouped, printable
from utils.doctor.network_view import NetworkView
from utils.doctor.object_checks import network_sizes, object_count
from utils.doctor.summary import Table, class_table, part_table
from utils.drawing import draw_objects, panel, panel_size, png, recorded_objects, text_font
from utils.report.markup import document, picture

SAMPLES, COLUMNS = 12, 4
LINE = 24  # height of a line of text in page.png
MOST_PLACES = 2000  # of one kind on the page
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1e1e1e; max-width: 1480px; margin: 2em auto;
  padding: 0 1.5em }
table { border-collapse: collapse; margin: 0.6em 0 1.6em }
th, td { padding: 0.25em 0.9em; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
details { border-left: 5px solid #888; padding: 0.3em 1em; margin: 0.6em 0; background: #f7f7f7 }
details.error { border-color: #c62828 } details.warning { border-color: #e8a324 }
summary { cursor: pointer } summary b { margin-right: 0.6em }
li { overflow-wrap: anywhere; font-size: 14px }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(560px, 1fr)); gap: 12px }
.charts img { width: 100%; border: 1px solid #ddd } img { max-width: 100% }
"""


def write_page(
    folder: Path,
    title: str,
    parts: Mapping[str, RecordSet],
    findings: Sequence[Finding],
    view: NetworkView,
    looks: Looks,
) -> Path:
    """Write ``page.html`` and ``page.png`` into ``folder``; returns the HTML file.

    Args:
        folder: an existing folder.
        title: what the data set is called.
        parts: the record sets by name.
        findings: of the data doctor.
        view: what the network sees.
        looks: the pictures as decoded; those that cannot be read are not shown.
    """
    charts = draw_charts(parts, view)
    samples = draw_samples(parts, looks, view.channels)
    tables = part_table(parts, view), class_table(parts)
    text = page_html(printable(title), tables, findings, charts, samples)
    lines = [f"Data check: {printable(title)}", *_headlines(parts, findings)]
    sheet = draw_sheet(lines, charts, samples)
    sheet.save(folder / "page.png")
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8", errors="replace")
    return page


def draw_charts(parts: Mapping[str, RecordSet], view: NetworkView) -> list[Image.Image]:
    """Objects per class, their sizes against the anchors, objects per image, image sizes."""
    classes = class_table(parts)[1:]
    per_class = {part: [int(row[i]) for row in classes] for i, part in enumerate(parts, start=1)}
    sizes = {
        part: [size for of_class in network_sizes(data, view).values() for size in of_class]
        for part, data in parts.items()
    }
    per_image = {
        part: [sum(not one.iscrowd for one in record.instances) for record in data.images]
        for part, data in parts.items()
    }
    shapes = {
        part: [(float(record.width), float(record.height)) for record in data.images]
        for part, data in parts.items()
    }
    return [
        bar_chart("Objects per class", [row[0] for row in classes], per_class),
        histogram(
            f"Object sizes, images resized to {view.min_size}-{view.max_size} px",
            "square root of the box's area, pixels in the network's input", sizes,
            log=True, marks=view.anchors, marks_name="- - the network's anchors",
        ),
        histogram("Objects per image", "objects in an image", per_image),
        scatter("Image sizes", ("width in pixels", "height in pixels"), shapes),
    ]  # fmt: skip


def draw_samples(
    parts: Mapping[str, RecordSet], looks: Looks, channels: int = RGB
) -> Image.Image | None:
    """A grid of labelled images, taken evenly from all parts; None if none can be shown."""
    shown = [
        (record, data.classes)
        for data in parts.values()
        for record in data.images
        if _is_sound(record, looks)
    ]
    if not shown:
        return None
    number = min(SAMPLES, len(shown))
    chosen = [shown[i * len(shown) // number] for i in range(number)]
    pictures, captions = [], []
    for record, classes in chosen:
        image = load_image(record.path, channels)
        names = [printable(name) for name in classes]
        pictures.append(draw_objects(image, recorded_objects(record, names), panel_size(image)))
        captions.append(printable(record.path.name))
    return panel(pictures, captions, COLUMNS)


def draw_sheet(
    lines: Sequence[str], charts: Sequence[Image.Image], samples: Image.Image | None
) -> Image.Image:
    """The page as one picture: text, then charts two by two at half size, then the samples."""
    width, height = charts[0].width // 2, charts[0].height // 2
    pieces = [charts[i].resize((width, height), Image.Resampling.LANCZOS) for i in range(4)]
    top = LINE * len(lines) + 2 * LINE
    below = samples.height if samples else 0
    across = max(2 * width, samples.width if samples else 0)
    sheet = Image.new("RGB", (across, top + 2 * height + below), "white")
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((15, LINE * (i + 1)), line, "black", text_font(line, LINE * 2 // 3))
    for i, piece in enumerate(pieces):
        sheet.paste(piece, (i % 2 * width, top + i // 2 * height))
    if samples:
        sheet.paste(samples, (0, top + 2 * height))
    return sheet


def page_html(
    title: str,
    tables: Sequence[Table],
    findings: Sequence[Finding],
    charts: Sequence[Image.Image],
    samples: Image.Image | None,
) -> str:
    """The page as one HTML text: escaped, pictures within, and nothing that could be loaded."""
    name = html.escape(title)
    groups = "".join(_group_html(group) for group in grouped(findings).values())
    drawn = "".join(picture(png(chart), "chart", "png") for chart in charts)
    grid = ""
    if samples:
        grid = f"<h2>Samples</h2>{picture(png(samples), 'labelled images', 'png')}"
    body = (
        f"<h1>Data check: {name}</h1><p>{html.escape(counts(findings))}. "
        "Errors stop a training run, warnings and notes do not.</p>"
        f"{_table_html(tables[0])}"
        f"<h2>Findings</h2>{groups or '<p>Nothing was found wrong.</p>'}"
        f"<h2>Charts</h2><div class=charts>{drawn}</div>{grid}"
        f"<h2>Objects per class</h2>{_table_html(tables[1])}"
    )
    return document(f"Data check: {title}", STYLE, body)


def _headlines(parts: Mapping[str, RecordSet], findings: Sequence[Finding]) -> list[str]:
    """The page in a few lines of text."""
    lines = [
        f"{part}: {len(data.images)} images, {sum(not r.instances for r in data.images)} without "
        f"objects; {object_count(data)} objects"
        for part, data in parts.items()
    ]
    lines += [
        f"{group[0].severity}: {kind} ({len(group)})" for kind, group in grouped(findings).items()
    ]
    return [*lines, *([] if findings else ["nothing was found wrong"])]


def _is_sound(record: ImageRecord, looks: Looks) -> bool:
    seen = looks.get(record.path)
    return seen is not None and (seen.width, seen.height) == (record.width, record.height)


def _group_html(group: Sequence[Finding]) -> str:
    """One kind of findings: a heading that opens the list of places."""
    first = group[0]
    places = "".join(f"<li>{html.escape(str(finding))}</li>" for finding in group[:MOST_PLACES])
    if len(group) > MOST_PLACES:
        places += f"<li>and {len(group) - MOST_PLACES} more</li>"
    is_open = " open" if first.severity == "error" or len(group) <= 3 else ""
    return (
        f"<details class={first.severity}{is_open}><summary><b>{first.severity}</b>"
        f"{html.escape(first.kind)} ({len(group)})<br>{html.escape(first.fix)}</summary>"
        f"<ul>{places}</ul></details>"
    )


def _table_html(table: Table) -> str:
    head, *rows = [[html.escape(text) for text in row] for row in table]
    lines = ["".join(f"<th>{text}</th>" for text in head)]
    lines += ["".join(f"<td>{text}</td>" for text in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
