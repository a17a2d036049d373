"""Videos that are written, read back by PyAV."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from utils.prediction import video_writer
from utils.prediction.video_writer import VideoWriter

av = pytest.importorskip("av", reason="videos need PyAV")
RATE = Fraction(25)


def picture(i=0, size=(48, 32)):
    """A red square that moves over grey."""
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    pixels[8:24, i % 24 : i % 24 + 16] = (220, 30, 30)
    return Image.fromarray(pixels)


def write(path, times, size=(48, 32), rate=RATE, sound=None):
    with VideoWriter(path, rate, sound) as writer:
        for i, seconds in enumerate(times):
            writer.add(picture(i, size), seconds)


def read(path):
    """The frames as arrays, their times, and the file's duration in seconds."""
    with av.open(str(path)) as file:
        duration = file.duration / av.time_base
        frames = list(file.decode(video=0))
        return [f.to_ndarray(format="rgb24") for f in frames], [f.time for f in frames], duration


def with_sound(path, codec="aac", kind=None, seconds=2):
    """A video with a tone."""
    with av.open(str(path), "w", format=kind) as file:
        video, sound = file.add_stream("mpeg4", 25), file.add_stream(codec, 44100)
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        for i in range(25 * seconds):
            file.mux(video.encode(av.VideoFrame.from_image(picture(i))))
        file.mux(video.encode(None))
        for start in range(0, 44100 * seconds, 1024):
            wave = np.sin(np.arange(start, start + 1024) / 16).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, start
            file.mux(sound.encode(frame))
        file.mux(sound.encode(None))
    return path


def test_without_frames_there_is_no_file(tmp_path):
    write(tmp_path / "out" / "clip.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "sub folder" / "短片.mp4"
    write(path, [i / 25 for i in range(30)])
    frames, times, duration = read(path)
    assert len(frames) == 30
    assert np.allclose(times, [i / 25 for i in range(30)], atol=1e-4)
    assert duration == pytest.approx(30 / 25, abs=0.02)
    for i, frame in enumerate(frames):
        assert frame.shape == (32, 48, 3)
        error = np.abs(frame.astype(int) - np.asarray(picture(i)))
        assert np.median(error) <= 3  # colours, not only shapes
        inner = frame[12:20, i % 24 + 4 : i % 24 + 12].reshape(-1, 3).mean(axis=0)
        assert np.abs(inner - (220, 30, 30)).max() < 12
    assert [p.name for p in path.parent.iterdir()] == ["短片.mp4"]  # no partial file is left
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert float(stream.average_rate) == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(25, 3), Fraction(60), Fraction(1)]
)
def test_rates(tmp_path, rate):
    write(tmp_path / "clip.mp4", [i / float(rate) for i in range(10)], rate=rate)
    _, times, duration = read(tmp_path / "clip.mp4")
    assert np.allclose(times, [i / float(rate) for i in range(10)], atol=1e-4)
    assert duration == pytest.approx(10 / float(rate), abs=0.02)


def test_one_frame_lasts_its_time(tmp_path):
    write(tmp_path / "clip.mp4", [0], rate=Fraction(2))
    assert read(tmp_path / "clip.mp4")[2] == pytest.approx(0.5, abs=0.01)


def test_uneven_times_are_kept(tmp_path):
    times = [0, 0.04, 0.5, 0.51, 2.0]
    write(tmp_path / "clip.mp4", times)
    assert np.allclose(read(tmp_path / "clip.mp4")[1], times, atol=1e-4)


def test_times_that_stand_still_or_go_back(tmp_path):
    write(tmp_path / "clip.mp4", [0, 0, 0.04, 0.02, 0.08])
    _, times, _ = read(tmp_path / "clip.mp4")
    assert len(times) == 5
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(0.08, abs=1e-3)


@pytest.mark.parametrize("size", [(47, 32), (48, 31), (47, 31), (2, 2), (1, 1)])
def test_odd_sides_get_one_more(tmp_path, size):
    width, height = size
    colours = np.full((height, width, 3), (200, 40, 40), np.uint8)
    with VideoWriter(tmp_path / "clip.mp4", RATE) as writer:
        writer.add(Image.fromarray(colours), 0)
    frame = read(tmp_path / "clip.mp4")[0][0]
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(frame.astype(int) - (200, 40, 40)).max() < 12  # the same to its edge


