"""Videos and cameras, read frame by frame."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from utils.config import ConfigError
from utils.data.channels import RGB
from utils.data.images import to_channels
from utils.data.records import DataError
from utils.prediction.found_picture import Picture, file_stamp
from utils.prediction.pixels import PixelArray

VIDEO_SUFFIXES = frozenset(
    {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}
)
# By platform: the format and the address of the camera of a number, as FFmpeg calls them.
CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("vfwcap", "{}"),
}
USUAL_RATE = Fraction(25)  # of a video that does not tell its own
MISSED = 0.5  # seconds at the end without which a video counts as cut short


def pyav() -> ModuleType:
    """PyAV, which reads and writes videos; loaded only if there is one.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ConfigError(
            f"videos need PyAV ({error}): pip install -r requirements-video.txt"
        ) from error
    return av


@dataclass(frozen=True)
class SourceVideo:
    """One video to look at: a file, or a camera by its number.

    Attributes:
        name: relative, with forward slashes.
        stem: of its output files.
        path: the file, None for a camera.
        camera: its number, None for a file.

    Raises:
        ConfigError: PyAV is not installed.
    """

    name: str
    stem: str
    path: Path | None = None
    camera: int | None = None

    def __post_init__(self) -> None:
        pyav()  # before hours are spent on the pictures beside it

    @property
    def stamp(self) -> list[Any]:
        """What tells whether it has changed since an earlier run."""
        return file_stamp(self.path, self.name)

    @contextmanager
    def open(self, channels: int = RGB, every: int = 1) -> Iterator[Footage]:
        """The video, to be read once.

        Args:
            channels: of the images the network takes.
            every: only every so many frames are given.

        Raises:
            DataError: it is missing, may not be read, or is no video; the camera is not there.
        """
        stamp = self.stamp  # first: a file that is replaced meanwhile is another one next time
        try:
            container = self._container()
        except pyav().error.FFmpegError as error:
            raise DataError(self._why(error)) from error
        with container:
            if not container.streams.video:
                raise DataError("has no pictures, only sound; remove it")
            yield Footage(self, stamp, container.streams.video[0], channels, every)

    def _container(self) -> Any:
        if self.path is not None:
            # Absolute, as FFmpeg takes a name such as "http:clip.mp4" for an address.
            return pyav().open(str(self.path.absolute()))
        kind, address = CAMERAS.get(sys.platform, CAMERAS["linux"])
        return pyav().open(address.format(self.camera), format=kind)

    def _why(self, error: Any) -> str:
        if self.camera is not None:
            return f"there is no such camera, or another program uses it ({error.strerror})"
        if isinstance(error, OSError):
            return f"may not be read ({error.strerror})"
        return (
            f"is not a video FFmpeg can read ({error.strerror}): damaged, or cut short before "
            "its index was written; replace or remove it"
        )


@dataclass(frozen=True)
class Frame(Picture):
    """A picture of a video.

    Attributes:
        video: its name.
        number: in the video, from 0.
        seconds: since its first frame.
    """

    video: str = ""
    number: int = 0
    seconds: float = 0.0


class Footage:
    """An opened video.

    Attributes:
        stamp: the video's, when it was opened.
        rate: frames per second that are given, on average.
        total: how many frames will be given, if the file tells; only for a progress bar.
        number: of the frames read so far, the given ones and those between.
        problem: after the last frame, what was damaged; empty if all could be read.
    """

    def __init__(
        self, video: SourceVideo, stamp: list[Any], stream: Any, channels: int, every: int
    ) -> None:
        self.video = video
        self.stamp = stamp
        self.stream = stream
        self.channels = channels
        self.every = every
        self.number = 0
        self.problem = ""
        full_rate = stream.average_rate or stream.guessed_rate or USUAL_RATE
        self.full_rate = full_rate
        self.rate = full_rate / every
        start = float((stream.start_time or 0) * stream.time_base)
        number = stream.frames or round(max(0.0, _end(stream) - start) * full_rate)
        self.total = -(-number // every) or None
        stream.thread_type = "AUTO"

    def frames(self) -> Iterator[Frame]:
        """Every so many frames, as uint8 RGB (H, W, 3), upright; or as ``load_image`` gives other
        numbers of channels. What is damaged is left out, and told by ``problem``.

        Raises:
            DataError: there is no frame, or the network takes other channels.
        """
        first, end = None, 0.0
        for decoded in self._decoded():
            number = self.number
            time = number / float(self.full_rate) if decoded.time is None else decoded.time
            first = time if first is None else first
            if number % self.every == 0:
                yield self._frame(decoded, number, time - first)
            length = decoded.duration * decoded.time_base if decoded.duration else 0
            end = max(end, time + float(length))
            self.number += 1
        if not self.number:
            raise DataError(f"has no frame that can be decoded; {self.problem or 'it is empty'}")
        missing = _end(self.stream) - end
        if missing > MISSED:
            self.problem = f"the last {missing:.1f} s are missing"
        if self.problem:
            used = f"{self.number} frames could be read and are used"
            self.problem = f"damaged or cut short ({self.problem}); {used}"

    def _decoded(self) -> Iterator[Any]:
        errors = pyav().error.FFmpegError
        packets = self.stream.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                if packet.is_corrupt:
                    self.problem = "a part of the file is missing"
            except errors as error:
                self.problem = error.strerror
                return
            try:
                yield from packet.decode()
            except errors as error:
                self.problem = error.strerror

    def _frame(self, decoded: Any, number: int, seconds: float) -> Frame:
        name = f"{self.video.name}/{number:06}.png"
        # rot90 turns as FFmpeg tells the angle, counterclockwise.
        array = np.rot90(decoded.to_ndarray(format="rgb24"), round(decoded.rotation / 90))
        array = np.ascontiguousarray(array)
        if self.channels != RGB:
            array = to_channels(Image.fromarray(array), self.channels, name)
        return Frame(
            name, f"{self.video.stem}/{number:06}", PixelArray(array), None, self.stamp,
            self.video.name, number, seconds,
        )  # fmt: skip


def _end(stream: Any) -> float:
    """The time stamp in seconds at which a video ends, 0.0 if it does not tell. That of the file is
    another one: its sound may be longer."""
    if stream.duration:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    try:  # Matroska and WebM
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (KeyError, ValueError):
        return 0.0
