"""The weights file (``.pth``): a model that knows what it is.

A dict of plain values and tensors, so that it is read with ``weights_only=True``: a file that would
run code is refused, and there is no way around it. Written beside its final name and renamed, so a
crash leaves the previous file whole; every byte is covered by a checksum that is verified on
reading. A plain torchvision ``state_dict`` (no metadata) is read too.
"""

from __future__ import annotations

import errno
import os
import re
import warnings
import zipfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import MaskRCNN

from nets.input_channels import RGB, input_channels
from nets.mask_rcnn import ARCHITECTURES, COCO_CLASSES, SMALL_CHANNELS, build_model
from nets.out_of_memory import is_out_of_memory
from nets.whole_file import replacing, sync_folder

FORMAT_VERSION = 1
TORCH_FILE_STARTS = (b"PK", b"\x80")  # a zip archive; a pickle, as before torch 1.6
StateDict = dict[str, Tensor]

# Parameter names before torchvision 0.13, as in weights files published with the old tutorials.
OLD_NAMES = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
)
OLD_MASK_HEAD = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")


class WeightsError(ValueError):
    """A weights file is missing, damaged, unsafe or does not fit; the message says what to do."""


@dataclass(frozen=True)
class WeightsFile:
    """What a ``.pth`` file holds. ``num_classes`` counts background; ``classes`` do not.

    ``options`` are the keyword arguments of ``build_model`` that give the same network again;
    ``precision`` is the number format it was trained and judged in;
    ``data`` names the training data, its fingerprint and split; ``metrics`` are those of ``model``
    on the held-out split.
    """

    arch: str
    num_classes: int
    classes: tuple[str, ...]
    model: StateDict
    options: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    precision: str = ""
    score_threshold: float = 0.5
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: int | None = None

    @property
    def channels(self) -> int:
        """Of the images that the network takes; 3 in files that do not say."""
        return self.options.get("channels", RGB)

    def build(self) -> MaskRCNN:
        """The trained network, in evaluation mode, on the CPU.

        Raises:
            WeightsError: the tensors are not those of this network.
        """
        try:
            model = build_model(self.arch, self.num_classes, **self.options)
            model.load_state_dict(self.model)
        except (RuntimeError, TypeError, ValueError) as error:
            details = " ".join(str(error).split())[:300]
            raise WeightsError(f"the weights are not those of {self.arch}: {details}") from error
        return model.eval()


def save_weights(path: Path, weights: WeightsFile, **extra: Any) -> None:
    """Write a weights file atomically; ``extra`` are further plain values beside its fields."""
    content = {
        **extra,
        "format_version": FORMAT_VERSION,
        **{f.name: getattr(weights, f.name) for f in fields(weights)},
        "classes": list(weights.classes),
        "versions": {"torch": str(torch.__version__), "torchvision": torchvision.__version__},
    }
    save_atomically(path, content)


def save_atomically(path: Path, content: dict[str, Any]) -> None:
    """``torch.save`` that leaves either the old file or the new one, never a part of one.

    Raises:
        OSError: the disk is full or not writable; names the file; the previous one is intact.
    """
    try:
        with replacing(path, path.with_name(path.name + ".part")) as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        # torch hides the disk's own error behind a RuntimeError about file positions.
        cause = error if isinstance(error, OSError) else error.__context__
        number = getattr(cause, "errno", None) or errno.EIO
        reason = getattr(cause, "strerror", None) or cause or error
        raise OSError(number, f"cannot be written ({reason})", str(path)) from error


def load_weights(path: Path, classes: tuple[str, ...] | None = None) -> WeightsFile:
    """Read a weights file of ours or a plain torchvision ``state_dict``.

    Args:
        path: the file.
        classes: names in label order, instead of the file's; a file without names has
            ``class_1``, ``class_2``... else.

    Raises:
        WeightsError: missing, damaged, unsafe, of a newer format, not a Mask R-CNN, or with
            numbers that are not finite.
    """
    content = read_pth(path)
    check_finite(str(path), state_dict_of(content))
    if "format_version" in content:
        weights = weights_of(path, content)
        if classes and classes != weights.classes:
            if len(classes) != len(weights.classes):
                raise WeightsError(
                    f"{path}: holds {len(weights.classes)} class(es) "
                    f"({', '.join(weights.classes)}), --classes names {len(classes)}"
                )
            weights = replace(weights, classes=classes)
        return weights
    model = state_dict_of(content)
    arch, num_classes = describe_state_dict(path, model)
    names = classes or tuple(f"class_{i}" for i in range(1, num_classes))
    if len(names) != num_classes - 1:
        raise WeightsError(
            f"{path}: holds {num_classes - 1} class(es) beside background, "
            f"--classes names {len(names)}"
        )
    options = {"channels": input_channels(model), **norm_options(model)}
    return WeightsFile(arch, num_classes, names, model, options)


def read_pth(path: Path) -> dict[str, Any]:
    """Read any ``.pth`` safely: no code is run, and damaged bytes are noticed.

    Raises:
        WeightsError: naming the file, what is wrong and what to do.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path}: is empty (0 bytes); was the download or the copy cut short?")
    with open(path, "rb") as file:
        start = file.read(20)
    if not start.startswith(TORCH_FILE_STARTS):
        raise WeightsError(
            f"{path}: is not a PyTorch file, it starts with {start!r}; perhaps a web page or a "
            "git-lfs pointer was saved under this name"
        )
    damaged = "the file is damaged; copy or download it again, or use an earlier one"
    is_archive = zipfile.is_zipfile(path)  # with checksums: what it asks memory for is meant
    try:
        if is_archive:
            with zipfile.ZipFile(path) as archive:
                bad_entry = archive.testzip()
            if bad_entry:
                raise WeightsError(f"{path}: checksum of {bad_entry} is wrong; {damaged}")
        with warnings.catch_warnings():  # on what is refused below anyway
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # torch.load raises many kinds, depending on the damage
        if is_archive and is_out_of_memory(error):
            raise
        if "weights_only" in str(error).lower() or "unsupported global" in str(error).lower():
            raise WeightsError(
                f"{path}: refused, it holds Python objects beside tensors and plain values, and "
                "loading those could run code. Save only the state_dict from where it was made"
            ) from error
        raise WeightsError(f"{path}: cannot be read ({first_line(error)}); {damaged}") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not a model's state_dict")
    return content


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
    _check_known(path, arch)
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


def weights_of(path: Path, content: dict[str, Any]) -> WeightsFile:
    """What ``read_pth`` read of a file of ours; raises ``WeightsError`` if it is incomplete."""
    version = content["format_version"]
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise WeightsError(
            f"{path}: format {version}, this program reads up to {FORMAT_VERSION}; update it"
        )
    names = {f.name for f in fields(WeightsFile)}
    try:
        values = {name: value for name, value in content.items() if name in names}
        weights = WeightsFile(**{**values, "classes": tuple(content["classes"])})
    except (KeyError, TypeError) as error:
        raise WeightsError(f"{path}: an incomplete weights file ({error})") from error
    if len(weights.classes) != weights.num_classes - 1:
        raise WeightsError(
            f"{path}: names {len(weights.classes)} class(es) but has {weights.num_classes - 1}"
        )
    _check_known(path, weights.arch)
    return weights


def _check_known(path: Path, arch: str) -> None:
    if arch not in ARCHITECTURES:
        raise WeightsError(f"{path}: holds {arch}, this program knows {', '.join(ARCHITECTURES)}")


def first_line(error: Exception) -> str:
    """An error's text without what follows its first line, or else its kind."""
    return (str(error) or type(error).__name__).splitlines()[0]
