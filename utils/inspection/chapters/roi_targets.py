"""The boxes and masks that the heads are asked for in positive RoIs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from utils.drawing import CAPTION_SIZE, panel, text_font
from utils.inspection.canvas import NEGATIVE, OBJECT, PALE, POSITIVE, SIDE, Canvas
from utils.inspection.chapter import INK, Figure, Key, Table
from utils.inspection.close_up import close_up
from utils.inspection.roi_samples import RoiSamples, box_changes, share_inside, spread
from utils.inspection.subject import Subject

MOVED, MASKED = 4, 5
CELL = 185  # pixels of a picture of the grid of masks
FADED = 0.65  # how red it is outside a mask target
GREY = (150, 150, 150)
LINE = CAPTION_SIZE + 6

# Each delta: its name, what it is a share of, what it means above 0, and below.
DELTAS = (
    ("dx", "of the width ", "right", "left"),
    ("dy", "of the height ", "down", "up"),
    ("dw", "", "wider", "narrower"),
    ("dh", "", "taller", "shorter"),
)


def moves_figure(subject: Subject, samples: RoiSamples) -> Figure:
    """Some positive RoIs and the objects that they shall be moved to, from low to high IoU.

    At least one of the positives is not an object's own box.
    """
    taught, weights = samples.taught, subject.model.roi_heads.box_coder.weights
    places = samples.by_overlap(~samples.own)
    chosen = [places[place] for place in spread(len(places), MOVED)]
    rois, deltas = (values[samples.positive[chosen]] for values in (taught.rois, taught.roi_deltas))
    shifts, growths = box_changes(rois, deltas, weights)
    pixels = subject.input_pixels
    pictures = []
    for i, place in enumerate(chosen):
        box = taught.target["boxes"][samples.objects[place]]
        canvas = close_up(pixels, SIDE // 2 - 12, [rois[i], box], dim=0.4)
        canvas.box(box, OBJECT)
        canvas.box(rois[i], POSITIVE, "dashed")
        canvas.arrow(_centre(rois[i]), _centre(box), PALE)
        codes = zip(DELTAS, deltas[i].tolist(), strict=True)
        numbers = "   ".join(f"{name} {value:+.2f}" for (name, *_), value in codes)
        words = in_words(shifts[i].tolist(), growths[i].tolist())
        pictures.append(_with_lines(canvas.picture(), (numbers, words)))
    text = (
        f"{len(chosen)} of the {len(places)} positive RoIs that are proposals, from low to high "
        "IoU. The box head is taught dx and dy, the way of the centre as a share of the RoI's "
        f"width and height, times {weights[0]:g} and {weights[1]:g}, and for dw and dh, the "
        f"logarithm of the growth, times {weights[2]:g} and {weights[3]:g}. Good: the solid box "
        "holds the whole object and nothing else; if it does not, its label is wrong."
    )
    keys = (
        Key(POSITIVE, "RoI", "dashed"),
        Key(OBJECT, "labelled box, the aim"),
        Key(PALE, "the way of the centre, with a dot at its end"),
    )
    title = "From the dashed RoI to the solid box: the move that the box head is taught"
    captions = [_caption(subject, samples, place) for place in chosen]
    return Figure("box-targets", title, panel(pictures, captions, 2), text, keys)


def in_words(shift: Sequence[float], growth: Sequence[float]) -> str:
    """``move 4 px right, 2 px up; 12 % wider, 3 % shorter``."""
    right, down, wider, taller = (
        names[value < 0] for (_, _, *names), value in zip(DELTAS, (*shift, *growth), strict=True)
    )
    return (
        f"move {abs(shift[0]):.1f} px {right}, {abs(shift[1]):.1f} px {down}; "
        f"{abs(growth[0]):.0%} {wider}, {abs(growth[1]):.0%} {taller}"
    )


def deltas_table(subject: Subject, samples: RoiSamples) -> Table:
    """Mean and spread of the moves of all positive RoIs but the objects' own boxes."""
    weights = subject.model.roi_heads.box_coder.weights
    deltas = samples.taught.roi_deltas[samples.positive[~samples.own]]
    # Of a RoI of one pixel, so that shifts are shares of its sides.
    shares = torch.cat(box_changes(torch.tensor([[0, 0, 1, 1]]), deltas.mean(0)[None], weights), 1)
    rows = [
        (
            name,
            f"{values.mean():+.2f}",
            f"{values.std(correction=0):.2f}",
            f"{values.min():+.2f} to {values.max():+.2f}",
            f"{abs(share):.0%} {of}{low if share < 0 else high}",
        )
        for (name, of, high, low), values, share in zip(
            DELTAS, deltas.T, shares[0].tolist(), strict=True
        )
    ]
    return Table(
        "The moves that the box head is taught",
        ("", "mean", "spread", "from ... to", "the mean in words"),
        tuple(rows),
        f"Over all {len(deltas)} positive RoIs that are proposals, in the box coder's units. Its "
        "factors are chosen for a mean near 0 and a spread of about 1 (standard deviation); a "
        "better RPN makes it smaller. A mean that is far from 0 in many images says that the "
        "proposals err to one side, such as anchors of a wrong shape.",
    )


