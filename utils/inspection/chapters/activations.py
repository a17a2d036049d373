"""The chapter of the activations: what the feature maps show, and channels that show nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from utils.inspection.chapter import Chapter, Figure, Table
from utils.inspection.chapters.map_pictures import MapPictures, map_panel
from utils.inspection.feature_maps import (
    LEAST_POINTS,
    NOISY,
    ChannelActivity,
    channel_activities,
    object_answers,
    objectness_maps,
    strength_inside,
)
from utils.inspection.subject import Subject

INPUT = "the network's input"
BACKBONE = (
    "Fine maps follow edges, on coarse ones objects should stand out as a whole, lighter or darker "
    "than what is around them. Bands along the border come from the zeros that convolutions see "
    "outside."
)
PYRAMID = (
    "With the coarse maps mixed in, objects should stand out on fine levels too, and not only by "
    "their edges."
)
CHANNELS = 5  # of each map
LISTED = 8
MANY_DEAD = 0.2  # of a map's channels
FLAT = 0.1  # between the lowest and highest objectness
SURE = 0.5


def activations_chapter(subject: Subject) -> Chapter:
    """What the image makes of the network's maps: how strong they are, the RPN's objectness,
    channels that vary most and that answer to objects, and channels that are dead or noisy."""
    look = MapPictures(subject)
    activities = channel_activities(subject)
    body, pyramid = list(subject.trace.body), list(subject.trace.features)
    return Chapter(
        "activations",
        "Activations: what the network sees in the image",
        f"The backbone turns the image into maps, from {body[0]} to {body[-1]} ever coarser and "
        f"richer in meaning. The pyramid mixes them into levels, {pyramid[0]} to {pyramid[-1]}, on "
        "which the RPN looks for objects: small ones on fine levels, large ones on coarse. A map "
        "has one number for each point and channel; its first point stands in the corner of the "
        f"image, the others a stride apart. {about_labels(look)}",
        (
            strength_figure(look, "backbone", body, BACKBONE),
            strength_figure(look, "pyramid", pyramid, PYRAMID),
            objectness_figure(look),
            spread_figure(look, "backbone", body),
            spread_figure(look, "pyramid", pyramid),
            *answer_figures(look),
            channel_table(look, activities),
        ),
        (*channel_findings(activities), *objectness_findings(look)),
    )


def about_labels(look: MapPictures) -> str:
    """What the pictures can be held against."""
    if look.subject.record is None:
        return "The image has no labels, so nothing says where objects should stand out."
    if not look.objects:
        return "The image is labelled as one without objects, so nothing should stand out."
    return "Labelled objects are outlined, so that one sees whether they stand out."


def strength_figure(look: MapPictures, part: str, names: Sequence[str], text: str) -> Figure:
    """How strong each map is at each point: the mean of the absolute values of its channels."""
    columns = look.columns(3)
    strengths = {name: look.maps[name].abs().mean(0) for name in names}
    text = f"How strong all channels are together, the mean of their absolute values. {text}"
    if look.cover:
        inside = {name: strength_inside(strengths[name], look.cover[name]) for name in names}
        told = ", ".join(
            f"{ratio:.2f} in {name}" for name, ratio in inside.items() if math.isfinite(ratio)
        )
        text += f" On the labelled objects, if the strength beside them is 1, it is {told}."
    return Figure(
        f"{part}-strength",
        f"{part.capitalize()}: do objects stand out from what is around them?",
        map_panel(
            [look.image(columns), *(look.map(name, strengths[name], columns) for name in names)],
            [INPUT, *(f"{name}: {sizes(look, name)}" for name in names)],
            columns,
            "the map's weakest point",
            "its strongest",
        ),
        text,
        look.keys(strengths.values()),
    )


def sizes(look: MapPictures, name: str) -> str:
    """How large a map is."""
    channels, height, width = look.maps[name].shape
    return f"{width} x {height}, stride {look.stride(name)}, {channels} channels"


def objectness_figure(look: MapPictures) -> Figure:
    """What the RPN makes of each level."""
    columns = look.columns(3)
    maps = objectness_maps(look.subject.trace)
    captions = [f"{name}: highest {float(values.max()):.2f}" for name, values in maps.items()]
    if look.cover:
        beside = torch.cat([values[look.cover[name] == 0] for name, values in maps.items()])
        text = (
            f"Of {len(beside):,} points beside the objects {int((beside >= SURE).sum()):,} reach "
            f"{SURE}. Good are light spots on objects, small ones on fine levels and large ones on "
            "coarse, and dark between them. The chapters on anchors and proposals tell what "
            "becomes of an object that stays dark."
        )
    else:
        text = "Light is where the RPN proposes an object. " + about_labels(look)
    return Figure(
        "objectness",
        "Objectness: does the RPN light up on the objects, and only there?",
        map_panel(
            [look.image(columns), *(look.map(name, maps[name], columns, (0, 1)) for name in maps)],
            [INPUT, *captions],
            columns,
            "0: surely no object",
            "1: surely an object",
        ),
        f"The surest anchor of each point, on one scale for all levels. {text}",
        look.keys(maps.values()),
    )


def spread_figure(look: MapPictures, part: str, names: Sequence[str]) -> Figure:
    """The channels of each map that vary most over the image."""
    columns = look.columns(CHANNELS)
    copies = [
        (after, before)
        for before, after in pairwise(names)
        if torch.equal(look.maps[after], look.maps[before][:, ::2, ::2])
    ]
    pictures, captions, shown = [], [], []
    for name in names:
        if name in dict(copies):
            continue
        spreads = look.maps[name].std((1, 2), correction=0).nan_to_num(0)
        for channel in spreads.topk(min(max(columns, 2), len(spreads))).indices.tolist():
            values = look.maps[name][channel]
            shown.append(values)
            pictures.append(look.map(name, values, columns))
            captions.append(f"{name} #{channel}: {values.min():.3g} to {values.max():.3g}")
    left_out = "".join(f" {a} is {b} at every second point, and left out." for a, b in copies)
    return Figure(
        f"{part}-channels",
        f"{part.capitalize()}: what do its most active channels look for?",
        map_panel(pictures, captions, columns, "the channel's lowest value", "its highest"),
        "The channels that vary most over this image, with their numbers and values. Each should "
        "show something else: edges and textures on fine maps, parts and whole objects on coarse "
        f"ones. If all look alike or like noise, the network has learnt little.{left_out}",
        look.keys(shown),
    )


def answer_figures(look: MapPictures) -> tuple[Figure, ...]:
    """On each level the channel that answers most to the labelled objects; none if nothing
    is labelled, or all."""
    if not look.cover:
        return ()
    columns = look.columns(4)
    pictures, captions, shown, highest = [look.image(columns)], [INPUT], [], []
    for name, values in look.maps.items():
        answers = object_answers(values, look.cover[name])
        channel = int(answers.argmax())
        shown.append(values[channel])
        highest.append((float(answers[channel]), f"#{channel} of {name}"))
        pictures.append(look.map(name, values[channel], columns))
        captions.append(f"{name} #{channel}: {answers[channel]:+.1f}")
    answer, where = max(highest)
    return (
        Figure(
            "object-channels",
            "Which channel of each map answers most to the labelled objects?",
            map_panel(pictures, captions, columns, "the channel's lowest value", "its highest"),
            "The number is the mean inside the objects' masks minus the mean outside, in standard "
            f"deviations of the channel over the image. The clearest answer, {answer:+.1f}, is "
            f"that of {where}. Above 1 objects stand out; if no channel reaches 0.5, the network "
            "does not tell them from what is around them: train longer, or from COCO weights.",
            look.keys(shown),
        ),
    )


def channel_table(look: MapPictures, activities: Mapping[str, ChannelActivity]) -> Table:
    """Each level's size, and its channels that say nothing."""
    images = next(iter(activities.values())).images
    rows = []
    for name, activity in activities.items():
        _, height, width = look.maps[name].shape
        rows.append(
            (
                name,
                f"{width} x {height}",
                f"{look.stride(name)} px",
                f"{len(activity.dead)}",
                f"{float(look.maps[name].abs().mean()):.3g}",
                listed(activity.dead),
                listed(activity.noisy) if activity.judges_noise else "too few points",
                listed(~activity.finite),
            )
        )
    return Table(
        f"Channels that show nothing, over {images} {'image' if images == 1 else 'images'}",
        ("map", "points", "stride", "channels", "mean |value|", "dead", "noisy", "not finite"),
        tuple(rows),
        "Dead: the same value at all points of all these images (0 after a ReLU)"
        + ("; one image alone cannot tell, others may wake a channel. " if images == 1 else ". ")
        + f"Noisy: neighbouring points are correlated by less than {NOISY} (0 is white noise, 1 a "
        f"smooth map; judged from {LEAST_POINTS} points on). A few are harmless. Channels are "
        "numbered from 0.",
    )


