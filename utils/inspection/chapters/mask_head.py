"""The mask head's part of the heads' chapter: from 28x28 numbers to outlines, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from nets.contract import are_shown, chosen
from nets.mask_paste import paste_masks
from utils.data.channels import rgb_view
from utils.drawing import (
    draw_objects,
    instance_colour,
    panel,
    panel_size,
    predicted_objects,
    recorded_objects,
)
from utils.inspection.canvas import NEUTRAL, PALE, POSITIVE, Canvas
from utils.inspection.chapter import Figure, Key
from utils.inspection.chapters.cards import NARROW, card, grid, map_at, stacked
from utils.inspection.close_up import close_up
from utils.inspection.evidence import Evidence
from utils.inspection.heat_map import colour_scale
from utils.inspection.subject import Subject

MOST_MASKS, COLUMNS, SIDE = 6, 2, 250
LOW, MIDDLE, HIGH = 0.25, 0.5, 0.75  # a pixel is the object's from the middle on
MOST_DOTTED = 5
WIDE = 1.3  # width to height from which pictures lie below each other
RESULT_SIDE, HALF_SIDE = 960, 540


def masks(subject: Subject) -> Figure | None:
    """What the mask head says of the surest detections; None without detections."""
    seen, prediction = subject.trace, subject.trace.prediction
    places = _surest(subject)
    if not len(places):
        return None
    pixels = rgb_view(subject.pixels)
    boxes, maps = prediction["boxes"][places], seen.detections["masks"][places].float()
    height, width = seen.original
    low, sure = (
        _dense(paste_masks(maps, boxes, height, width, threshold)) for threshold in (LOW, HIGH)
    )
    found = _dense([prediction["masks"][place] for place in places.tolist()])
    cards, doubtful = [], []
    for i, place in enumerate(places.tolist()):
        canvas = close_up(pixels, SIDE, [boxes[i]], NARROW)
        heat = map_at(canvas, maps[i, 0].numpy(), boxes[i])
        canvas.mask(found[i], POSITIVE)
        canvas.mask(low[i] & ~sure[i], NEUTRAL, 0.7)
        canvas.box(boxes[i], PALE, width=1)
        name = subject.classes[int(prediction["labels"][place]) - 1]
        area, border = int(found[i].sum()), int((low[i] & ~sure[i]).sum())
        doubtful.append(border / max(int(low[i].sum()), 1))
        text = (
            f"{place + 1} {name} {prediction['scores'][place]:.2f}: {area:,} pixels; "
            f"uncertain: {border:,}"
        )
        cards.append(card([heat, canvas.picture()], text))
    sheet = grid(cards, COLUMNS)
    side = maps.shape[-1]
    text = (
        f"Left what the network gives: {side}x{side} probabilities for the detection's class, "
        "stretched over its box. Right the mask made of them, at the size of the image: the pixels "
        f"of at least {MIDDLE:g}. Yellow are those between {LOW:g} and {HIGH:g}, in the mean "
        f"{np.mean(doubtful):.0%} of a mask. Good is a thin yellow rim; a broad one, or yellow "
        "within, means that the network has not learned this outline. In a large object one number "
        "covers several pixels, so fine parts round off. Shown are the surest "
        f"{len(places)} of {len(prediction['labels'])} detections."
    )
    keys = (
        Key(POSITIVE, "mask", "area"),
        Key(NEUTRAL, f"uncertain: {LOW:g} to {HIGH:g}", "area"),
        Key(PALE, "box"),
    )
    scale = colour_scale(min(sheet.width, 400), "0: not the object", "1: the object")
    return Figure(
        "masks", f"From {side}x{side} probabilities to masks: is the uncertain rim thin?",
        stacked([sheet, scale]), text, keys,
    )  # fmt: skip


def result(subject: Subject, evidence: Evidence | None) -> Figure:
    """What predict.py draws, beside the labels and held against them if there are any."""
    prediction, classes = subject.trace.prediction, subject.classes
    is_shown = _are_shown(subject)
    shown, doubtful = chosen(prediction, is_shown), chosen(prediction, ~is_shown)
    height, width = subject.pixels.shape[:2]
    columns = 1 if evidence is None or width > WIDE * height else 2
    side = RESULT_SIDE if columns == 1 else HALF_SIDE
    size, scale = panel_size(subject.pixels, side), side / max(height, width)
    objects = predicted_objects(shown, classes)
    # Labels are written by the canvas, all together, so that none hides another.
    drawn = draw_objects(subject.pixels, [replace(one, text="") for one in objects], size)
    canvas = Canvas(np.asarray(drawn), max(size))
    for i, one in enumerate(objects):
        canvas.box([edge * scale for edge in one.box], instance_colour(i), text=one.text, width=2)
    for one in predicted_objects(doubtful, classes)[:MOST_DOTTED]:
        canvas.box([edge * scale for edge in one.box], PALE, "dotted", one.text, width=2)
    pictures = [canvas.picture()]
    captions = [f"detections above their threshold: {len(objects)}"]
    if evidence is not None:
        labelled = recorded_objects(evidence.record, classes)
        pictures.append(draw_objects(subject.pixels, labelled, size))
        captions.append(f"labelled: {len(labelled)}")
    count = len(doubtful["labels"])
    more = f", the surest {MOST_DOTTED} of them" if count > MOST_DOTTED else ""
    text = (
        f"Drawn solid, as by predict.py, is what reaches the score threshold of its class: "
        f"{len(objects)} of {len(prediction['labels'])} detections. Dotted is what does not{more}. "
        "A dotted box on an object says that the threshold is too high for it, or that the network "
        f"needs more such examples.{f' {evidence.summary}' if evidence else ''}"
    )
    keys = [Key(instance_colour(0), "detections and labels have a colour each", "area")]
    if count:
        keys.append(Key(PALE, "detection below the threshold of its class", "dotted"))
    return Figure(
        "result", "What is detected in the end, and what was not sure enough to be shown",
        panel(pictures, captions, columns), text, tuple(keys),
    )  # fmt: skip


def _are_shown(subject: Subject) -> Tensor:
    """Which detections predict.py shows, bool (D,)."""
    found = subject.trace.prediction
    return are_shown(found["scores"], found["labels"], subject.weights.thresholds)


def _surest(subject: Subject) -> Tensor:
    """Places of the surest shown detections, int64; of the surest of all if none is shown."""
    is_shown = _are_shown(subject)
    places = torch.arange(len(is_shown))
    return (places[is_shown] if is_shown.any() else places)[:MOST_MASKS]


def _dense(rles: Sequence[dict[str, object]]) -> list[np.ndarray]:
    """Masks of the image's size, bool (H, W)."""
    return [coco_mask.decode(rle).astype(bool) for rle in rles]
