"""Videos written frame by frame: H.264 in MP4."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from utils.prediction.videos import pyav

# The first that is there: under a BSD licence; under the GPL; not H.264, but never missing.
ENCODERS: dict[str, dict[str, str]] = {
    "libopenh264": {},
    "libx264": {"crf": "20", "preset": "veryfast"},
    "mpeg4": {},
}
BITS_PER_PIXEL = 0.2  # of encoders that are told no quality
TICKS = 60_000  # per second: the steps of the time stamps
BT709 = 1  # the colours of high-definition video, by their number in H.264


class VideoWriter:
    """A video that grows by frames; a context.

    An error or a signal may end it early: it then plays up to there. Only when it is finished has
    it its name, and ``.NAME.part`` before; without a frame there is no file.

    Args:
        path: ends in ``.mp4``; folders are made.
        rate: frames per second on average; when each is shown, ``add`` is told.
        sound: a video file whose sound is copied, if MP4 can hold it.
    """

    def __init__(self, path: Path, rate: Fraction, sound: Path | None = None) -> None:
        self.path = path
        self.partial = path.with_name(f".{path.name}.part")
        self.rate = rate
        self.source = sound
        self.container: Any = None
        self.sound: Sound | None = None
        self.ticks = -1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self.container:
                with self._naming_file():
                    self._mux(self.stream.encode(None))
                    self.container.close()
                    self.partial.replace(self.path)
        finally:
            if self.sound:
                self.sound.close()

    def add(self, picture: Image.Image, seconds: float) -> None:
        """Add a frame that is shown from so many seconds on, later than the one before.

        The first one's size is that of all; odd sides get one more row or column like the last, as
        H.264 with shared colours needs even ones.

        Raises:
            OSError: the disk is full or not writable; names the file, of which nothing is left.
        """
        pixels = np.asarray(picture)
        height, width = pixels.shape[:2]
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with self._naming_file():
            if not self.container:
                self._open(pixels.shape[1], pixels.shape[0])
            frame = pyav().VideoFrame.from_ndarray(pixels)  # scaled by the encoder, if need be
            frame = frame.reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            self.ticks = max(self.ticks + 1, round(seconds * TICKS))
            frame.pts, frame.time_base = self.ticks, Fraction(1, TICKS)
            self._mux(self.stream.encode(frame))
            if self.sound:
                self._mux(self.sound.until(seconds + float(1 / self.rate)))

    def _open(self, width: int, height: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Absolute, as FFmpeg takes a name such as "http:clip.mp4" for an address.
        self.container = pyav().open(str(self.partial.absolute()), "w", format="mp4")
        codec = next(name for name in ENCODERS if name in pyav().codecs_available)
        self.stream = self.container.add_stream(codec, self.rate, ENCODERS[codec])
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        context = self.stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.bit_rate = int(BITS_PER_PIXEL * width * height * self.rate)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        if self.source:
            self.sound = open_sound(self.source, self.container)

    def _mux(self, packets: Any) -> None:
        for packet in packets:
            self.container.mux(packet)

    @contextlib.contextmanager
    def _naming_file(self) -> Iterator[None]:
        try:
            yield
        except (pyav().error.FFmpegError, OSError) as error:
            container, self.container = self.container, None
            with contextlib.suppress(pyav().error.FFmpegError, OSError):
                if container:
                    container.close()
            with contextlib.suppress(OSError):
                self.partial.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.path)) from error


class Sound:
    """The sound of a video file on its way into another one, copied as it is stored.

    Args:
        file: opened by PyAV.
        target: the stream it becomes.
    """

    def __init__(self, file: Any, target: Any) -> None:
        self.file = file
        self.target = target
        self.time_base = file.streams.audio[0].time_base
        video = file.streams.video[0]
        start = (video.start_time or 0) * video.time_base  # sound may begin before it
        self.shift = round(start / self.time_base)
        self.packets = file.demux(file.streams.audio[0])
        self.waiting: Any = None

    def until(self, seconds: float) -> Iterator[Any]:
        """The packets before a moment, counted from the first frame, that were not given yet."""
        while packet := self.waiting or self._next():
            self.waiting = packet
            if packet.dts * self.time_base >= seconds:
                return
            self.waiting = None
            if packet.dts >= 0:
                yield packet

    def close(self) -> None:
        self.file.close()

    def _next(self) -> Any:
        """None after the last one, and where the file is damaged."""
        try:
            packet = next(self.packets, None)
        except pyav().error.FFmpegError:
            return None
        if packet is None or packet.dts is None or packet.pts is None:
            return None
        packet.stream = self.target
        packet.pts -= self.shift
        packet.dts -= self.shift
        return packet


def open_sound(path: Path, container: Any) -> Sound | None:
    """The sound of a video file as a new stream of a container; None if there is none that it can
    hold."""
    file = pyav().open(str(path.absolute()))
    if not file.streams.audio:
        file.close()
        return None
    try:
        return Sound(file, container.add_stream_from_template(file.streams.audio[0]))
    except ValueError:  # the container cannot hold this codec
        file.close()
        return None