def masks_figure(subject: Subject, samples: RoiSamples) -> Figure:
    """Some positive RoIs, from low to high IoU, each with what the mask head is asked for."""
    taught = samples.taught
    places = samples.by_overlap(torch.ones_like(samples.own))
    chosen = [places[place] for place in spread(len(places), MASKED)]
    wanted = set(samples.objects[chosen].tolist())
    masks = {place: mask for place, mask in enumerate(taught.target["masks"]) if place in wanted}
    targets = taught.mask_targets()[chosen]
    side, pixels = targets.shape[-1], subject.input_pixels
    rows: list[list[Image.Image]] = [[], [], []]
    captions: list[list[str]] = [[], [], []]
    shares = []
    for target, place in zip(targets, chosen, strict=True):
        roi = taught.rois[samples.positive[place]]
        number = int(samples.objects[place])
        mask, box = masks[number], taught.target["boxes"][number]
        shares.append(share_inside(mask, roi))
        width, height = ((roi[2:] - roi[:2]) / side).tolist()
        canvas = close_up(pixels, CELL, [roi, box])
        canvas.mask(mask.bool().numpy(), OBJECT)
        canvas.box(roi, POSITIVE, "dashed", width=2)
        stencil = Image.fromarray((target * 255).round().byte().numpy())
        rows[0].append(canvas.picture())
        captions[0].append(_caption(subject, samples, place))
        shown = stencil.resize((CELL - 2, CELL - 2), Image.Resampling.NEAREST)
        rows[1].append(ImageOps.expand(shown.convert("RGB"), 1, GREY))
        captions[1].append(f"target: {shares[-1]:.0%} of the object")
        rows[2].append(_tinted(Canvas(pixels, CELL, roi.tolist()), stencil))
        captions[2].append(f"a cell: {width:.2g} x {height:.2g} px")
    text = (
        f"{len(chosen)} of the {len(places)} positive RoIs, from low to high IoU. Above: the "
        f"object and the RoI. Middle: the target, {side}x{side} cells stretched over the RoI, "
        "white for the object. Below: what is red is taught not to be the object. The mask "
        "head draws nothing beyond its RoI, so where a RoI cuts the object the target is cut as "
        f"well: here they hold {min(shares):.0%} to {max(shares):.0%} of their objects. Good: the "
        "red ends at the outline, but for a rim of about a pixel that RoIAlign makes; if not, the "
        "labelled mask is wrong. Detail smaller than a cell cannot be learnt."
    )
    keys = (
        Key(OBJECT, "labelled mask", "area"),
        Key(POSITIVE, "RoI", "dashed"),
        Key(NEGATIVE, "not the object, by the mask target", "area"),
    )
    title = "The mask that is taught in each RoI: only what lies in it"
    pictures = [picture for row in rows for picture in row]
    grid = panel(pictures, [text for row in captions for text in row], len(chosen))
    return Figure("mask-targets", title, grid, text, keys)


def _tinted(canvas: Canvas, stencil: Image.Image) -> Image.Image:
    """The canvas, red outside the mask target stretched over it, in the middle of a cell."""
    picture, cell = canvas.picture(), Image.new("RGB", (CELL, CELL), "white")
    mask = stencil.resize(picture.size, Image.Resampling.NEAREST).point(lambda v: (255 - v) * FADED)
    picture.paste(Image.new("RGB", picture.size, NEGATIVE), mask=mask)
    cell.paste(picture, ((CELL - picture.width) // 2, (CELL - picture.height) // 2))
    return cell


def _with_lines(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    """A picture with lines of text below it."""
    sheet = Image.new("RGB", (picture.width, picture.height + LINE * len(lines)), "white")
    sheet.paste(picture)
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((0, picture.height + LINE * i), line, INK, text_font(line, CAPTION_SIZE))
    return sheet


def _caption(subject: Subject, samples: RoiSamples, place: int) -> str:
    name = subject.object_names[samples.objects[place]]
    return f"{name}: IoU {samples.overlaps[place]:.2f}"


def _centre(box: Tensor) -> tuple[float, float]:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2
