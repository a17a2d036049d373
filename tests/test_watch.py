"""Videos looked at by a run, with a predictor that finds what the test draws."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest
import torch

from utils.data.records import DataError, encode_mask
from utils.interruption import Interruption, Stopped
from utils.prediction.config import PredictConfig
from utils.prediction.found_picture import FoundPicture, Unusable
from utils.prediction.journal import Journal
from utils.prediction.outputs import Outputs
from utils.prediction.run import Run
from utils.prediction.tables import Tables
from utils.prediction.videos import SourceVideo
from utils.processes import ALONE

av = pytest.importorskip("av", reason="videos need PyAV")
CLASSES = ("cell", "square")
FRAMES = 20


def make(path, frames=FRAMES, sound=False):
    """A light square moves over noise, with a quiet sound."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", 25)
        tone = file.add_stream("aac", 44100) if sound else None
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size, stream.bit_rate = 5, 2_000_000
        for i in range(frames):
            pixels = np.random.default_rng(i).integers(0, 60, (48, 64, 3)).astype(np.uint8)
            pixels[10:30, i : i + 20] = 230
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        file.mux(stream.encode(None))
        if tone:
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
            quiet.sample_rate = 44100
            file.mux([*tone.encode(quiet), *tone.encode(None)])
    return SourceVideo(path.name, path.stem, path)


class SquareFinder:
    """Finds the light square; asks for the end after ``last`` pictures."""

    classes = CLASSES
    channels = 3

    def __init__(self, interruption, last=None, problem=""):
        self.interruption, self.last, self.problem = interruption, last, problem
        self.seen = 0

    def stream(self, pictures):
        for picture in pictures:
            self.seen += 1
            if self.seen == self.last:
                self.interruption.signal = 2
            if self.problem:
                yield Unusable(picture.name, self.problem)
                continue
            mask = (picture.pixels.array[..., 0] > 150).astype(np.uint8)
            x = int(mask.any(axis=0).argmax())
            yield FoundPicture(
                picture,
                {
                    "boxes": torch.tensor([[x, 10, x + 20, 30.0]]),
                    "labels": torch.tensor([2]),
                    "scores": torch.tensor([0.9]),
                    "masks": [encode_mask(mask)],
                },
                CLASSES,
            )


def watch(folder, video, last=None, problem="", strict=False, **settings):
    """Watch a video as predict.py does; gives the run."""
    config = PredictConfig(weights="none.pth", **settings)
    folder.mkdir(exist_ok=True)
    interruption = Interruption()
    with closing(Journal(folder)) as journal:
        run = Run(
            SquareFinder(interruption, last, problem), Outputs(folder, config), journal,
            Tables(folder, config, CLASSES, [video.name]), interruption, ALONE, strict=strict,
        )  # fmt: skip
        try:
            run.watch(video)
        finally:
            run.write_tables()
    return run


def is_done(folder, video):
    with closing(Journal(folder)) as journal:
        return journal.has(video)


def overlay_times(folder, name="clip.mp4"):
    with av.open(str(folder / "overlays" / name)) as file:
        return [frame.time for frame in file.decode(video=0)]


def predictions(folder):
    return json.loads((folder / "predictions.json").read_text())


@pytest.mark.parametrize(("every", "frames"), [(1, list(range(20))), (6, [0, 6, 12, 18])])
def test_frames_are_noted_and_drawn(tmp_path, capsys, every, frames):
    video = make(tmp_path / "clip.mp4")
    run = watch(tmp_path / "out", video, every=every)
    assert run.failures == {}
    assert f"clip.mp4: {len(frames)} square in {len(frames)} frames" in capsys.readouterr().out
    found = predictions(tmp_path / "out")
    assert [image["frame"] for image in found["images"]] == frames
    assert [image["file_name"] for image in found["images"]] == [
        f"clip.mp4/{i:06}.png" for i in frames
    ]
    assert {image["video"] for image in found["images"]} == {"clip.mp4"}
    seconds = [i / 25 for i in frames]
    assert [image["seconds"] for image in found["images"]] == pytest.approx(seconds, abs=1e-3)
    assert [a["bbox"][0] for a in found["annotations"]] == pytest.approx(frames, abs=2)
    assert all("track_id" not in a for a in found["annotations"])
    assert overlay_times(tmp_path / "out") == pytest.approx(seconds, abs=1e-3)
    assert is_done(tmp_path / "out", video)


