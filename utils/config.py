"""Every setting of train.py and test.py, with its default and help: the only home of both; and
what all commands share. Those of predict.py are in ``utils.prediction.config``.

The command-line parsers are built from these dataclasses. A field's name is its flag
(``batch_size`` is ``--batch-size``), so adding a setting is adding one field.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from my_dataset import READERS
from nets.architectures import ARCHITECTURES
from utils.data.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATION
from utils.data.read_options import ReadOptions
from utils.data.shapes import EPOCH_SCENES
from utils.data.shapes import NAME as SHAPES
from utils.data.splits import draw_problems
from utils.evaluation.coco_parameters import MOST_DETECTIONS
from utils.evaluation.threshold_rule import parse_rule
from utils.options import option, options_of
from utils.training.stage_text import stage_problems

PRECISIONS = ("fp32", "bf16", "fp16")
FORMATS = ("auto", *READERS)
MOST_SEED = 2**32 - 1
AUTO_BATCH = 0  # the batch size that stands for the largest that fits
OF_ONE_CALL = ("resume", "dry_run")  # no settings of a run
SPLITS = ("auto", "val", "train", "all")
BEST = "best.pth"  # what commands look for that are given no weights
NEWEST = "newest"  # of the runs that can be gone on with
PENNFUDAN = Path("PennFudanPed")


class ConfigError(ValueError):
    """Settings that cannot work; the message lists all that is wrong with them."""


@dataclass(frozen=True, kw_only=True)
class CommandConfig:
    """What means the same in every command."""

    max_pixels: int = option(178_956_970, "refuse images with more pixels than this")
    debug: bool = option(False, "show tracebacks, and check every target")


@dataclass(frozen=True, kw_only=True)
class DataConfig(CommandConfig):
    """What means the same in all commands that read labelled data, those of tools/ too."""

    format: str = option("auto", "annotation format", choices=FORMATS)
    images: Path | None = option(None, "where the images of a COCO file lie, if not beside it")
    class_attribute: str = option("", "which attribute of VIA's regions is the class")
    embedded_images: bool = option(False, "take pictures only embedded in labelme's JSON files")
    classes: tuple[str, ...] = option((), "class names, in label order, instead of the data's")

    @property
    def reading(self) -> ReadOptions:
        """What the reader of the data is to be told."""
        return ReadOptions(self.images, self.class_attribute, self.embedded_images)


@dataclass(frozen=True, kw_only=True)
class CommonConfig(DataConfig):
    """What means the same in train.py, test.py and predict.py."""

    device: str = option("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str = option(
        "auto",
        "number format of convolutions; auto is bf16 where the device is fast at it, else fp32",
        choices=("auto", *PRECISIONS),
    )
    reference: bool = option(
        False, "torchvision's own modules where there are faster ones here, to compare"
    )
    output_root: Path = option(Path(), "folder that holds runs/, weights/ and logs/")


@dataclass(frozen=True, kw_only=True)
class LoadingConfig(CommonConfig):
    """What train.py and test.py share: they load labelled images in batches."""

    workers: int = option(-1, "processes that load images; -1 chooses by device", short="-j")
    worker_timeout: int = option(300, "seconds that a loading process may take for one batch")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LoadingConfig):
    """Settings of train.py; the defaults are torchvision's fine-tuning tutorial's."""

    data: str = option(
        "auto", "data set folder, or 'shapes'; auto is ./PennFudanPed if it is there, else shapes"
    )
    val_data: Path | None = option(None, "a separate labelled folder to validate on")
    split_file: Path | None = option(None, "reuse the split.json of an earlier run")
    group_by: str = option("", "regular expression: images in whose names it finds the same, such "
                           "as a patient, stay together")  # fmt: skip
    folds: int | None = option(None, "divide the images in so many parts, to cross-validate")
    fold: int | None = option(None, "which of the --folds is held out, from 1 on")
    name: str = option("", "name of the run; the data set's name by default")
    resume: str | None = option(
        None, "go on with an interrupted run: its last.pth; alone, the newest run", bare=NEWEST
    )
    dry_run: bool = option(False, "try everything in two steps and two images, and leave nothing")
    arch: str = option("maskrcnn_resnet50_fpn", "network", choices=ARCHITECTURES)
    weights: str = option(
        "auto",
        "start from coco, imagenet, none, or a .pth file; auto is coco, for shapes none",
    )
    freeze: str = option(
        "auto", "what trains: heads, or also the backbone's stages 3+, 4+ or 5+; none freezes "
        "nothing; a regular expression freezes the parameters it finds by name; auto is 3+ with "
        "pretrained weights, else none",
    )  # fmt: skip
    stages: str = option(
        "", "train in stages, each PART:EPOCHS[@LR], where PART is heads, 3+, 4+, 5+, all or a "
        "regular expression of what trains: heads:2@0.005,all:8@0.0005",
    )  # fmt: skip
    channels: int = option(3, "channels of the images")
    normalize: str = option(
        "auto", "mean and deviation that pixels are normalised with: ImageNet's or those of the "
        "training images; auto is what the starting weights have, ImageNet's from scratch",
        choices=("auto", "imagenet", "dataset"),
    )  # fmt: skip
    anchors: str = option(
        "default", "anchor boxes: the network's, or fitted to the training objects",
        choices=("default", "auto"),
    )  # fmt: skip
    augment: str = option(
        DEFAULT_AUGMENTATION, "how training images are varied", choices=tuple(AUGMENTATIONS)
    )
    cache: int = option(
        -1, "megabytes of decoded pictures to keep in memory, per machine; -1 is an eighth of what "
        "is free, 0 keeps none",
    )  # fmt: skip
    epochs: int = option(10, "passes over the training images")
    steps_per_epoch: int = option(0, "batches that count as an epoch; 0 is all images once")
    batch_size: int = option(
        2, "images per step and process; auto finds what fits", short="-b",
        words={"auto": AUTO_BATCH},
    )  # fmt: skip
    accumulate: int = option(1, "batches whose gradients are added up to one step")
    scale_lr: bool = option(False, "multiply --lr by the number of processes and --accumulate")
    sync_norm: bool = option(False, "batch norms over the batches of all processes")
    balance_classes: bool = option(False, "show images with rare classes more often")
    group_aspects: bool = option(False, "batches of upright or of wide images, to pad less")
    optimizer: str = option("sgd", "update rule", choices=("sgd", "adamw"))
    lr: float = option(0.005, "learning rate")
    momentum: float = option(0.9, "of SGD")
    weight_decay: float = option(5e-4, "of the weights; norms and biases decay only under SGD")
    schedule: str = option(
        "step", "learning rate over time: tenfold down every --lr-step epochs, a cosine down to "
        "zero, or constant", choices=("step", "cosine", "constant"),
    )  # fmt: skip
    lr_step: int = option(3, "epochs between the steps of --schedule step")
    lr_gamma: float = option(0.1, "factor of each step")
    warmup: int = option(1000, "steps of linear warm-up, at most one epoch")
    clip_norm: float = option(0.0, "largest gradient norm; 0 leaves gradients alone")
    ema: float = option(0.0, "judge and keep a moving average of the weights; the decay per step")
    patience: int = option(0, "stop after so many epochs without a better segm AP; 0 never")
    time_limit: float = option(0.0, "stop after so many minutes, to be resumed; 0 never")
    save_every: float = option(15.0, "minutes between saves within an epoch; 0 only at its end")
    min_size: int = option(800, "shorter side of the network's input in pixels")
    max_size: int = option(1333, "longer side of the network's input at most")
    rois: int = option(512, "regions per image that the heads are trained on")
    proposals: int = option(2000, "region proposals kept per training image, half when judging")
    epoch_scenes: int = option(EPOCH_SCENES, "drawn scenes per epoch, for --data shapes")
    keep: int = option(1, "how many of the newest MaskRCNN_<epoch>.pth stay")
    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)  # not by default
    seed: int = option(0, "of the split, the order, the augmentation and the initial weights")
    deterministic: bool = option(False, "the same weights again on a GPU too; slower")

    def __post_init__(self) -> None:
        problems = [
            f"--{name.replace('_', '-')} is {getattr(self, name)}, must be at least {least}"
            for name, least in _AT_LEAST.items()
            if not getattr(self, name) >= least  # nan is not
        ]
        if self.max_size < self.min_size:
            problems.append(f"--max-size {self.max_size} is below --min-size {self.min_size}")
        if not 0 < self.lr < math.inf:
            problems.append(f"--lr is {self.lr}, must be above 0")
        problems += draw_problems(self.group_by, self.folds, self.fold)
        held_out_by = [name for name in _HELD_OUT_BY if getattr(self, name)]
        if len(held_out_by) > 1 and held_out_by != ["group_by", "folds"]:
            flags = [f"--{name.replace('_', '-')}" for name in held_out_by]
            which = "both" if len(flags) == 2 else "all"
            problems.append(f"{' and '.join(flags)} {which} say what is held out; give one")
        if self.data == SHAPES:
            for name in (*_HELD_OUT_BY, "classes", *self.reading.given()):
                if getattr(self, name):
                    flag = name.replace("_", "-")
                    problems.append(f"--{flag} does not go with --data shapes, which is drawn")
        if self.seed > MOST_SEED:
            problems.append(f"--seed is {self.seed}, must be at most {MOST_SEED}")
        if self.dry_run and self.resume is not None:
            problems.append("--dry-run tries a new run; leave --resume out")
        if not 0 <= self.ema < 1:
            problems.append(f"--ema is {self.ema}, must lie in 0..1, such as 0.999")
        problems += stage_problems(self)
        if problems:
            raise ConfigError("; ".join(problems))


_HELD_OUT_BY = ("val_data", "split_file", "group_by", "folds")
_AT_LEAST = {
    "epochs": 1, "batch_size": AUTO_BATCH, "min_size": 32, "max_size": 32, "rois": 1,
    "proposals": 1, "epoch_scenes": 1, "keep": 0, "workers": -1, "worker_timeout": 1,
    "lr_step": 1, "warmup": 0, "seed": 0, "clip_norm": 0, "weight_decay": 0, "channels": 1,
    "steps_per_epoch": 0, "accumulate": 1, "patience": 0, "time_limit": 0,
    "save_every": 0, "cache": -1,
}  # fmt: skip

# Measured in docs/results.md: a small network from scratch, on fresh scenes.
SHAPES_RECIPE: dict[str, Any] = {
    "arch": "maskrcnn_resnet18_fpn_small",
    "weights": "none",
    "batch_size": 8,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup": 100,
    "clip_norm": 10.0,
    "min_size": 128,
    "max_size": 128,
    "rois": 32,
    "proposals": 200,
}


@dataclass(frozen=True, kw_only=True)
class TestConfig(LoadingConfig):
    """Settings of test.py."""

    weights: tuple[str, ...] = option(
        (), "weights files: paths, or names in weights/; best.pth of the newest run by default; "
        "several are compared"
    )  # fmt: skip
    predictions: tuple[Path, ...] = option(
        (), "judge these COCO result files of any tool, too or instead; needs --data"
    )
    compare: tuple[Path, ...] = option((), "only show a table of these runs' folders")
    data: str = option("", "labelled folder, or 'shapes'; the weights' own data set by default")
    split: str = option(
        "auto", "which images: auto is val of the weights' own data and of sets in parts, else all",
        choices=SPLITS,
    )  # fmt: skip
    max_dets: int = option(MOST_DETECTIONS, "the surest detections that count, per image and class")
    operating_point: str = option(
        "", "choose score thresholds on these images: f1, recall=R, precision=P, or false-alarms=X "
        "of a class per image without objects; those in the weights file by default"
    )  # fmt: skip
    store: bool = option(False, "write the chosen score thresholds into the weights file")
    output: Path | None = option(
        None, "folder for metrics.json and report.html; runs/test/<name> by default"
    )

    def __post_init__(self) -> None:
        if self.predictions and not self.data and not self.weights:
            raise ConfigError("--predictions needs labels to be held against: give --data")
        if self.max_dets < 1:
            raise ConfigError(f"--max-dets is {self.max_dets}, must be at least 1")
        is_one = len(self.weights) < 2 and not self.predictions
        if self.store and not (self.operating_point and is_one):
            raise ConfigError("--store writes what --operating-point chose into one weights file")
        if self.compare and (self.weights or self.predictions or self.data):
            raise ConfigError("--compare shows what runs left and judges nothing; give it alone")
        if self.operating_point:
            try:
                parse_rule(self.operating_point)
            except ValueError as error:
                raise ConfigError(f"--operating-point: {error}") from None


def resolve_data(data: str) -> str:
    """``auto`` is ``./PennFudanPed`` if it is there, else the built-in shapes, and says so."""
    if data != "auto":
        return data
    if PENNFUDAN.is_dir():
        print(f"data: {PENNFUDAN}/ is here and is used (--data PATH for another set)")
        return str(PENNFUDAN)
    print(f"data: no {PENNFUDAN}/ here, so the built-in shapes are drawn (--data PATH for yours)")
    return SHAPES


def to_dict(config: CommandConfig) -> dict[str, Any]:
    """Plain values, as ``args.json`` holds them: all options but those of a single call."""
    names = [name for name in options_of(type(config)) if name not in OF_ONE_CALL]
    values = {name: getattr(config, name) for name in names}
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in values.items()
    }