def channel_findings(activities: Mapping[str, ChannelActivity]) -> tuple[str, ...]:
    """Maps with channels that are not finite, or with many that are dead over several images."""
    findings = []
    broken = [
        f"{name} ({int((~activity.finite).sum())} of {len(activity.finite)} channels)"
        for name, activity in activities.items()
        if not activity.finite.all()
    ]
    if broken:
        findings.append(
            f"Values are infinite or NaN in {', '.join(broken)}: try --precision fp32, and if they "
            "stay, train again with a lower --lr."
        )
    dead = [
        f"{name} ({activity.dead.float().mean():.0%} of {len(activity.dead)})"
        for name, activity in activities.items()
        if activity.images > 1 and activity.dead.float().mean() > MANY_DEAD
    ]
    if dead:
        images = next(iter(activities.values())).images
        findings.append(
            f"Many channels are dead, the same everywhere in {images} images, in "
            f"{', '.join(dead)}: the learning rate may have been too high at the start, or the "
            "network is larger than the data need."
        )
    return tuple(findings)


def objectness_findings(look: MapPictures) -> tuple[str, ...]:
    """Whether the RPN sees nothing at all."""
    values = look.subject.trace.objectness.float().sigmoid()
    low, high = float(values.min()), float(values.max())
    right = look.subject.record is not None and not look.objects and high < SURE
    if not high - low < FLAT or right:  # NaN is not below
        return ()
    return (
        f"Objectness is flat, {low:.2f} to {high:.2f} over the whole image: the RPN does not tell "
        "objects from background; the weights may be untrained or those of other data, or the "
        "objects of another size than they learnt.",
    )


def listed(channels: Tensor) -> str:
    """How many channels of a bool (C,), and which."""
    numbers = channels.nonzero().flatten().tolist()
    if not numbers:
        return "0"
    more = len(numbers) - LISTED
    shown = ", ".join(map(str, numbers[:LISTED]))
    share = f"{len(numbers)} ({len(numbers) / len(channels):.1%})"
    return f"{share}: {shown}" + (f" and {more} more" if more > 0 else "")
