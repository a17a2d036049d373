"""Every setting of tools.check, with its default and help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nets.architectures import ARCHITECTURES
from utils.config import ConfigError, DataConfig, TrainConfig
from utils.options import argument, option


@dataclass(frozen=True, kw_only=True)
class CheckConfig(DataConfig):
    """Settings of tools.check."""

    data: Path = argument("labelled folder or annotation file, also one that comes in parts")
    val_data: Path | None = option(None, "a separate labelled folder that is held out")
    arch: str = option(
        TrainConfig.arch, "network whose anchors objects are held against",
        choices=ARCHITECTURES,
    )  # fmt: skip
    min_size: int = option(TrainConfig.min_size, "shorter side of the network's input in pixels")
    max_size: int = option(TrainConfig.max_size, "longer side of the network's input at most")
    channels: int = option(TrainConfig.channels, "channels of the images")
    output: Path | None = option(None, "folder for the page; runs/check/<name> by default")
    fix_to: Path | None = option(None, "write a repaired copy into this new folder")

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ConfigError(f"--channels is {self.channels}, must be at least 1")
        if not 0 < self.min_size <= self.max_size:
            raise ConfigError(
                f"--min-size {self.min_size} must be above 0 and at most --max-size {self.max_size}"
            )
        if self.fix_to and self.fix_to.exists():
            raise ConfigError(f"--fix-to {self.fix_to}: exists, name a new folder")
