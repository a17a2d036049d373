"""Where training starts: COCO weights, an ImageNet backbone, a file, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torchvision.models import ResNet50_Weights, WeightsEnum, get_model_weights
from torchvision.models.detection import MaskRCNN

from nets.input_channels import fit_input_channels, input_channels
from nets.state_dict import (
    StateDict,
    WeightsError,
    check_finite,
    norm_options,
    state_dict_of,
)
from nets.weights_file import first_line, read_pth

# These tensors depend on the classes; all others must fit, or the file is of another network.
CLASS_DEPENDENT = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
KINDS = ("coco", "imagenet", "none")  # what --weights can name beside a file
COCO_ARCHITECTURES = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
BODY = "backbone.body."
PRETRAINED_FREEZE = "3+"  # the last three backbone stages train, torchvision's default
# What the weights of a file are used to, and go on with.
KEPT_OPTIONS = ("anchor_sizes", "aspect_ratios", "image_mean", "image_std")


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a source of weights, and what starts fresh and why."""

    source: str
    taken: int
    total: int
    skipped: dict[str, str]
    adapted: str = ""  # what was done to the first convolution

    def __str__(self) -> str:
        if not self.taken:
            return "weights: none, training from scratch"
        lines = [f"weights: {self.taken} of {self.total} tensors from {self.source}"]
        if self.adapted:
            lines.append(f"  first convolution: {self.adapted}")
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            lines.append(f"  {len(names)} skipped, {reason}: {shown}")
        return "\n".join(lines)


@dataclass(frozen=True)
class InitialWeights:
    """Tensors to start from, and how a network is built for them.

    ``state`` is None for a start from scratch. ``options`` are keywords of ``build_model`` that
    stay with the network; ``freeze`` is what ``--freeze auto`` means.
    """

    source: str
    state: StateDict | None
    options: dict[str, Any]
    freeze: str = PRETRAINED_FREEZE
    backbone_only: bool = False

    def load_into(self, model: MaskRCNN) -> LoadReport:
        """Fill a network built with ``options``; ``WeightsError`` if the tensors do not fit."""
        if self.state is None:
            return LoadReport(self.source, 0, len(model.state_dict()), {})
        return fit_state_dict(model, self.state, self.source, self.backbone_only)


def read_initial_weights(arch: str, weights: str) -> InitialWeights:
    """What ``weights`` names: ``coco``, ``imagenet``, ``none`` or a file's path.

    COCO and ImageNet weights come from torchvision's local cache, or are downloaded (hash checked).
    From scratch everything trains. With pretrained weights the batch norms are frozen, with the
    epsilon they were trained with; beside an ImageNet backbone all other norms are new and train.
    A file brings its anchors and its normalisation.

    Raises:
        WeightsError: they cannot be had; the message names the ways on.
    """
    if weights == "none":
        return InitialWeights("none", None, {"frozen_norm": False}, "none")
    if weights == "imagenet":
        options = {"frozen_norm": "body", "norm_eps": 1e-5}
        source = "ImageNet (backbone only)"
        return InitialWeights(source, _imagenet(arch), options, backbone_only=True)
    if weights == "coco":
        eps = 0.0 if arch == "maskrcnn_resnet50_fpn" else 1e-5
        return InitialWeights("COCO", _coco(arch), {"frozen_norm": True, "norm_eps": eps})
    content = read_pth(Path(weights))
    if content.get("arch", arch) != arch:
        raise WeightsError(
            f"{weights}: is of the network {content['arch']}, not {arch}; give "
            f"--arch {content['arch']}"
        )
    state = state_dict_of(content)
    built = content.get("options") or norm_options(state)
    options = {"frozen_norm": True, "norm_eps": built.get("norm_eps", 1e-5)}
    options |= {name: built[name] for name in KEPT_OPTIONS if name in built}
    return InitialWeights(weights, state, options)


def fit_state_dict(
    model: MaskRCNN, state: StateDict, source: str, backbone_only: bool = False
) -> LoadReport:
    """Copy every tensor of the same name and shape into ``model``.

    Predictors for another number of classes are skipped and start fresh; the first convolution of
    an RGB network is fitted to another number of channels (``nets.input_channels``).

    Raises:
        WeightsError: some other tensor is missing or of another shape, or a number is not finite.
    """
    if not backbone_only and not any(name.startswith("roi_heads.") for name in state):
        raise WeightsError(f"{source}: is not a Mask R-CNN, it has no roi_heads; a classifier?")
    check_finite(source, state)
    own = model.state_dict()
    state, adapted = fit_input_channels(state, input_channels(own))
    taken: StateDict = {}
    skipped: dict[str, str] = {}
    misfits: list[str] = []
    for name, wanted in own.items():
        problem = _problem(wanted, state.get(name))
        if problem is None:
            taken[name] = state[name]
        elif name.endswith("num_batches_tracked"):
            pass  # frozen norms do not count batches; a fresh count changes nothing
        elif name.startswith(CLASS_DEPENDENT) or (backbone_only and not name.startswith(BODY)):
            skipped[name] = problem
        else:
            misfits.append(f"{name} ({problem})")
    if misfits:
        raise WeightsError(
            f"{source}: does not fit this network, {len(misfits)} tensor(s) differ, first "
            f"{misfits[0]}; choose the --arch and --channels it was trained with, or --weights none"
        )
    model.load_state_dict(taken, strict=False)
    for name in state.keys() - own.keys():
        if not name.endswith("num_batches_tracked"):
            skipped[name] = "not in this network"
    return LoadReport(source, len(taken), len(own), skipped, adapted)


def _problem(wanted: Tensor, found: Tensor | None) -> str | None:
    if found is None:
        return "not in the file"
    if found.shape != wanted.shape:
        return f"shape {tuple(found.shape)} in the file, {tuple(wanted.shape)} here"
    return None


def _coco(arch: str) -> StateDict:
    if arch not in COCO_ARCHITECTURES:
        raise WeightsError(
            f"there are no COCO weights for {arch} (only for {', '.join(COCO_ARCHITECTURES)}); "
            "use --weights imagenet, --weights FILE or --weights none"
        )
    return _fetch(get_model_weights(arch).DEFAULT, "COCO")


def _imagenet(arch: str) -> StateDict:
    name = arch.removeprefix("maskrcnn_").split("_fpn")[0]
    if name == "resnet50":
        enum = ResNet50_Weights.IMAGENET1K_V1  # what torchvision's detection models start from
    else:
        enum = next(iter(get_model_weights(name)))
    state = _fetch(enum, "ImageNet")
    if name.startswith("mobilenet"):
        state = {key.removeprefix("features."): value for key, value in state.items()}
    return {BODY + key: value for key, value in state.items() if not key.startswith(("fc.", "cla"))}


def _fetch(enum: WeightsEnum, kind: str) -> StateDict:
    try:
        return dict(enum.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        cached = Path(torch.hub.get_dir(), "checkpoints", Path(enum.url).name)
        hint = f"; {cached} is damaged, delete it" if cached.exists() else ""
        where = f" to {cached.parent}" if kind == "ImageNet" else ""
        raise WeightsError(
            f"{kind} weights could not be had ({first_line(error)}{hint}). Download {enum.url} "
            f"elsewhere{where}; or go on with --weights FILE, a Mask R-CNN of your own or that "
            "download if it is one, or from scratch with --weights none"
        ) from error
