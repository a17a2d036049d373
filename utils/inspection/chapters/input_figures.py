"""Figures of what the network gets of an image: its resized and padded input, and the changed
images of training."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from nets.mask_rcnn import input_size
from utils.data.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATION
from utils.data.channels import rgb_view
from utils.data.epoch_batches import SampleKey
from utils.data.transforms import train_transforms
from utils.drawing import draw_objects, instance_colour, panel, panel_size, target_objects
from utils.inspection.canvas import NEUTRAL, OBJECT, Canvas
from utils.inspection.chapter import Figure, Key
from utils.inspection.chapters.cards import stacked
from utils.inspection.chapters.label_figures import TWO, row_of, size_text
from utils.inspection.close_up import SLIM, CloseUp, around
from utils.inspection.label_faults import LEAST_SIDE
from utils.inspection.labelled_objects import LabelledObject
from utils.inspection.subject import Subject
from utils.report.run_record import read_run
from utils.weights_lookup import run_record

STRONG = "strong"
MOST_SIZES = 16  # objects whose sizes are written, the smallest
STRIPES = 40  # of the padding, over the longer side
GREY = 124


def input_figure(subject: Subject, objects: Sequence[LabelledObject]) -> Figure:
    """The image and what becomes of it, and of the thinnest of the objects that are taught."""
    seen = subject.trace
    (height, width), (high, wide) = seen.original, seen.size
    padded_high, padded_wide = seen.batch.shape[-2:]
    shorter, longer = input_size(subject.model)
    padding = 1 - wide * high / (padded_wide * padded_high)
    pictures = _whole(subject, objects)
    captions = [
        f"the image: {width}x{height} px",
        f"the input: {wide}x{high} px"
        + (f", padded to {padded_wide}x{padded_high} px" if padding else ", without padding"),
    ]
    text = (
        f"The shorter side becomes {shorter} pixels, unless the longer side would exceed {longer}: "
        f"the network sees this image {_times(seen.scale[0])}. Both sides must be "
        f"multiples of {subject.model.transform.size_divisible}: "
        + (f"{padding:.1%} of the input is padding." if padding else "here they are.")
    )
    keys = [Key(NEUTRAL, "padding", "area")] if padding else []
    columns, _ = row_of(2, subject.pixels)
    rows = [
        panel(pictures[i : i + columns], captions[i : i + columns], columns)
        for i in range(0, 2, columns)
    ]
    if objects:
        thinnest = min(objects, key=lambda one: min(one.size()))
        rows.append(panel(_close(subject, thinnest), _close_captions(subject, thinnest), 2))
        told = f" Of the {MOST_SIZES} smallest objects the sizes are written."
        told *= len(objects) > MOST_SIZES
        text += (
            f"{told} Below, the thinnest object: {LEAST_SIDE:g} pixels or more can be found, the "
            "more the better; a larger --min-size gives more."
        )
        keys = [Key(OBJECT, "labelled object: its number, its size in the input in pixels"),
                Key(OBJECT, "below: outline of its mask"), *keys]  # fmt: skip
    return Figure(
        "input", "The network's input: are the objects still large enough to be seen?",
        stacked(rows), text, tuple(keys),
    )  # fmt: skip


def _times(scale: float) -> str:
    return "in its own size" if scale == 1 else f"{scale:.3g} times as large"


def _whole(subject: Subject, objects: Sequence[LabelledObject]) -> list[Image.Image]:
    """The image, and the network's input with its padding striped."""
    seen, (high, wide) = subject.trace, subject.trace.size
    padded = np.full((*seen.batch.shape[-2:], 3), GREY, np.uint8)
    padded[:high, :wide] = subject.input_pixels
    _, side = row_of(2, subject.pixels)
    image, given = Canvas(rgb_view(subject.pixels), side), Canvas(padded, side)
    rows, columns = np.indices(padded.shape[:2])
    width = max(2, max(padded.shape) // STRIPES)
    stripes = (rows + columns) // width % 2 == 0
    stripes[:high, :wide] = False
    given.mask(stripes, NEUTRAL, 1)
    line = 1 if len(objects) > MOST_SIZES else 2
    for place, one in enumerate(sorted(objects, key=lambda one: one.pixels)):
        number, size = str(one.number), f"{one.number}: {size_text(one.size(seen.scale))}"
        is_told = place < MOST_SIZES
        image.box(one.box, OBJECT, text=number * is_told, width=line)
        given.box(one.box_in(seen.scale), OBJECT, text=size * is_told, width=line)
    return [image.picture(), given.picture()]


def _close(subject: Subject, one: LabelledObject) -> list[Image.Image]:
    """An object in the image, and in the network's input."""
    assert one.taught_mask is not None
    seen, mask, (x, y) = subject.trace, one.taught_mask.mask, one.taught_mask.corner
    left = np.zeros(seen.size, bool)
    left[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    pictures = []
    for pixels, box, full in (
        (rgb_view(subject.pixels), one.box, one.mask()),
        (subject.input_pixels, one.box_in(seen.scale), left),
    ):
        picture = CloseUp(pixels, around([box], pixels.shape[1::-1], SLIM), TWO)
        picture.outline(full, OBJECT, 2)
        pictures.append(picture.picture())
    return pictures


def _close_captions(subject: Subject, one: LabelledObject) -> list[str]:
    assert one.taught_mask is not None
    size, left = size_text(one.size(subject.trace.scale)), int(one.taught_mask.mask.sum())
    return [
        f"object {one.number} in the image: {size_text(one.size())} px, mask {one.pixels:,} px",
        f"in the input: {size} px, mask {left:,} px" if left
        else f"in the input: {size} px, and no pixel is left of its mask",
    ]  # fmt: skip


def augmentation_figure(subject: Subject) -> Figure:
    """A labelled image as training shows it: as the weights' run did, and with strong changes."""
    dataset, number, classes = subject.dataset, subject.number, subject.classes
    assert dataset is not None
    assert number is not None
    recorded = run_augmentation(subject.path)
    used = recorded or DEFAULT_AUGMENTATION
    columns, side = row_of(4, subject.pixels)
    pictures, captions = [], []
    draws = [("none", 0)]
    draws += [(used, draw) for draw in range(1, 4)] + [(STRONG, draw) for draw in range(1, 5)]
    for name, draw in draws:
        view = copy(dataset)
        view.transforms = train_transforms(name)
        view.copy_paste = AUGMENTATIONS[name].copy_paste
        image, target = view.augmented(SampleKey(0, number), draw)
        pixels = image.permute(1, 2, 0).numpy()
        objects = [replace(one, text="") for one in target_objects(target, classes)]
        pictures.append(draw_objects(pixels, objects, panel_size(pixels, side)))
        captions.append(f"{name}, draw {draw}" if draw else "as it is")
    origin = "as the run of these weights did" if recorded else "the default"
    return Figure(
        "augmentation", "Augmentation: could these pictures be yours, and are the masks right?",
        panel(pictures, captions, columns),
        "Training shows an image differently each time. Above, three draws of --augment "
        f"{used}, {origin}: {in_words(used)}. Below, four of --augment {STRONG}: "
        f"{in_words(STRONG)}. Choose what gives pictures that your camera could have taken: "
        "--augment none if left and right mean something.",
        (Key(instance_colour(0), "an object as it is taught: changed mask and box", "area"),),
    )  # fmt: skip


def run_augmentation(path: Path) -> str | None:
    """What the run of a weights file varied its images by; None if nothing tells."""
    folder = run_record(path)
    name = str(read_run(folder).settings.get("augment")) if folder else ""
    return name if name in AUGMENTATIONS else None


def in_words(name: str) -> str:
    """What an augmentation does."""
    change = AUGMENTATIONS[name]
    sizes = "sizes {:g} to {:g} times".format(*change.scale) if change.scale else ""
    shares = {
        "left and right exchanged": change.flip,
        "rows and columns exchanged": change.transpose,
        "blur": change.blur,
        "noise": change.noise,
        "objects of another image pasted": change.copy_paste,
    }
    texts = [f"{what} in {share:.0%} of draws" for what, share in shares.items() if share]
    colours = f"brightness, contrast and colour changed by up to {change.jitter:.0%}"
    texts += [sizes] * bool(sizes) + [colours] * bool(change.jitter)
    return ", ".join(texts) or "nothing is changed"
