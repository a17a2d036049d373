"""``report.html``: one page about a model and how good it is, for whoever is to rely on it.

It needs no network, no script and no other file, and can be read on a phone and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType

from utils.evaluation.assessment import Assessment
from utils.folders import write_file
from utils.report.error_charts import error_charts
from utils.report.headline import headline_table
from utils.report.markup import document, listed, paragraph, section
from utils.report.pictures import ReadPixels, picture_section
from utils.report.run_record import RunRecord
from utils.report.run_tables import data_tables, run_tables
from utils.report.score_charts import score_charts
from utils.report.training_curves import training_curves
from utils.report.verdict import verdict

STYLE = """
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: #1e1e1e; background: #fff; max-width: 1420px;
  margin: 0 auto; padding: 0 12px 3em; overflow-wrap: anywhere }
h1 { font-size: 1.6em; line-height: 1.25; margin: 0.8em 0 0.3em } h2 { margin: 1.6em 0 0.4em }
h3 { margin: 1.2em 0 0.4em } p { margin: 0.5em 0 } section > p, section > ul { max-width: 50em }
.verdict { font-size: 1.1em; background: #eef4fa; border-left: 5px solid #0072b2; margin: 1em 0;
  padding: 0.6em 1em 0.6em 2em; max-width: 50em } .verdict li:first-child { font-weight: 600 }
.verdict li { margin: 0.35em 0 } .small { font-size: 14px; color: #555 }
.wide { overflow: auto; max-height: 42em }
table { border-collapse: collapse; margin: 0.6em 0 1em; font-size: 15px }
th, td { padding: 0.25em 0.7em; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap } th:first-child, td:first-child { text-align: left }
caption { caption-side: bottom; text-align: left; font-size: 14px; color: #555; padding-top: 0.4em }
.confusion td { border: 1px solid #e4e4e4; min-width: 3em }
details { background: #f6f6f6; padding: 0.3em 1em; margin: 0.6em 0 } summary { cursor: pointer }
figure { margin: 0 } .charts { display: grid; gap: 16px; margin: 1em 0;
  grid-template-columns: repeat(auto-fill, minmax(min(360px, 100%), 1fr)) }
.charts figure { border: 1px solid #ddd; border-radius: 4px; padding: 4px; max-width: 480px }
svg { display: block; width: 100%; height: auto } svg text { font: 14px system-ui, sans-serif;
  fill: #1e1e1e } svg text.title { font-weight: 600; font-size: 15px }
svg .grid { stroke: #e6e6e6 } svg .axis { stroke: #777; fill: none }
svg .mark { stroke: #444; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
.pictures { display: grid; gap: 16px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)) }
.pictures img { width: 100%; height: auto; display: block } figcaption, .pictures figure > p
  { font-size: 14px; line-height: 1.35 } figcaption p, figcaption ul { margin: 0.2em 0 }
figcaption ul { padding-left: 1.2em; list-style: none } .name { font-weight: 600 }
.legend span { display: inline-block; padding: 0 0.5em; margin: 0 0.4em 0.3em 0; background: #222;
  color: #fff } .legend .right { border: 2px solid #00c878 }
.legend .false { border: 4px solid #ff8200 } .legend .missed { border: 3px dashed #ff50ff }
pre { background: #f6f6f6; padding: 0.6em 0.8em; white-space: pre-wrap; font-size: 14px }
@media (max-width: 500px) { th, td { padding: 0.25em 0.4em } table { font-size: 13px } }
@media print { body { font-size: 11pt; max-width: none; padding: 0 }
  figure, tr, .verdict, pre { break-inside: avoid } h2, h3 { break-after: avoid }
  .charts { grid-template-columns: 1fr 1fr } .pictures { grid-template-columns: 1fr 1fr 1fr }
  .wide { overflow: visible; max-height: none }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


def write_report(
    path: Path,
    title: str,
    assessment: Assessment,
    run: RunRecord | None,
    read_pixels: ReadPixels,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file, in a folder that exists.
        title: what the model is called.
        assessment: of the model on labelled images.
        run: the training that the model is from; None if it is not known.
        read_pixels: from the number of an image in ``assessment.data`` to its pixels, uint8 RGB
            (H, W, 3) or other channels. A picture that raises ``DataError`` or ``OSError`` is left
            out, and the page says so.
        facts: what else is to be told, by name; "weights", "data" and "date" stand at the top.

    Raises:
        OSError: the file cannot be written; names it.
    """
    text = report_html(title, assessment, run, read_pixels, facts)
    write_file(path, text.encode("utf-8", "replace"))


def report_html(
    title: str,
    assessment: Assessment,
    run: RunRecord | None,
    read_pixels: ReadPixels,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The page as one HTML text: escaped, pictures within, and nothing that could be loaded."""
    name = escape(title)
    body = (
        f"<h1>How good is {name}?</h1>"
        + paragraph(_about(assessment, facts))
        + listed(verdict(assessment, run), "verdict")
        + section("The numbers", headline_table(assessment))
        + section("The training", training_curves(run) if run else "")
        + section("Which score to trust", score_charts(assessment))
        + section("What goes wrong", error_charts(assessment))
        + section("Pictures", picture_section(assessment, read_pixels))
        + section("The images", data_tables(assessment.data, run))
        + section("How it was made", run_tables(run, facts))
    )
    return document(f"How good is {title}?", STYLE, body)


def _about(assessment: Assessment, facts: Mapping[str, str]) -> str:
    """The first lines: which weights on which data, and when."""
    told = [f"{name}: {facts[name]}" for name in _FIRST if name in facts]
    return "; ".join([*told, f"judged on {len(assessment.data.images)} images"])


_FIRST = ("weights", "predictions", "data", "date")
