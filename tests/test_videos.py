"""Videos that are read: drawn here with PyAV."""

from __future__ import annotations

import builtins
import shutil
from fractions import Fraction
from unittest.mock import Mock

import numpy as np
import pytest

from utils.config import ConfigError
from utils.data.records import DataError
from utils.prediction.videos import VIDEO_SUFFIXES, SourceVideo

av = pytest.importorskip("av", reason="videos need PyAV")
# The corners of the drawn frames, so that a turn shows.
RED, GREEN, BLUE, GREY = (200, 40, 40), (40, 180, 60), (50, 60, 200), (120, 120, 120)


def drawn(i, size=(48, 32)):
    """Frame i: three coloured corners, and as much white at the bottom right as tells i."""
    width, height = size
    noise = np.random.default_rng(i).integers(0, 2, (height, width, 1))
    pixels = np.full((height, width, 3), GREY, np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = 20 + 4 * i
    return pixels + noise.astype(np.uint8)  # so that frames take some bytes


def make(
    path, frames=20, size=(48, 32), codec="libx264", rate=25, times=None, turn=None, **options
):
    """A video; ``turn`` are the nine numbers of its display matrix."""
    with av.open(str(path), "w", options=options) as file:
        stream = file.add_stream(codec, rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = 5
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_matrix(turn)
        file.start_encoding()  # also without a frame
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(drawn(i, size))
            if times:
                frame.pts, frame.time_base = round(1000 * times[i]), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return SourceVideo(path.name, path.stem, path)


def read(video, **options):
    """Its frames, and the footage afterwards."""
    with video.open(**options) as footage:
        return list(footage.frames()), footage


def number_shown(frame):
    """Which drawn frame it is."""
    height, width = frame.pixels.array.shape[:2]
    return round((frame.pixels.array[height * 3 // 4, width * 3 // 4].mean() - 20) / 4)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.mov", "mpeg4"), ("a.avi", "mpeg4"),
     ("a.webm", "libvpx"), ("a.ts", "mpeg2video"), ("a b 短片.mp4", "mpeg4")],
)  # fmt: skip
def test_frames(tmp_path, name, codec):
    video = make(tmp_path / name, codec=codec)
    frames, footage = read(video)
    assert footage.problem == ""
    assert footage.number == len(frames) == 20
    assert float(footage.rate) == pytest.approx(25)
    assert footage.total == 20
    for i, frame in enumerate(frames):
        assert frame.name == f"{name}/{i:06}.png"
        assert frame.stem == f"{video.stem}/{i:06}"
        assert (frame.video, frame.number, frame.path) == (name, i, None)
        assert frame.seconds == pytest.approx(i / 25, abs=0.002)
        assert frame.pixels.array.dtype == np.uint8
        assert frame.pixels.array.shape == (32, 48, 3)
        assert number_shown(frame) == pytest.approx(i, abs=1)
        for colour, place in zip((RED, GREEN, BLUE), ((8, 12), (8, 36), (24, 12)), strict=True):
            assert np.abs(frame.pixels.array[place].astype(int) - colour).max() <= 12
    assert np.array_equal(frames[3].pixels.window(2, 1, 5, 4), frames[3].pixels.array[1:5, 2:7])


# As ISO 14496-12 has it: (p, q) is shown at (a p + c q, b p + d q), for a, b, u, c, d, v, x, y, w.
ONE = 1 << 16
TURNS = {
    "upright": ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), (RED, GREEN, BLUE)),
    # a phone upright: the stored right side is shown at the bottom
    "clockwise": ((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30), (BLUE, RED, GREY)),
    "counterclockwise": ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), (GREEN, GREY, RED)),
    "upside down": ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), (GREY, BLUE, GREEN)),
}


@pytest.mark.parametrize(("matrix", "corners"), TURNS.values(), ids=TURNS)
def test_turned_upright(tmp_path, matrix, corners):
    (frame, *_), _ = read(make(tmp_path / "a.mp4", frames=2, turn=matrix))
    array = frame.pixels.array
    upright = matrix[0] != 0
    height, width = (32, 48) if upright else (48, 32)
    assert (frame.pixels.height, frame.pixels.width) == array.shape[:2] == (height, width)
    assert array.flags.c_contiguous
    places = ((4, 4), (4, width - 5), (height - 5, 4))  # top left, top right, bottom left
    for colour, place in zip(corners, places, strict=True):
        if colour != GREY:  # which is where the number of the frame is
            assert np.abs(array[place].astype(int) - colour).max() <= 12


@pytest.mark.parametrize(
    ("every", "numbers"), [(1, range(20)), (3, [0, 3, 6, 9, 12, 15, 18]), (19, [0, 19]), (50, [0])]
)
def test_every_so_many(tmp_path, every, numbers):
    frames, footage = read(make(tmp_path / "a.mp4"), every=every)
    assert [frame.number for frame in frames] == list(numbers)
    assert [number_shown(frame) for frame in frames] == pytest.approx(list(numbers), abs=1)
    assert [frame.seconds for frame in frames] == pytest.approx([n / 25 for n in numbers])
    assert footage.total == len(numbers)
    assert footage.number == 20
    assert footage.rate * every == 25


def test_uneven_times(tmp_path):
    times = [0, 0.04, 0.5, 0.51, 2.0]
    frames, _ = read(make(tmp_path / "a.mkv", frames=5, times=times))
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=0.002)


def test_time_begins_with_the_first_frame(tmp_path):
    times = [7 + i / 25 for i in range(5)]
    frames, footage = read(make(tmp_path / "a.mkv", frames=5, times=times))
    assert [frame.seconds for frame in frames] == pytest.approx([t - 7 for t in times], abs=0.002)
    assert footage.problem == ""