def test_frames_of_another_size_are_scaled(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", RATE) as writer:
        writer.add(picture(), 0)
        writer.add(picture(size=(80, 60)), 0.04)
    assert [frame.shape for frame in read(tmp_path / "clip.mp4")[0]] == [(32, 48, 3)] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_early_end_leaves_a_video_that_plays(tmp_path, error):
    def until_error():
        with VideoWriter(tmp_path / "clip.mp4", RATE) as writer:
            for i in range(7):
                writer.add(picture(i), i / 25)
            raise error

    with pytest.raises(error):
        until_error()
    assert len(read(tmp_path / "clip.mp4")[0]) == 7
    assert len(list(tmp_path.iterdir())) == 1


def test_before_its_end_it_has_another_name(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", RATE) as writer:
        for i in range(100):  # past what the encoder keeps to itself
            writer.add(picture(i), i / 25)
        assert [p.name for p in tmp_path.iterdir()] == [".clip.mp4.part"]
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of POSIX stand for the full disk")
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)

    def write_noise():
        with VideoWriter(tmp_path / "clip.mp4", RATE) as writer:
            for i in range(200):
                writer.add(Image.fromarray(np.roll(noise, 17 * i, axis=1)), i / 25)

    (tmp_path / "clip.mp4").write_bytes(b"of an earlier run")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"clip\.mp4") as caught:
            write_noise()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / "clip.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]
    assert (tmp_path / "clip.mp4").read_bytes() == b"of an earlier run"


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "overlays").write_text("")
    with pytest.raises(OSError, match="overlays"):
        write(tmp_path / "overlays" / "clip.mp4", [0])


def packets(path):
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return None
        found = [p for p in file.demux(audio=0) if p.dts is not None]
        return [(float(p.pts * p.time_base), bytes(p)) for p in found]


@pytest.mark.parametrize(("codec", "kind"), [("aac", "mp4"), ("libmp3lame", "matroska")])
def test_sound_is_copied_as_it_is(tmp_path, codec, kind):
    source = with_sound(tmp_path / "source", codec, kind)
    write(tmp_path / "clip.mp4", [i / 25 for i in range(50)], sound=source)
    before, after = dict(packets(source)), packets(tmp_path / "clip.mp4")
    assert after[-1][0] == pytest.approx(2, abs=0.1)
    for seconds, data in after:
        assert any(data == old for t, old in before.items() if abs(t - seconds) < 0.002)
    assert len(after) >= len([t for t in before if 0 <= t < 2]) - 1
    assert read(tmp_path / "clip.mp4")[2] == pytest.approx(2, abs=0.1)


def test_sound_ends_with_the_frames(tmp_path):
    source = with_sound(tmp_path / "source.mp4")
    write(tmp_path / "clip.mp4", [i / 25 for i in range(10)], sound=source)
    assert packets(tmp_path / "clip.mp4")[-1][0] < 0.4


def test_sound_that_mp4_cannot_hold_is_left_out(tmp_path):
    source = with_sound(tmp_path / "source.avi", "pcm_mulaw")
    write(tmp_path / "clip.mp4", [0, 0.04], sound=source)
    assert packets(tmp_path / "clip.mp4") is None
    assert len(read(tmp_path / "clip.mp4")[0]) == 2


def test_no_sound(tmp_path):
    write(tmp_path / "silent.mp4", [0, 0.04])
    write(tmp_path / "clip.mp4", [0, 0.04], sound=tmp_path / "silent.mp4")
    assert packets(tmp_path / "clip.mp4") is None


def test_the_encoder_that_is_always_there(tmp_path, monkeypatch):
    monkeypatch.setattr(video_writer, "ENCODERS", {"none such": {}, "mpeg4": {}})
    noise = np.random.default_rng(0).integers(0, 2, (40, 60, 1)) * np.full(3, 255)
    sharp = noise.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    with VideoWriter(tmp_path / "sharp.mp4", RATE) as writer:
        for i in range(20):
            writer.add(Image.fromarray(np.roll(sharp, 5 * i, axis=1)), i / 25)
    last = np.roll(sharp, 95, axis=1).astype(int)
    assert np.abs(read(tmp_path / "sharp.mp4")[0][-1] - last).mean() < 1
    write(tmp_path / "clip.mp4", [i / 25 for i in range(5)])
    frames, times, _ = read(tmp_path / "clip.mp4")
    assert len(frames) == 5
    assert np.allclose(times, [i / 25 for i in range(5)], atol=1e-4)
    inner = frames[0][12:20, 4:12].reshape(-1, 3).mean(axis=0)
    assert np.abs(inner - (220, 30, 30)).max() < 12
