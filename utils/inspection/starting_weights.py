"""The weights that a training started from, and what it made of each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torchvision.models import get_model_weights
from torchvision.models.detection import MaskRCNN

from nets.freezing import trainable_names
from nets.initial_weights import (
    COCO_ARCHITECTURES,
    KINDS,
    InitialWeights,
    read_initial_weights,
)
from nets.state_dict import StateDict
from nets.weights_file import WeightsError, WeightsFile
from utils.config import TrainConfig
from utils.inspection.layers import Layer, rms
from utils.options import from_dict
from utils.report.run_record import SETTINGS, read_run
from utils.training.stages import read_stages, stage_at
from utils.weights_lookup import FOLDER, find_weights, run_record

# No mask of the background is ever taught: decay alone scales this row, so its direction stays.
UNTAUGHT = "roi_heads.mask_predictor.mask_fcn_logits.weight"
SAME_DIRECTION = 0.999  # least cosine

State = Literal["changed", "new", "unchanged", "frozen", "not trained", "not frozen"]


@dataclass(frozen=True)
class StartingWeights:
    """Where a training began.

    Attributes:
        source: of the weights, in words.
        state: the tensors, as far as they are known.
        new: names of those that were not in the source, and began with random numbers.
        trains: names of the parameters that the run's settings let train; None if not known.
    """

    source: str
    state: StateDict
    new: frozenset[str] = frozenset()
    trains: frozenset[str] | None = None


@dataclass(frozen=True)
class Change:
    """What a training made of a layer.

    Attributes:
        state: changed; new: it began with random numbers; unchanged: every number is as it was;
            frozen: so, as the run's settings want it; not trained: so, though they let it train;
            not frozen: changed, though they do not.
        relative: the norm of what weight and bias changed by, as a share of the norm they began
            with; None if that is not known or 0, or a number is not finite.
    """

    state: State
    relative: float | None = None


def change_of(layer: Layer, start: StartingWeights) -> Change:
    """What became of a layer; its parameters and the running statistics of a norm count."""
    is_new = not start.new.isdisjoint(layer.tensors)
    if any(name not in start.state for name in layer.tensors):
        return Change("new")
    same = all(torch.equal(now, start.state[name]) for name, now in layer.tensors.items())
    trains = start.trains is None or not start.trains.isdisjoint(layer.tensors)
    state: State
    if same:
        known: State = "not trained" if trains else "frozen"
        state = "unchanged" if start.trains is None else known
    else:
        state = "new" if is_new else "changed" if trains else "not frozen"
    return Change(state, _relative(layer.parameters, start.state))


def _relative(parameters: StateDict, start: StateDict) -> float | None:
    now = torch.cat([tensor.flatten() for tensor in parameters.values()])
    before = torch.cat([start[name].flatten() for name in parameters])
    size, step = rms(before), rms(now - before)
    return step / size if size and math.isfinite(step) else None


def starting_weights(weights: WeightsFile, path: Path, start: str = "") -> StartingWeights:
    """The weights that a network was trained from.

    Random numbers are drawn again from the run's seed, as train.py draws them; so are those of
    predictors for other classes than the source has.

    Args:
        weights: the trained network.
        path: of its file; the record of its run is looked for beside it.
        start: ``coco``, ``imagenet`` or a file; by default what the record names, as far as it can
            be had without a download.

    Raises:
        WeightsError: they cannot be had or do not fit, or the run did not start from them.
    """
    try:
        settings = _settings(path)
    except WeightsError:
        if not start:
            raise
        settings = None
    if start:
        return _named(weights, settings, start)
    assert settings is not None
    return _recorded(weights, settings)


def _named(weights: WeightsFile, settings: TrainConfig | None, start: str) -> StartingWeights:
    """What ``--start`` says."""
    if start == "none":
        raise WeightsError(
            "--start none: random numbers can only be drawn again by the record of the run, which "
            "is looked for without --start"
        )
    root = settings.output_root if settings else Path()
    try:
        name = start if start in KINDS else str(find_weights(start, root))
        return _loaded(weights, settings, read_initial_weights(weights.arch, name))
    except WeightsError as error:
        reason, *_ = str(error).split("; ")  # behind it, what train.py's options could do
        raise WeightsError(f"--start {start}: {reason}") from error


def _recorded(weights: WeightsFile, settings: TrainConfig) -> StartingWeights:
    """What the record of a run says."""
    name = settings.weights
    if name in ("coco", "imagenet"):
        _check_cached(weights.arch, name)
    elif name not in KINDS:
        found = find_weights(name, settings.output_root)
        if found not in (Path(name), settings.output_root / FOLDER / name):
            raise WeightsError(f"the run started from {name} of what was then the newest run")
        name = str(found)
    start = _loaded(weights, settings, read_initial_weights(weights.arch, name))
    if not _grew_from(weights.model, start.state):
        raise WeightsError(
            f"the run did not start from what its record now leads to ({start.source}); the file "
            "changed since, or another version of torch drew the random numbers"
        )
    return start


def _loaded(
    weights: WeightsFile, settings: TrainConfig | None, initial: InitialWeights
) -> StartingWeights:
    """A network filled as train.py fills it, from the seed if that is known."""
    with torch.random.fork_rng(devices=[]):
        if settings is not None:
            torch.default_generator.manual_seed(settings.seed)
        model = weights.untrained()
    report = initial.load_into(model)
    state, new = model.state_dict(), frozenset(report.skipped)
    if settings is None:
        known = {name: tensor for name, tensor in state.items() if name not in new}
        return StartingWeights(report.source, known, new)
    drawn = f"the random numbers of the run's seed {settings.seed}, drawn again"
    source = drawn if initial.state is None else report.source
    return StartingWeights(source, state, new, _trained(model, weights, settings, initial))


def _trained(
    model: MaskRCNN, weights: WeightsFile, settings: TrainConfig, initial: InitialWeights
) -> frozenset[str]:
    """The parameters that trained in a stage that had begun when the file was written."""
    stages = read_stages(settings, initial.freeze)
    total = sum(stage.epochs for stage in stages)
    epochs = total if weights.epoch is None else weights.epoch + 1
    parts = {stage_at(stages, epoch).trains for epoch in range(epochs)}
    return frozenset().union(*(trainable_names(model, part) for part in parts))


def _grew_from(state: StateDict, start: StateDict) -> bool:
    now, before = (tensors[UNTAUGHT][0].flatten() for tensors in (state, start))
    return float(torch.cosine_similarity(now, before, 0)) > SAME_DIRECTION


def _settings(path: Path) -> TrainConfig:
    """Those that a run recorded, with its files where they are now."""
    record = run_record(path)
    found = read_run(record).settings if record else {}
    if not record or not found:
        raise WeightsError(f"there is no record of its run (runs/NAME/{SETTINGS}) for {path}")
    try:
        settings = from_dict(TrainConfig, found)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{record / SETTINGS} cannot be read: {error}") from error
    return replace(settings, output_root=record.parent.parent)


def _check_cached(arch: str, kind: str) -> None:
    """Raise ``WeightsError`` if torchvision would download the weights."""
    if kind == "coco" and arch not in COCO_ARCHITECTURES:
        return  # there are none, which is told where they are read
    name = arch if kind == "coco" else arch.removeprefix("maskrcnn_").split("_fpn")[0]
    first = next(iter(get_model_weights(name)))
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(first.url).name)
    if not cached.is_file():
        raise WeightsError(
            f"the run started from {kind} weights, which are not in {cached.parent}; "
            f"--start {kind} downloads them"
        )
