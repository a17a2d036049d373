"""How a run went: its losses and its AP over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from utils.report.markup import charts, paragraph
from utils.report.run_record import RunRecord
from utils.report.svg_charts import Axis, Series, axis, line_chart

LOSSES = {
    "loss": "Loss",
    "loss_classifier": "Loss of the classes",
    "loss_box_reg": "Loss of the boxes",
    "loss_mask": "Loss of the masks",
    "loss_objectness": "Loss of proposals: object or not",
    "loss_rpn_box_reg": "Loss of proposals: boxes",
}
PRECISIONS = {"masks: AP": "segm/AP", "masks: AP50": "segm/AP50", "boxes: AP": "bbox/AP"}


def training_curves(run: RunRecord) -> str:
    """AP, the loss and its five parts; nothing if no epoch is recorded."""
    if not run.epochs:
        return ""
    drawn = [_chart(run, "AP of the held-out images", "AP", PRECISIONS, highest=1.0)]
    for name, title in LOSSES.items():
        names = {"training": f"train/{name}", "held-out": f"val/{name}"}
        drawn.append(_chart(run, title, "loss", names))
    few = "One epoch makes a dot, not a line." if len(run.epochs) == 1 else ""
    return charts([one for one in drawn if one]) + paragraph(few)


def _chart(
    run: RunRecord, title: str, label: str, names: Mapping[str, str], highest: float | None = None
) -> str:
    """Some columns of ``results.csv`` over the epochs; nothing if they are empty."""
    epochs = run.epoch_numbers
    series = [Series(name, epochs, run.column(column)) for name, column in names.items()]
    series = [one for one in series if any(map(math.isfinite, one.y))]
    if not series:
        return ""
    up = axis(label, [value for one in series for value in one.y])
    if highest is not None:
        up = Axis(label, 0.0, highest)
    return line_chart(title, axis("epoch", epochs, from_zero=False), up, series)
