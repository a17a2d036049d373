"""The numbers that a network consists of: how large they are, and what training made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from nets.weights_file import WeightsError
from utils.charts import COLOURS, INK, MARK
from utils.drawing import Colour
from utils.inspection.chapter import Chapter, Figure, Key, Table
from utils.inspection.chapters.depth_chart import DepthChart
from utils.inspection.chapters.layer_histograms import BEFORE, NOW, draw_histograms
from utils.inspection.layer_remarks import findings, named, remarks
from utils.inspection.layers import DEAD, LARGE, SPAN, Layer, layers_of
from utils.inspection.starting_weights import (
    Change,
    StartingWeights,
    State,
    change_of,
    starting_weights,
)
from utils.inspection.trained_network import TrainedNetwork

NEW, RANGE = COLOURS[3], (165, 165, 165)
NORM: Colour = (196, 160, 0)  # no green, which is what is labelled on other pages
COLOUR: dict[State, Colour] = {
    "new": NEW, "unchanged": INK, "frozen": INK, "not trained": MARK, "not frozen": MARK,
}  # fmt: skip
STATE_KEYS: tuple[tuple[Key, tuple[State, ...]], ...] = (
    (Key(NEW, "new, from random numbers", "area"), ("new",)),
    (Key(INK, "exactly as at the start", "dot"), ("unchanged", "frozen")),
    (Key(MARK, "against the run's settings", "area"), ("not trained", "not frozen")),
)
RANGE_KEYS = (Key(NORM, "median channel", "dot"), Key(RANGE, "least to largest channel"))


def weights_chapter(network: TrainedNetwork, start: str = "") -> Chapter:
    """What is in the weights file, layer by layer, and what training changed.

    Args:
        network: whose weights are looked into.
        start: what the training started from: ``coco``, ``imagenet`` or a file; by default what the
            run's record says.

    Raises:
        WeightsError: ``start`` was given and cannot be had or does not fit.
    """
    layers = layers_of(network.model, network.weights.model)
    weighted = [layer for layer in layers if not layer.is_norm]
    norms = [layer for layer in layers if layer.is_norm]
    began, told = _began(network, start)
    earlier = layers_of(network.model, began.state) if began else []
    before = {layer.name: layer for layer in earlier}
    changes = [change_of(layer, began) for layer in layers] if began else []
    figures = [histograms_figure(weighted, before), sizes_figure(weighted, before)]
    figures += [figure(norms) for figure in (scales_figure, variances_figure)]
    figures += [changes_figure(layers, changes)] if changes else []
    count = sum(tensor.numel() for layer in layers for tensor in layer.tensors.values())
    introduction = (
        f"What the network learned is {count:,} numbers in {len(layers)} layers: {len(weighted)} "
        f"with weights and {len(norms)} batch norms. They are numbered from the image (1) to the "
        f"masks ({len(layers)}), below the charts and in the table. {told}"
    )
    return Chapter(
        "weights", "Weights: the numbers that were learned", introduction,
        (*figures, layers_table(layers, changes)), tuple(findings(layers, changes)),
    )  # fmt: skip


def _began(network: TrainedNetwork, start: str) -> tuple[StartingWeights | None, str]:
    """What the training started from, and a sentence about it."""
    try:
        began = starting_weights(network.weights, network.path, start)
    except WeightsError as error:
        if start:
            raise
        return None, (
            "What training changed is not shown, as the weights that it started from cannot be "
            f"had: {error}. Name them with --start coco, --start imagenet or --start FILE."
        )
    return began, f"They are compared with what the training started from: {began.source}."


def histograms_figure(layers: Sequence[Layer], before: Mapping[str, Layer]) -> Figure:
    """How the weights of each part are spread; ``before`` are the layers of the start, by name."""
    furthest = max(layers, key=lambda layer: layer.reach)
    return Figure(
        "histograms", "Are the weights one hump around zero, without a spike or far outliers?",
        draw_histograms(layers, before),
        "Each layer's weights in multiples of its RMS (root mean square, their usual size), as a "
        "mean over the layers of a part. A spike at 0 is weights that do nothing; much beyond "
        f"{SPAN:g} is a few weights that do all the work. Furthest out is {furthest.reach:.1f} "
        f"times the RMS, in {named([furthest])}.",
        (Key(NOW, "now", "area"), *_start_key(before, "at the start"),
         Key(INK, "zero"), Key(INK, "the RMS", "dashed")),
    )  # fmt: skip


def sizes_figure(layers: Sequence[Layer], before: Mapping[str, Layer]) -> Figure:
    """RMS and largest weight of every layer; ``before`` are the layers of the start, by name."""
    sizes = [size for layer in layers for size in (layer.rms, layer.largest)]
    chart = DepthChart(layers, sizes, "size of the weights")
    odd = [layer for layer in layers if layer.is_large or layer.rms == 0]
    for layer in layers:
        chart.stroke(layer, layer.rms, layer.largest, RANGE)
        chart.dot(layer, layer.largest, MARK if layer in odd else RANGE)
        if layer.name in before:
            chart.dash(layer, before[layer.name].rms, BEFORE)
        if layer.rms:
            chart.dot(layer, layer.rms, NOW)
    least, most = (best(layers, key=lambda layer: layer.rms) for best in (min, max))
    return Figure(
        "sizes", "Is there a layer whose weights are far smaller or larger than its neighbours'?",
        chart.picture,
        f"The RMS lies between {least.rms:.2g} in {named([least])} and {most.rms:.2g} in "
        f"{named([most])}; the more inputs a layer has, the smaller its weights. Good is a largest "
        f"weight of up to about 15 times the RMS; over {LARGE:g} times, or a layer of zeros, is "
        f"marked: {len(odd) or 'none'} here.",
        (Key(NOW, "RMS", "dot"), *_start_key(before, "RMS at the start"),
         Key(RANGE, "largest weight", "dot"),
         *([Key(MARK, "largest weight, suspicious", "dot")] if odd else [])),
    )  # fmt: skip


def scales_figure(norms: Sequence[Layer]) -> Figure:
    """The scales of the batch norms."""
    dead, channels = sum(norm.dead for norm in norms), sum(len(norm.filters) for norm in norms)
    most = max(norms, key=lambda norm: norm.dead)
    where = f", most in {named([most])} ({most.dead})" if dead else ""
    return Figure(
        "norm-scales", "Do the batch norms let all channels through?",
        _ranges(norms, [norm.finite.abs() for norm in norms], "scale, without its sign"),
        "A batch norm multiplies each channel by a scale, which starts at 1; at 0, on the bottom, "
        f"the channel says nothing any more. {dead:,} of {channels:,} scales are below {DEAD:g} of "
        f"their layer's RMS{where}. A few are no harm; many are room that is not used.",
        RANGE_KEYS,
    )  # fmt: skip


def variances_figure(norms: Sequence[Layer]) -> Figure:
    """The running variances of the batch norms."""
    return Figure(
        "norm-variances", "Do the numbers that reach the batch norms stay in bounds?",
        _ranges(norms, [norm.variances for norm in norms], "running variance"),
        "How much each channel varied over the images that the norm was measured on (frozen norms "
        f"keep those of pretraining); the norm divides by its root. {_extent(norms)} At 0, on the "
        "bottom, a channel is the same everywhere; a rise by powers of 10 from layer to layer is a "
        "network whose numbers run away.",
        RANGE_KEYS,
    )  # fmt: skip


def _extent(norms: Sequence[Layer]) -> str:
    """The least and the largest variance, in a sentence."""
    finite = [norm for norm in norms if len(norm.variances)]
    if not finite:
        return "None of them is finite."
    ends = [(float(end), norm) for norm in finite for end in norm.variances.aminmax()]
    (low, least), (high, most) = (best(ends, key=lambda end: end[0]) for best in (min, max))
    if low == high:
        return f"It is {low:g} everywhere, so it was never measured."
    return f"It lies between {low:.2g} in {named([least])} and {high:.2g} in {named([most])}."


def changes_figure(layers: Sequence[Layer], changes: Sequence[Change]) -> Figure:
    """How far every layer is from where it started."""
    sizes = [change.relative or 0 for change in changes]
    chart = DepthChart(layers, sizes, "change, in % of the starting weights", percent=True)
    for layer, change in zip(layers, changes, strict=True):
        colour = COLOUR.get(change.state, NORM if layer.is_norm else NOW)
        if change.relative:
            chart.bar(layer, change.relative, colour)
        else:
            chart.dot(layer, 0, colour, 5 if colour == MARK else 3)
    states = Counter(change.state for change in changes)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    most = max(zip(sizes, layers, strict=True), key=lambda pair: pair[0])
    farthest = f" The most changed is {named([most[1]])}, by {most[0]:.0%}." if most[0] else ""
    if any(change.state == "new" and change.relative is None for change in changes):
        farthest += " New layers are dots, as it is not known which random numbers they began with."
    return Figure(
        "changes", "Which layers learned, and how much?", chart.picture,
        f"The norm of what weight and bias changed by, over the norm they began with; of "
        f"{len(layers)} layers: {counts}.{farthest} At 100 % a layer is as far from its start as "
        f"that was from zero: usual from random numbers, but what a pretrained layer knew is lost. "
        f"If all bars are below 1 %, little was learned: train longer, or with a higher --lr.",
        (Key(NOW, "weights", "area"), Key(NORM, "batch norms", "area"),
         *(key for key, of in STATE_KEYS if any(states[state] for state in of))),
    )  # fmt: skip


def layers_table(layers: Sequence[Layer], changes: Sequence[Change]) -> Table:
    """All layers, those with remarks first; ``changes`` of each, or none."""
    rows = []
    for place, layer in enumerate(layers):
        change = changes[place] if changes else None
        told = remarks(layer, change)
        rows.append((not told, (
            layer.name, str(layer.number), layer.group, layer.kind, f"{layer.filters.numel():,}",
            f"{layer.rms:.3g}", f"{layer.largest:.3g}",
            *([] if change is None else [change.state, _share(change)]),
            "; ".join(told),
        )))  # fmt: skip
    rows.sort(key=lambda row: row[0])  # else in their order
    marked = sum(not is_sound for is_sound, _ in rows)
    return Table(
        "All layers, first those with remarks",
        ("layer", "no.", "part", "kind", "weights", "RMS", "largest",
         *(["since the start", "change"] if changes else []), "remarks"),
        tuple(row for _, row in rows),
        f"{marked or 'None'} of {len(layers)} layers have remarks. Of a batch norm the weights are "
        f"its scales. A filter, or scale, is dead if its RMS is at most {DEAD:g} of its layer's; a "
        f"few are common in networks that trained long, and do no harm.",
    )  # fmt: skip


def _ranges(norms: Sequence[Layer], values: Sequence[Tensor], label: str) -> Image.Image:
    """The least, middle and largest of the channels of every norm."""
    chart = DepthChart(norms, torch.cat([*values]).tolist(), label)
    for norm, own in zip(norms, values, strict=True):
        if len(own):
            chart.stroke(norm, float(own.min()), float(own.max()), RANGE, 3)
            chart.dot(norm, float(own.median()), NORM)
    return chart.picture


def _start_key(before: Mapping[str, Layer], text: str) -> list[Key]:
    return [Key(BEFORE, text)] if before else []


def _share(change: Change) -> str:
    return "" if change.relative is None else f"{change.relative:.1%}"
