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

from nets.weights_file import (
    StateDict,
    WeightsError,
    first_line,
    norm_options,
    read_pth,
    state_dict_of,
)

# These tensors depend on the classes; all others must fit, or the file is of another network.
CLASS_DEPENDENT = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
COCO_ARCHITECTURES = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
BODY = "backbone.body."
PRETRAINED_TRAINABLE_LAYERS = 3  # the deepest backbone stages, torchvision's default


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a source of weights, and what starts fresh and why."""

    source: str
    taken: int
    total: int
    skipped: dict[str, str]

    def __str__(self) -> str:
        lines = [f"weights: {self.taken} of {self.total} tensors from {self.source}"]
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            lines.append(f"  {len(names)} skipped, {reason}: {shown}")
        return "\n".join(lines)


def start_options(arch: str, weights: str) -> dict[str, Any]:
    """How the network is built for a start from ``weights``: keywords of ``build_model``.

    From scratch everything trains. With pretrained weights the batch norms are frozen, with the
    epsilon they were trained with.
    """
    if weights == "none":
        return {"frozen_norm": False}
    if weights == "coco":
        eps = 0.0 if arch == "maskrcnn_resnet50_fpn" else 1e-5
    elif weights == "imagenet":
        eps = 1e-5
    else:
        content = read_pth(Path(weights))
        options = content.get("options") or norm_options(state_dict_of(content))
        eps = options.get("norm_eps", 1e-5)
    return {"frozen_norm": True, "norm_eps": eps}


def load_initial_weights(model: MaskRCNN, arch: str, weights: str) -> LoadReport:
    """Fill ``model`` from ``weights``: ``coco``, ``imagenet``, ``none`` or a file's path.

    COCO and ImageNet weights come from torchvision's local cache, or are downloaded (hash checked).

    Raises:
        WeightsError: they cannot be had or do not fit; the message names the ways on.
    """
    if weights == "none":
        total = len(model.state_dict())
        return LoadReport("none (from scratch)", 0, total, {})
    if weights == "coco":
        state, source = _coco(arch), "COCO"
    elif weights == "imagenet":
        state, source = _imagenet(arch), "ImageNet (backbone only)"
    else:
        state, source = state_dict_of(read_pth(Path(weights))), weights
    return fit_state_dict(model, state, source, backbone_only=weights == "imagenet")


def fit_state_dict(
    model: MaskRCNN, state: StateDict, source: str, backbone_only: bool = False
) -> LoadReport:
    """Copy every tensor of the same name and shape into ``model``.

    Predictors for another number of classes are skipped and start fresh.

    Raises:
        WeightsError: some other tensor is missing or of another shape.
    """
    own = model.state_dict()
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
            f"{misfits[0]}; choose the --arch it was trained with, or --weights none"
        )
    model.load_state_dict(taken, strict=False)
    for name in state.keys() - own.keys():
        if not name.endswith("num_batches_tracked"):
            skipped[name] = "not in this network"
    return LoadReport(source, len(taken), len(own), skipped)


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
        raise WeightsError(
            f"{kind} weights could not be had ({first_line(error)}{hint}). Go on with --weights "
            f"FILE (download {enum.url} elsewhere), or train from scratch with --weights none"
        ) from error
