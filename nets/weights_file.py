"""The weights file (``.pth``): a model that knows what it is.

A dict of plain values and tensors, so that it is read with ``weights_only=True``: a file that would
run code is refused, and there is no way around it. Written beside its final name and renamed, so a
crash leaves the previous file whole; every byte is covered by a checksum that is verified on
reading. A plain torchvision ``state_dict`` (no metadata) is read too.
"""

from __future__ import annotations

import errno
import os
import warnings
import zipfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import torchvision
from torchvision.models.detection import MaskRCNN

from nets.input_channels import RGB, input_channels
from nets.mask_rcnn import build_model
from nets.out_of_memory import is_out_of_memory
from nets.state_dict import (
    StateDict,
    WeightsError,
    check_finite,
    check_known,
    describe_state_dict,
    norm_options,
    state_dict_of,
)
from nets.whole_file import replacing, sync_folder

FORMAT_VERSION = 1
TORCH_FILE_STARTS = (b"PK", b"\x80")  # a zip archive; a pickle, as before torch 1.6


@dataclass(frozen=True)
class WeightsFile:
    """What a ``.pth`` file holds. ``num_classes`` counts background; ``classes`` do not.

    ``options`` are the keyword arguments of ``build_model`` that give the same network again;
    ``precision`` is the number format it was trained and judged in;
    ``operating_point`` says from which scores on detections count, if that was chosen on the
    held-out split: a rule and, in label order, ``thresholds`` and what they cost;
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
    operating_point: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    epoch: int | None = None

    @property
    def channels(self) -> int:
        """Of the images that the network takes; 3 in files that do not say."""
        return self.options.get("channels", RGB)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """From which score on a detection counts, by class in label order."""
        everywhere = [self.score_threshold] * len(self.classes)
        return tuple(self.operating_point.get("thresholds", everywhere))

    def untrained(self, reference: bool = False) -> MaskRCNN:
        """The network without its weights.

        Raises:
            WeightsError: there is no such network.
        """
        try:
            return build_model(self.arch, self.num_classes, reference=reference, **self.options)
        except (RuntimeError, TypeError, ValueError) as error:
            raise WeightsError(f"there is no such {self.arch}: {_shortened(error)}") from error

    def build(self, reference: bool = False) -> MaskRCNN:
        """The trained network, in evaluation mode, on the CPU; ``reference`` leaves torchvision's
        modules where this project has faster ones.

        Raises:
            WeightsError: the tensors are not those of this network.
        """
        model = self.untrained(reference)
        try:
            model.load_state_dict(self.model)
        except (RuntimeError, TypeError, ValueError) as error:
            raise WeightsError(
                f"the weights are not those of {self.arch}: {_shortened(error)}"
            ) from error
        return model.eval()


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


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


def store_operating_point(path: Path, operating_point: dict[str, Any]) -> None:
    """Give a weights file other score thresholds; all else in it stays.

    Raises:
        WeightsError: the file is none of ours, which has no place for them.
    """
    content = read_pth(path)
    if "format_version" not in content:
        raise WeightsError(f"{path}: a plain state_dict has no place for score thresholds")
    save_atomically(path, {**content, "operating_point": operating_point})


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
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        # torch hides the disk's own error behind a RuntimeError about file positions.
        cause = error.__context__
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
    else:
        weights = _of_plain(path, state_dict_of(content))
    return renamed(path, weights, classes) if classes else weights


def renamed(path: Path, weights: WeightsFile, classes: tuple[str, ...]) -> WeightsFile:
    """The weights with other class names, in label order.

    Raises:
        WeightsError: they have another number of classes, or a name is there twice; names ``path``,
            where they are from.
    """
    if twice := [name for name in dict.fromkeys(classes) if classes.count(name) > 1]:
        raise WeightsError(f"{path}: --classes names {', '.join(twice)} more than once")
    if len(classes) != len(weights.classes):
        raise WeightsError(
            f"{path}: holds {len(weights.classes)} class(es) ({', '.join(weights.classes)}), "
            f"--classes names {len(classes)}"
        )
    return replace(weights, classes=classes)


def nameless(count: int) -> tuple[str, ...]:
    """What classes are called in a file that has no names for them."""
    return tuple(f"class_{number}" for number in range(1, count + 1))


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
    is_archive = start.startswith(b"PK")  # with checksums: what it asks memory for is meant
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
    check_known(path, weights.arch)
    return weights


def _of_plain(path: Path, model: StateDict) -> WeightsFile:
    arch, num_classes = describe_state_dict(path, model)
    names = nameless(num_classes - 1)
    options = {"channels": input_channels(model), **norm_options(model)}
    return WeightsFile(arch, num_classes, names, model, options)


def first_line(error: Exception) -> str:
    """An error's text without what follows its first line, or else its kind."""
    return (str(error) or type(error).__name__).splitlines()[0]
