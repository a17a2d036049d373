"""Figures of the labelled objects of an image: their masks, their boxes, and what of an outline 28
by 28 numbers hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from utils.drawing import DrawnObject, draw_objects, instance_colour, panel, panel_size
from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT, PALE, POSITIVE, SIDE
from utils.inspection.chapter import Figure, Key
from utils.inspection.close_up import SLIM, CloseUp, Region, around
from utils.inspection.labelled_objects import LabelledObject

GAP = 6  # between pictures in a row
TWO, THREE = SIDE // 2 - GAP, SIDE // 3 - GAP  # longer side of a picture of so many in a row
WIDE = 2  # width over height from which on fewer pictures stand in a row
DIM = 0.5  # how far an image is faded for masks to stand out
CLOSE_SHARE = 0.25  # of an object's longer side
LEAST_PLACE = 6  # pixels, what is shown around a single one
CLOSEST = 12  # pixels of the image across, so that single ones are seen
MOST_CLASSES, MOST_SHOWN = 9, 3
OWN_BOX_OFF = 0.5  # pixels from which on a label's own box is worth drawing


def objects_figure(pixels: np.ndarray, objects: Sequence[LabelledObject]) -> Figure:
    """The image, uint8 RGB (H, W, 3), with all its objects."""
    counts = Counter(one.name for one in objects)
    listing = ", ".join(f"{number} {name}" for name, number in counts.most_common(MOST_CLASSES))
    hidden = f" and {len(counts) - MOST_CLASSES} more classes" * (len(counts) > MOST_CLASSES)
    colours = "an object: its mask, and the box around the mask; colours tell objects apart"
    return Figure(
        "objects", "Labelled objects: does each mask end where its object ends?",
        draw_objects(pixels, _drawn(objects, with_names=True), panel_size(pixels, SIDE)),
        f"Labelled: {listing}{hidden}. Every object should have one number, the right class, and a "
        "mask that covers it and nothing else: an object without a label is taught as background. "
        "Numbers that found no room in the picture are in the table.",
        (Key(instance_colour(0), colours, "area"),),
    )  # fmt: skip


def classes_figure(pixels: np.ndarray, objects: Sequence[LabelledObject]) -> Figure:
    """The masks of each class over the dimmed image."""
    dimmed = (pixels * (1 - DIM)).astype(np.uint8)
    counts = Counter(one.name for one in objects)
    columns, side = row_of(min(max(len(counts), 2), 3), pixels)
    pictures, captions = [], []
    for name, number in counts.most_common(MOST_CLASSES):
        of_class = [one for one in objects if one.name == name]
        covered = coco_mask.area(coco_mask.merge([one.rle for one in of_class]))
        share = float(covered) / (pixels.shape[0] * pixels.shape[1])
        pictures.append(draw_objects(dimmed, _drawn(of_class), panel_size(pixels, side)))
        captions.append(f"{name}: {number}, {share:.2%} of the image")
    hidden = len(counts) - len(pictures)
    more = f" {hidden} classes with fewer objects are not shown." if hidden else ""
    return Figure(
        "classes", "Masks class by class: is an object in the panel of another class?",
        panel(pictures, captions, columns),
        f"The image is dimmed so that the masks of one class stand out.{more} "
        "An object in the wrong panel teaches two classes wrongly: correct its label.",
        (Key(instance_colour(0), "an object, with its number and in its colour of the first "
             "picture", "area"),),
    )  # fmt: skip


def boxes_figure(pixels: np.ndarray, objects: Sequence[LabelledObject]) -> Figure:
    """Masks with the boxes that are made of them, and their last pixels close up."""
    shown = _for_boxes(objects)
    pictures, captions = [], []
    for one in shown:
        pictures.append(_boxed(pixels, one, around([one.box], pixels.shape[1::-1], SLIM)))
        captions.append(f"object {one.number}: {size_text(one.size())} px")
    for one in shown:
        x, y = one.last_pixel
        region = around([(x, y, x + 1, y + 1)], pixels.shape[1::-1], least=CLOSEST)
        pictures.append(_boxed(pixels, one, region))
        captions.append(f"last pixel at x = {x}, box ends at {one.box[2]:g}")
    worst = max(objects, key=lambda one: one.box_error)
    off = "The labels' own boxes are the same."
    keys = [Key(OBJECT, "pixels of the mask", "area"), Key(OBJECT, "box made of the mask")]
    if worst.box_error >= OWN_BOX_OFF:
        count = sum(one.box_error >= OWN_BOX_OFF for one in objects)
        off = (
            f"The labels' own boxes differ for {count} of {len(objects)} objects, the most for "
            f"object {worst.number}, by {worst.box_error:.3g} px; the mask counts."
        )
        keys.append(Key(NEUTRAL, "the label's own box", "dashed"))
    return Figure(
        "boxes", "Boxes from masks: each box ends right behind the last pixel of its mask",
        panel(pictures, captions, len(shown)),
        "Boxes are not read from the labels but made of the masks, the far edge one past the last "
        "pixel, so that one pixel has a box of width 1. Above the objects, below the right end of "
        f"each, so close that single pixels are seen. {_shown(shown, objects)}{off} A box much "
        "larger than its object means stray pixels in the mask.",
        tuple(keys),
    )  # fmt: skip


def masks_figure(pixels: np.ndarray, objects: Sequence[LabelledObject]) -> Figure:
    """The outlines that 28x28 numbers hold worst, and which pixels they lose.

    Args:
        pixels: uint8 RGB (H, W, 3).
        objects: those that are taught, at least one.
    """
    shown = sorted(objects, key=lambda one: one.best_iou)[:MOST_SHOWN]
    places, captions = [], []
    for one in shown:
        places.append(worst_place(one))
        captions.append(f"object {one.number} ({one.name}): best IoU {one.best_iou:.3f}")
    pictures = [_compared(pixels, one, place) for one, place in zip(shown, places, strict=True)]
    for one, place in zip(shown, places, strict=True):
        pictures.append(_compared(pixels, one, place, close=True))
        lost, more = (int(part.sum()) for part in one.differing())
        captions.append(f"in all, {lost:,} px lost, {more:,} px too many")
    kept = sum(one.crop.mask.size for one in objects if one.crop)
    full = len(objects) * pixels.shape[0] * pixels.shape[1]
    worst = shown[0]
    return Figure(
        "masks", "What 28x28 numbers hold of an outline: red is lost, blue is too many",
        panel(pictures, captions, len(shown)),
        f"Masks are kept cut to their boxes, {bytes_text(kept)} instead of {bytes_text(full)}, "
        "which loses nothing. But the mask head answers with 28x28 numbers: a network that has "
        f"learned object {worst.number} perfectly reaches an IoU of {worst.best_iou:.3f} with it. "
        f"{_shown(shown, objects)}Above 0.9 there is nothing to do; thin or ragged large objects "
        "can be cut into parts, small ones need a larger --min-size.",
        (Key(OBJECT, "labelled outline"), Key(POSITIVE, "the best that 28x28 numbers give"),
         Key(NEGATIVE, "pixels lost", "area"), Key(POSITIVE, "pixels too many", "area"),
         Key(PALE, "where most is lost or too many, enlarged below")),
    )  # fmt: skip


def worst_place(one: LabelledObject) -> Region:
    """The square part of the image where most of an object's pixels differ from its best mask."""
    differs = np.logical_or(*one.differing())
    if not differs.any():
        differs = one.mask()
    height, width = differs.shape
    side = min(max(LEAST_PLACE, round(max(one.size()) * CLOSE_SHARE)), height, width)
    sums = np.pad(differs, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    within = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    # Of all windows with the most, the middle one, so that what differs is not at its border.
    rows, columns = np.nonzero(within == within.max())
    top, left = int(rows[len(rows) // 2]), int(columns[len(columns) // 2])
    return left, top, left + side, top + side


def _compared(
    pixels: np.ndarray, one: LabelledObject, place: Region, close: bool = False
) -> Image.Image:
    """An object with what 28x28 numbers lose of it, or the one place of it."""
    assert one.taught_mask is not None
    region = place if close else around([one.box], pixels.shape[1::-1], SLIM)
    picture = CloseUp(pixels, region, THREE, DIM)
    lost, more = one.differing()
    if close:
        picture.outline(one.taught_mask.best_mask(), POSITIVE, 5)  # wider, as both run together
    picture.outline(one.mask(), OBJECT, 2)
    picture.mask(lost, NEGATIVE, 0.85)
    picture.mask(more, POSITIVE, 0.85)
    if not close:
        picture.box(place, PALE, width=2)
    return picture.picture()


def row_of(columns: int, pixels: np.ndarray) -> tuple[int, int]:
    """How many pictures of an image stand in a row, half as many if it is wide; and the longer
    side of each."""
    height, width = pixels.shape[:2]
    if width > WIDE * height:
        columns //= 2
    return columns, SIDE // columns - GAP


def size_text(size: tuple[float, float]) -> str:
    """Width x height, with a decimal for small ones."""
    return "x".join(f"{side:.0f}" if side >= 10 else f"{side:.2g}" for side in size)


def bytes_text(count: int) -> str:
    """A number of bytes to read."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(count / 1e3, 0.1):.1f} kB"


def _shown(shown: Sequence[LabelledObject], objects: Sequence[LabelledObject]) -> str:
    hidden = len(objects) - len(shown)
    return (
        f"{hidden} more objects are not shown. "
        if hidden > 1
        else "One more is not shown. " * hidden
    )


def _drawn(objects: Sequence[LabelledObject], with_names: bool = False) -> list[DrawnObject]:
    """The objects in the colours of their numbers."""
    drawn = []
    for one in objects:
        text = f"{one.number}{' ' + one.name if with_names else ''}{' (crowd)' * one.is_crowd}"
        drawn.append(DrawnObject(one.rle, one.box, text, one.number - 1))
    return drawn


def _for_boxes(objects: Sequence[LabelledObject]) -> list[LabelledObject]:
    """Those whose own boxes are off most, then the smallest and the largest."""
    off = sorted((one for one in objects if one.box_error >= OWN_BOX_OFF),
                 key=lambda one: -one.box_error)  # fmt: skip
    by_size = sorted(objects, key=lambda one: one.pixels)
    telling = [*off[: MOST_SHOWN - 1], by_size[0], by_size[-1], by_size[len(by_size) // 2]]
    return list({one.number: one for one in telling}.values())[:MOST_SHOWN]


def _boxed(pixels: np.ndarray, one: LabelledObject, region: Region) -> Image.Image:
    picture = CloseUp(pixels, region, THREE, DIM)
    picture.mask(one.mask(), OBJECT)
    if one.box_error >= OWN_BOX_OFF:
        picture.box(one.own_box, NEUTRAL, "dashed")
    picture.box(one.box, OBJECT)
    return picture.picture()
