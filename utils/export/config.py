"""Every setting of tools.export, with its default and help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from utils.config import BEST, CommandConfig, ConfigError
from utils.export.formats import FORMATS
from utils.export.settings import ExportSettings
from utils.options import option

ANY = "dynamic"


@dataclass(frozen=True, kw_only=True)
class ExportConfig(CommandConfig):
    """Settings of tools.export."""

    weights: str = option(BEST, "weights file: a path, or a name in weights/ or its newest run")
    format: str = option("", "what to write", choices=tuple(FORMATS))
    output: Path | None = option(None, "the file; beside the weights by default")
    dynamic: bool = option(False, "take images of any size, as is done without --size")
    size: str = option("", "take images of this height and width only, such as 480x640")
    batch: str = option(ANY, "how many images are taken at once: a number, or dynamic for any")
    paste: bool = option(False, "also give masks of the images' size, one for each detection")
    score_threshold: float | None = option(
        None, "least score that the file gives; by default the network's own, from which AP is "
        "measured. Which objects are shown is decided later"
    )  # fmt: skip
    nms_threshold: float | None = option(
        None, "of two boxes of a class with a higher IoU the surer one stays; by default the "
        "network's own"
    )  # fmt: skip
    max_detections: int | None = option(
        None, "most objects of an image; by default the network's own"
    )
    classes: tuple[str, ...] = option((), "class names, in label order, instead of the weights'")
    data: str = option("", "where the weights' data set lies now, if it has moved")
    calibration_images: int = option(64, "training images that 8-bit numbers are fitted to")
    recommend: bool = option(
        False, "write nothing: measure every format on this machine and say which one to use"
    )
    output_root: Path = option(Path(), "folder that holds weights/")

    def __post_init__(self) -> None:
        problems = []
        if not self.format and not self.recommend:
            problems.append(f"--format is missing; there are {', '.join(FORMATS)}")
        if self.format and self.recommend:
            problems.append("--recommend measures all formats; leave --format out")
        if self.recommend and self.output:
            problems.append("--recommend writes nothing; leave --output out")
        for name in ("score_threshold", "nms_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                problems.append(f"--{name.replace('_', '-')} is {value}, must lie in 0..1")
        for name in ("max_detections", "calibration_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                problems.append(f"--{name.replace('_', '-')} is {value}, must be at least 1")
        if self.dynamic and self.size:
            problems.append("--dynamic takes images of any size, --size of one; give one of them")
        problems += [*self._shape_problems(), *self._output_problems()]
        if problems:
            raise ConfigError("; ".join(problems))

    def _shape_problems(self) -> Iterator[str]:
        try:
            size = self.settings.size
        except ConfigError as error:
            yield str(error)
            return
        if size and size[0] * size[1] > self.max_pixels:
            yield f"--size is {self.size}, more pixels than --max-pixels {self.max_pixels}"

    def _output_problems(self) -> Iterator[str]:
        if not self.output or not self.format:
            return
        suffixes = FORMATS[self.format].suffixes
        if self.output.suffix not in suffixes:
            yield (
                f"--output is {self.output}; a file of {self.format} ends in "
                f"{' or '.join(suffixes)}"
            )
        if self.output.is_dir():
            yield f"--output is {self.output}, which is a folder"
        elif not self.output.parent.is_dir():
            yield f"--output is {self.output}; there is no folder {self.output.parent}"

    @property
    def settings(self) -> ExportSettings:
        """What the file is made for."""
        return ExportSettings(
            size=_size(self.size) if self.size else None,
            batch=None if self.batch == ANY else _whole("--batch", self.batch),
            paste=self.paste,
            score_threshold=self.score_threshold,
            nms_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return _whole("--size", height, text), _whole("--size", width, text)


def _whole(name: str, text: str, given: str = "") -> int:
    what = "HxW in pixels, such as 480x640" if name == "--size" else f"a number or {ANY}"
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{name} is {given or text}, must be {what}")
    return int(text)