@pytest.mark.parametrize("every", [1, 2])
def test_sound_is_kept_with_all_frames(tmp_path, every):
    watch(tmp_path / "out", make(tmp_path / "clip.mp4", sound=True), every=every)
    with av.open(str(tmp_path / "out" / "overlays" / "clip.mp4")) as file:
        assert bool(file.streams.audio) == (every == 1)


def test_tracks(tmp_path, capsys):
    watch(tmp_path / "out", make(tmp_path / "clip.mp4"), track=True)
    assert "clip.mp4: 1 square tracked in 20 frames" in capsys.readouterr().out
    assert {a["track_id"] for a in predictions(tmp_path / "out")["annotations"]} == {1}


def test_tracks_begin_anew_in_each_video(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        watch(tmp_path / "out", make(tmp_path / name, frames=3), track=True)
    assert [a["track_id"] for a in predictions(tmp_path / "out")["annotations"]] == [1] * 3


def test_other_outputs_of_frames(tmp_path):
    watch(tmp_path / "out", make(tmp_path / "clip.mp4"), every=10, id_masks=True, overlays=False)
    assert sorted(p.name for p in (tmp_path / "out" / "ids" / "clip").iterdir()) == [
        "000000.png", "000010.png",
    ]  # fmt: skip
    assert not (tmp_path / "out" / "overlays").exists()


def test_a_stop_leaves_what_is_done(tmp_path):
    video = make(tmp_path / "clip.mp4")
    with pytest.raises(Stopped):
        watch(tmp_path / "out", video, last=8)
    assert len(predictions(tmp_path / "out")["images"]) == 8
    assert len(overlay_times(tmp_path / "out")) == 8
    assert [p.name for p in (tmp_path / "out" / "overlays").iterdir()] == ["clip.mp4"]
    assert not is_done(tmp_path / "out", video)
    watch(tmp_path / "out", video)
    assert [i["frame"] for i in predictions(tmp_path / "out")["images"]] == list(range(FRAMES))
    assert len(overlay_times(tmp_path / "out")) == FRAMES
    assert is_done(tmp_path / "out", video)


def cut(video):
    data = video.path.read_bytes()
    video.path.write_bytes(data[: len(data) // 2])


def test_a_video_cut_short_is_used_and_named(tmp_path):
    video = make(tmp_path / "clip.avi", frames=50)
    cut(video)
    run = watch(tmp_path / "out", video)
    frames = len(predictions(tmp_path / "out")["images"])
    assert 10 < frames < 40
    assert len(overlay_times(tmp_path / "out")) == frames
    assert f"{frames} frames could be read and are used" in run.failures["clip.avi"]
    assert not is_done(tmp_path / "out", video)


def test_strict(tmp_path):
    video = make(tmp_path / "clip.avi", frames=50)
    cut(video)
    with pytest.raises(DataError, match=r"clip\.avi: damaged or cut short"):
        watch(tmp_path / "out", video, strict=True)
    assert len(overlay_times(tmp_path / "out")) > 10


@pytest.mark.parametrize("problem", ["no video", "the network refuses it"])
def test_what_cannot_be_used(tmp_path, capsys, problem):
    video = make(tmp_path / "clip.mp4")
    if problem == "no video":
        video.path.write_bytes(b"something else")
        run = watch(tmp_path / "out", video)
        assert "not a video" in run.failures["clip.mp4"]
    else:
        run = watch(tmp_path / "out", video, problem=problem)
        assert run.failures == {"clip.mp4": problem}
    assert "clip.mp4: cannot be used" in capsys.readouterr().out
    assert predictions(tmp_path / "out")["images"] == []
    assert not (tmp_path / "out" / "overlays").exists()
    assert not is_done(tmp_path / "out", video)


def test_a_camera_is_never_done(tmp_path, monkeypatch):
    make(tmp_path / "video3.avi")
    address = str(tmp_path / "video{}.avi")
    monkeypatch.setattr("utils.prediction.videos.CAMERAS", {"linux": ("avi", address)})
    camera = SourceVideo("camera 3", "camera 3", camera=3)
    watch(tmp_path / "out", camera)
    assert len(overlay_times(tmp_path / "out", "camera 3.mp4")) == FRAMES
    assert not is_done(tmp_path / "out", camera)
