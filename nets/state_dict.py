"""What a model's state_dict tells of it: its architecture, and whether its numbers are sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from nets.mask_rcnn import ARCHITECTURES, COCO_CLASSES, SMALL_CHANNELS

StateDict = dict[str, Tensor]

# Parameter names before torchvision 0.13, as in weights files published with the old tutorials.
OLD_NAMES = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
)
OLD_MASK_HEAD = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")


class WeightsError(ValueError):
    """A weights file is missing, damaged, unsafe or does not fit; the message says what to do."""


def state_dict_of(content: dict[str, Any]) -> StateDict:
    """The tensors in a file of ours, a torchvision checkpoint or a plain state_dict."""
    inner = content
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), dict):
            inner = content[key]
            break
    return modern_names(inner)


def check_finite(source: str, state: StateDict) -> None:
    """Raise ``WeightsError`` if a number is infinite or NaN: such a network finds nothing."""
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{source}: {len(broken)} tensor(s) hold numbers that are infinite or NaN, first "
            f"{broken[0]}; the training that wrote it went wrong, use an earlier file"
        )


def modern_names(state: dict[str, Any]) -> StateDict:
    """Tensors under the names that current torchvision uses; ``module.`` prefixes go."""
    renamed: StateDict = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue
        modern = name.removeprefix("module.")
        for pattern, replacement in OLD_NAMES:
            modern = re.sub(pattern, replacement, modern)
        if match := OLD_MASK_HEAD.match(modern):
            modern = f"roi_heads.mask_head.{int(match[1]) - 1}.0.{match[2]}"
        renamed[modern] = value
    return renamed


def describe_state_dict(path: Path, state: StateDict) -> tuple[str, int]:
    """Architecture and class count (background included), read off the tensors.

    Raises:
        WeightsError: not a Mask R-CNN of an architecture known here.
    """
    wanted = (
        "roi_heads.box_predictor.cls_score.weight",
        "backbone.fpn.inner_blocks.0.0.weight",
        "roi_heads.mask_predictor.mask_fcn_logits.weight",  # a Faster R-CNN has none
    )
    missing = [name for name in wanted if name not in state]
    if missing:
        raise WeightsError(
            f"{path}: not a torchvision Mask R-CNN with FPN (it has no {missing[0]}); "
            "known are the files of this program and torchvision's state_dicts"
        )
    num_classes = state[wanted[0]].shape[0]
    if "backbone.body.0.0.weight" in state:
        return "maskrcnn_mobilenet_v3_large_fpn", num_classes
    prefix = "backbone.body.layer3."
    blocks = len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})
    bottleneck = "backbone.body.layer1.0.conv3.weight" in state
    depth = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101}.get(
        (blocks, bottleneck)
    )
    if depth is None:
        raise WeightsError(f"{path}: an unknown backbone ({blocks} blocks in its third stage)")
    small = state[wanted[1]].shape[0] == SMALL_CHANNELS
    version_2 = "rpn.head.conv.1.0.weight" in state
    suffix = "_small" if small else "_v2" if version_2 else ""
    arch = f"maskrcnn_resnet{depth}_fpn{suffix}"
    check_known(path, arch)
    return arch, num_classes


def norm_options(state: StateDict) -> dict[str, Any]:
    """How the batch norms of a plain state_dict were built: keywords of ``build_model``.

    Only norms that train count their batches. torchvision's COCO weights with 91 classes were
    trained without an epsilon in their frozen norms; other files are read as torchvision would.
    """
    if any(name.endswith("num_batches_tracked") for name in state):
        return {"frozen_norm": False}
    predictor = state.get("roi_heads.box_predictor.cls_score.weight")
    is_coco = predictor is not None and predictor.shape[0] == COCO_CLASSES
    return {"frozen_norm": True, "norm_eps": 0.0 if is_coco else 1e-5}


def check_known(path: Path, arch: str) -> None:
    """Raise ``WeightsError`` if no such network can be built."""
    if arch not in ARCHITECTURES:
        raise WeightsError(f"{path}: holds {arch}, this program knows {', '.join(ARCHITECTURES)}")
