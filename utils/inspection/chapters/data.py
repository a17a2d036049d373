"""What the network is given: the labelled objects, its input, and what gets lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from PIL import Image

from nets.anchors import sizes_of
from nets.mask_rcnn import input_size
from utils.charts import bar_chart, histogram
from utils.data.channels import rgb_view
from utils.data.records import ImageRecord
from utils.doctor.network_view import NetworkView
from utils.doctor.object_checks import class_counts, network_sizes
from utils.inspection.canvas import SIDE
from utils.inspection.chapter import Chapter, Figure, Table
from utils.inspection.chapters.input_figures import augmentation_figure, input_figure
from utils.inspection.chapters.label_figures import (
    boxes_figure,
    classes_figure,
    masks_figure,
    objects_figure,
    size_text,
)
from utils.inspection.label_faults import LEAST_SIDE, label_faults
from utils.inspection.labelled_objects import LabelledObject, labelled_objects
from utils.inspection.subject import Subject


def data_chapter(subject: Subject) -> Chapter:
    """What of the data reaches the network."""
    objects, pixels = labelled_objects(subject), rgb_view(subject.pixels)
    seen = [one for one in objects if one.crop is not None]
    taught = [one for one in objects if one.taught_mask is not None]
    parts: list[Figure | Table] = []
    if seen:
        parts += [objects_figure(pixels, seen), classes_figure(pixels, seen)]
    if objects:
        parts.append(_table(subject, objects))
    if taught:
        parts.append(boxes_figure(pixels, taught))
    parts.append(input_figure(subject, taught))
    if subject.number is not None:
        parts.append(augmentation_figure(subject))
    if taught:
        parts.append(masks_figure(pixels, taught))
    return Chapter(
        "data", "Data: what the network is given", _introduction(subject, objects),
        (*parts, *_charts(subject)), label_faults(subject, objects),
    )  # fmt: skip


def _introduction(subject: Subject, objects: Sequence[LabelledObject]) -> str:
    way = (
        "An image is resized and padded before the network sees it, and an outline is taught as 28 "
        "by 28 numbers. What is wrong or lost here no training puts right, so look here first."
    )
    if subject.record is None:
        return f"The picture has no labels: only what the network is given can be shown. {way}"
    if not objects:
        return (
            "No object is labelled in this image: all of it teaches the network what background "
            f"is. If there are objects in it, label them or leave the image out. {way}"
        )
    several = f"{len(objects)} objects are" if len(objects) > 1 else "One object is"
    left_out = sum(one.taught_mask is None for one in objects)
    less = f"; {left_out} of them, crowds or without a pixel, are not taught" if left_out else ""
    return f"{several} labelled in this image{less}. {way}"


def _table(subject: Subject, objects: Sequence[LabelledObject]) -> Table:
    scale = subject.trace.scale
    rows = [
        (
            str(one.number), one.name, size_text(one.size()), f"{one.pixels:,}",
            size_text(one.size(scale)), f"{one.best_iou:.3f}" if one.taught_mask else "not taught",
        )
        for one in objects
    ]  # fmt: skip
    return Table(
        "The objects by number",
        ("object", "class", "box, px", "mask, px", "box in the input, px", "best IoU of 28x28"),
        tuple(rows),
        "Ask `explain --object N` about one of them. In the network's input an object should be "
        f"at least {LEAST_SIDE:g} pixels wide and high; the best IoU is that of a network which "
        "has learned the mask perfectly.",
    )


def _charts(subject: Subject) -> list[Figure]:
    """This image's objects among those of its part of the data."""
    if subject.dataset is None:
        return []
    data, model = subject.dataset.data, subject.model
    view = NetworkView(*input_size(model), sizes_of(model), subject.weights.channels)
    images: dict[str, list[ImageRecord]] = {"this image": [], "other images": []}
    for number, record in enumerate(data.images):
        images["this image" if number == subject.number else "other images"].append(record)
    parts = {name: replace(data, images=tuple(some)) for name, some in images.items() if some}
    sizes = {
        name: [size for of_class in network_sizes(part, view).values() for size in of_class]
        for name, part in parts.items()
    }
    found = sorted(size for part in sizes.values() for size in part)
    if not found:
        return []
    counts, total = {name: class_counts(part) for name, part in parts.items()}, class_counts(data)
    names = sorted(data.classes, key=lambda name: -total[name])
    bars = {part: [of_class[name] for name in names] for part, of_class in counts.items()}
    smallest, largest = view.anchors[0], view.anchors[-1]
    small, large = sum(size < smallest for size in found), sum(size > largest for size in found)
    (most, number), *others = total.most_common()
    listing = f"all are {most}"
    if others:
        least, fewest = others[-1]
        listing = f"most are {most} ({number:,}), fewest {least} ({fewest:,})"
    return [
        Figure(
            "counts", "Objects per class: is there enough of each to learn and to judge?",
            _shrunk(bar_chart("Objects per class", names, bars)),
            f"{len(found):,} objects in {len(data.images):,} images of this part; "
            f"{listing}. Below some ten objects a class is hardly "
            "learned and its AP says little: label more, or train with --balance-classes.",
        ),
        Figure(
            "sizes", "Object sizes: do they lie between the smallest and the largest anchor?",
            _shrunk(histogram(
                "Object sizes in the network's input", "square root of the box's area, pixels",
                sizes, log=True, marks=view.anchors, marks_name="- - the network's anchors",
            )),
            f"To the network, objects are {found[0]:.3g} to {found[-1]:.3g} pixels large, "
            f"{median(found):.3g} in the median; {small} are below its smallest anchor "
            f"({smallest:g}), {large} above its largest ({largest:g}). "
            + ("If they are found badly, train with --anchors auto, or another --min-size."
               if small or large else "So there is an anchor for each."),
        ),
    ]  # fmt: skip


def _shrunk(chart: Image.Image) -> Image.Image:
    size = SIDE, SIDE * chart.height // chart.width
    return chart.resize(size, Image.Resampling.LANCZOS)
