"""How many of the RoIs that images teach are positive: a chart by image and a table by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from PIL import Image, ImageDraw
from torch import Tensor

from utils.drawing import text_font
from utils.inspection.canvas import POSITIVE, SIDE
from utils.inspection.chapter import INK, TEXT, Figure, Key, Table
from utils.inspection.subject import Subject

LEFT, RIGHT = 150, SIDE - 330  # where the bars begin and may end
BAR = 34  # height of a row
LOW = 0.5  # of the share that the sampler may take
ROWS = 20

Sampled = Mapping[int, Tensor]  # the labels of the sampled RoIs, by the number of their image


def shares_figure(subject: Subject, sampled: Sampled) -> Figure:
    """A bar for each image, with the share that the sampler takes at most."""
    most = subject.model.roi_heads.fg_bg_sampler.positive_fraction
    shares = {number: _share(labels) for number, labels in sampled.items()}
    low, high = percent(min(shares.values())), percent(max(shares.values()))
    unit = (RIGHT - LEFT) / max(most, *shares.values())
    picture = Image.new("RGB", (SIDE, BAR * (len(sampled) + 1) + 8), "white")
    draw, font = ImageDraw.Draw(picture), text_font("", TEXT)
    for row, (number, labels) in enumerate(sampled.items(), start=1):
        middle = BAR * (row + 0.5)
        draw.rectangle((LEFT, middle - 11, LEFT + unit * shares[number], middle + 11), POSITIVE)
        name = "this image" if number == subject.number else f"image {number}"
        draw.text((LEFT - 10, middle), name, INK, font, "rm")
        told = f"{percent(shares[number])}: {int((labels > 0).sum())} of {len(labels)} RoIs, "
        told += f"{counted(len(_objects(subject, number)), 'object')}"
        draw.text((RIGHT + 16, middle), told, INK, font, "lm")
    place = LEFT + unit * most
    for y in range(BAR, picture.height, 12):
        draw.line((place, y, place, y + 6), INK, 2)
    draw.text((place, BAR / 2 + 4), f"the most that is taken: {most:.0%}", INK, font, "mm")
    text = (
        f"In {len(sampled)} images of the data, this one and others with objects, {low} to {high} "
        f"of the RoIs are positive; the sampler takes {most:.0%} if it finds as many. A low share "
        "means that few proposals overlap objects, as early in training or with few or tiny "
        "objects: the heads then learn little but background. A better RPN (more epochs, fitting "
        "anchors) or fewer --rois raise it."
    )
    title = "How near do the bars come to the line? The share of RoIs that teach objects"
    return Figure(
        "positive-shares", title, picture, text, (Key(POSITIVE, "positive RoIs", "area"),)
    )


def classes_table(subject: Subject, sampled: Sampled) -> Table:
    """The RoIs of each class over the same images, most first."""
    rois = Counter(label for labels in sampled.values() for label in labels.tolist())
    objects = Counter(label for number in sampled for label in _objects(subject, number))
    total = max(sum(rois.values()), 1)
    found = sorted(objects, key=lambda label: (-rois[label], label))
    rows = [("background", "", f"{rois[0]:,}", f"{rois[0] / total:.1%}", "")]
    for label in found[:ROWS]:
        rows.append((
            subject.classes[label - 1],
            str(objects[label]),
            f"{rois[label]:,}",
            f"{rois[label] / total:.1%}",
            f"{rois[label] / objects[label]:.1f}",
        ))  # fmt: skip
    left, absent = len(found) - ROWS, len(subject.classes) - len(found)
    text = "A class with few RoIs for each object has objects that proposals seldom reach."
    if left > 0:
        text += f" {counted(left, 'class', 'classes')} with fewer RoIs are left out."
    if absent > 0:
        text += f" {counted(absent, 'class', 'classes')} of the weights have no object here."
    return Table(
        f"RoIs per class, in these {len(sampled)} images",
        ("class", "objects", "RoIs", "of all RoIs", "RoIs per object"),
        tuple(rows),
        text,
    )


def share_findings(subject: Subject, sampled: Sampled) -> list[str]:
    """Whether the images with objects teach too little of them."""
    sampler = subject.model.roi_heads.fg_bg_sampler
    shares = [_share(labels) for number, labels in sampled.items() if _objects(subject, number)]
    mean = sum(shares) / max(len(shares), 1)
    if not shares or mean >= LOW * sampler.positive_fraction:
        return []
    return [
        f"Only {percent(mean)} of the RoIs of {counted(len(shares), 'image')} with objects teach "
        f"an object, where {sampler.positive_fraction:.0%} could: the heads learn little but "
        f"background. Train the RPN longer, look at anchors and proposals, or set --rois lower "
        f"than {sampler.batch_size_per_image}."
    ]


def counted(count: int, one: str, more: str = "") -> str:
    """``1 object``, ``2 objects``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def percent(share: float) -> str:
    """With a digit more below 10 %."""
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def _share(labels: Tensor) -> float:
    return int((labels > 0).sum()) / max(len(labels), 1)


def _objects(subject: Subject, number: int) -> list[int]:
    """The classes of an image's objects, crowds left out."""
    assert subject.dataset is not None
    instances = subject.dataset.data.images[number].instances
    return [one.label for one in instances if not one.iscrowd]