def test_frames_without_times(tmp_path):
    video = make(tmp_path / "a.h264")
    frames, footage = read(video)
    assert len(frames) == 20
    assert footage.problem == ""
    seconds = [frame.seconds for frame in frames]
    assert seconds == pytest.approx([i / float(footage.rate) for i in range(20)], abs=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"movflags": "faststart"}), ("a.mkv", "libx264", {}),
     ("a.avi", "mpeg4", {}), ("a.webm", "libvpx", {})],
)  # fmt: skip
def test_cut_short(tmp_path, name, codec, options):
    video = make(tmp_path / name, codec=codec, frames=50, size=(160, 120), **options)
    data = video.path.read_bytes()
    video.path.write_bytes(data[: len(data) * 6 // 10])
    frames, footage = read(video)
    assert 10 < len(frames) < 45
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert f"; {len(frames)} frames could be read" in footage.problem
    shown = [number_shown(frame) for frame in frames[:10]]
    assert shown == pytest.approx(list(range(10)), abs=1)


def test_damaged_in_the_middle(tmp_path):
    video = make(tmp_path / "a.avi", codec="mpeg4", frames=50)
    data = bytearray(video.path.read_bytes())
    with av.open(str(video.path)) as file:
        hit = [packet.pos for packet in file.demux(video=0)][20]
    data[hit : hit + 60] = bytes(60)
    video.path.write_bytes(data)
    frames, footage = read(video)
    assert len(frames) >= 40  # those behind it are read
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert "damaged" in footage.problem


def test_a_file_that_ends_in_an_error(tmp_path):
    """As one on a network drive that goes away."""
    video = make(tmp_path / "a.avi", codec="mpeg4")

    def failing(stream):
        yield from list(real(video=0))[:10]
        raise av.error.InvalidDataError(1, "went away")

    with video.open() as footage:
        real = footage.stream.container.demux
        footage.stream = Mock(wraps=footage.stream, container=Mock(demux=failing))
        footage.stream.duration = None  # which would tell as well
        footage.stream.metadata = {}
        frames = list(footage.frames())
    assert 5 < len(frames) <= 10
    assert "went away" in footage.problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "may not be read"), (b"", "not a video"), (b"no video at all " * 99, "not a video"),
     ("without index", "not a video"), ("only sound", "only sound"), ("folder", "may not be read")],
)  # fmt: skip
def test_what_is_no_video(tmp_path, content, problem):
    path = tmp_path / "clip.mp4"
    if content == "without index":
        make(path, frames=50)
        content = path.read_bytes()
        content = content[: content.index(b"moov")]
    if content == "only sound":
        with av.open(str(path), "w") as file:
            sound = file.add_stream("aac", 44100)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 44100
            file.mux([*sound.encode(frame), *sound.encode(None)])
    elif content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=problem), SourceVideo("clip.mp4", "clip", path).open():
        pass


def test_a_video_without_frames(tmp_path):
    with pytest.raises(DataError, match=r"no frame.*empty"):
        read(make(tmp_path / "a.avi", frames=0, codec="mpeg4"))


def test_a_file_that_is_gone(tmp_path):
    video = make(tmp_path / "a.mp4", frames=2)
    video.path.unlink()
    assert video.stamp == []
    with pytest.raises(DataError, match="may not be read"), video.open():
        pass


def test_a_name_that_is_no_utf8(tmp_path):
    make(tmp_path / "a.mp4", frames=2)
    path = tmp_path / "a\udcff.mp4"
    (tmp_path / "a.mp4").rename(path)
    assert len(read(SourceVideo("a.mp4", "a", path))[0]) == 2


def test_a_name_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "http:a.mp4")
    frames, _ = read(
        SourceVideo("http:a.mp4", "a", (tmp_path / "http:a.mp4").relative_to(tmp_path))
    )
    assert len(frames) == 20


def test_no_such_camera():
    camera = SourceVideo("camera-97", "camera-97", camera=97)
    with pytest.raises(DataError, match="no such camera"), camera.open():
        pass
    assert camera.stamp == ["camera-97"]


def test_a_camera_is_read_like_a_file(tmp_path, monkeypatch):
    make(tmp_path / "video3.avi", codec="mpeg4")
    address = str(tmp_path / "video{}.avi")
    monkeypatch.setattr("utils.prediction.videos.CAMERAS", {"linux": ("avi", address)})
    frames, footage = read(SourceVideo("camera-3", "camera-3", camera=3))
    assert [frame.name for frame in frames[:2]] == ["camera-3/000000.png", "camera-3/000001.png"]
    assert len(frames) == 20
    assert footage.problem == ""


def test_other_channels_than_three(tmp_path):
    video = make(tmp_path / "a.mp4", frames=2)
    (frame, _), _ = read(video, channels=1)
    assert frame.pixels.array.shape == (32, 48, 1)
    assert frame.pixels.array.dtype == np.float32
    with pytest.raises(DataError, match=r"a\.mp4/000000\.png.*channel"):
        read(video, channels=5)


def test_the_stamp_follows_the_file(tmp_path):
    video = make(tmp_path / "a.mp4", frames=2)
    before = video.stamp
    assert before == video.stamp
    shutil.copy2(video.path, tmp_path / "b.mp4")  # its time, too
    assert SourceVideo("a.mp4", "a", tmp_path / "b.mp4").stamp != before
    make(tmp_path / "a.mp4", frames=3)
    assert video.stamp != before


def test_without_pyav(monkeypatch, tmp_path):
    def without(name, *args, **kwargs):
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install -r requirements-video\.txt"):
        SourceVideo("clip.mp4", "clip", tmp_path / "clip.mp4")


def test_suffixes_are_lower_case():
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in VIDEO_SUFFIXES)
