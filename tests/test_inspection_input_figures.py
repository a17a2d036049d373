"""Figures of the network's input: padding and sizes as they are, augmentation as in training."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from inspected import make_model, make_subject
from labelled_scene import disc, rectangle
from labelled_scene import make_scene as scene_of
from PIL import Image

from utils.config import TrainConfig
from utils.data.augmentation import AUGMENTATIONS
from utils.data.instance_dataset import InstanceDataset
from utils.folders import write_json
from utils.inspection.canvas import NEUTRAL
from utils.inspection.chapters.input_figures import (
    augmentation_figure,
    in_words,
    input_figure,
    run_augmentation,
)
from utils.inspection.labelled_objects import labelled_objects

SIZE = (200, 300)


@cache
def shared_model():
    return make_model()


def make_scene(*arguments, model=None, **more):
    """With one model for all tests."""
    return scene_of(*arguments, model=model or shared_model(), **more)


def captions_of(monkeypatch, figure, *arguments):
    captions = []

    def kept(pictures, given, columns):
        captions.extend(given)
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr("utils.inspection.chapters.input_figures.panel", kept)
    return figure(*arguments), captions


def test_sizes_and_padding_are_told(monkeypatch):
    scene = make_scene([disc(SIZE, 100, 100, 50), rectangle(SIZE, 200, 50, 230, 60)])
    figure, captions = captions_of(monkeypatch, input_figure, scene, labelled_objects(scene))

    assert scene.trace.size == (85, 128)
    assert captions[:2] == ["the image: 300x200 px", "the input: 128x85 px, padded to 128x96 px"]
    assert captions[2] == "object 2 in the image: 30x10 px, mask 300 px"
    taught = int(scene.training.target["masks"].crops()[1].sum())
    assert captions[3] == f"in the input: 13x4.2 px, mask {taught} px"
    assert f"{1 - 85 / 96:.1%} of the input is padding" in figure.text
    assert "0.427 times as large" in figure.text
    assert NEUTRAL in {key.colour for key in figure.keys}


def striped(figure):
    """Which pixels of the picture are those of the padding's stripes."""
    return (np.asarray(figure.picture) == NEUTRAL).all(axis=2)


def test_the_padding_is_striped_and_nothing_else():
    scene = make_scene([disc(SIZE, 100, 100, 50)])
    rows, columns = striped(input_figure(scene, [])).nonzero()
    top, left, side = 27, 6 + 474 + 6, 474  # of the second picture

    assert len(rows) > 1000
    assert rows.min() - top == pytest.approx(side * 85 / 128, abs=2)
    assert rows.max() - top == pytest.approx(side * 96 / 128, abs=12)
    assert columns.min() >= left


def test_without_padding_there_are_no_stripes(monkeypatch):
    subject = make_subject(1, shared_model())
    figure = input_figure(subject, labelled_objects(subject))

    assert not striped(figure).any()
    assert NEUTRAL not in {key.colour for key in figure.keys}
    assert "in its own size" in figure.text
    _, captions = captions_of(monkeypatch, input_figure, subject, [])
    assert captions[1] == "the input: 128x128 px, without padding"


def test_an_object_that_falls_between_the_pixels_is_told(monkeypatch):
    mask = rectangle((1280, 1280), 643, 643, 646, 646)  # every tenth pixel is taken
    scene = make_scene([mask])
    _, captions = captions_of(monkeypatch, input_figure, scene, labelled_objects(scene))

    assert captions[3] == "in the input: 0.3x0.3 px, and no pixel is left of its mask"


def test_of_many_objects_the_smallest_have_numbers(monkeypatch):
    written = []
    monkeypatch.setattr(
        "utils.inspection.canvas.write_labels", lambda draw, texts, *more: written.append(texts)
    )
    masks = [rectangle(SIZE, 10 * n, 10 * m, 10 * n + 3 + m, 10 * m + 6)
             for m in range(4) for n in range(10)]  # fmt: skip
    scene = make_scene(masks)
    figure = input_figure(scene, labelled_objects(scene))

    assert written[0] == tuple(str(n) for n in range(1, 17))
    assert written[1][0] == "1: 1.3x2.5"
    assert "Of the 16 smallest objects" in figure.text


def test_a_picture_without_labels_has_an_input():
    figure = input_figure(make_subject(0, shared_model(), with_labels=False), [])

    assert figure.keys == ()
    assert "Below" not in figure.text


@pytest.mark.parametrize("channels", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_other_channels_are_shown(channels):
    scene = make_scene(
        [disc(SIZE, 100, 100, 50)], model=make_model(channels=channels), channels=channels
    )
    scene.dataset.channels = channels

    assert input_figure(scene, labelled_objects(scene)).picture.width > 900
    assert augmentation_figure(scene).picture.width > 900


def run_of(tmp_path, settings):
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "weights" / "mine").mkdir(parents=True)
    if settings is not None:
        write_json(folder / "args.json", settings)
    return tmp_path / "weights" / "mine" / "best.pth"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({"augment": "light"}, "light"), ({"augment": ["flip"]}, None), ({}, None), (None, None)],
)
def test_the_run_tells_its_augmentation(tmp_path, settings, wanted):
    assert run_augmentation(run_of(tmp_path, settings)) == wanted


def test_weights_without_a_run_tell_nothing(tmp_path):
    assert run_augmentation(tmp_path / "best.pth") is None


def test_draws_are_those_of_training(tmp_path, monkeypatch):
    drawn = []
    own = InstanceDataset.augmented

    def watched(self, key, seed):
        drawn.append((len(self.transforms.transforms), self.copy_paste, key.number, seed))
        return own(self, key, seed)

    monkeypatch.setattr(InstanceDataset, "augmented", watched)
    subject = replace(make_subject(1, shared_model()), path=run_of(tmp_path, {"augment": "light"}))
    plain = subject.dataset.transforms
    figure, captions = captions_of(monkeypatch, augmentation_figure, subject)

    light = [(5, 0.0, 1, draw) for draw in (1, 2, 3)]
    strong = [(7, 0.5, 1, draw) for draw in (1, 2, 3, 4)]
    assert drawn == [(2, 0.0, 1, 0), *light, *strong]
    assert captions == ["as it is", *(f"light, draw {n}" for n in (1, 2, 3)),
                        *(f"strong, draw {n}" for n in (1, 2, 3, 4))]  # fmt: skip
    assert "--augment light, as the run of these weights did: " in figure.text
    assert (subject.dataset.transforms, subject.dataset.copy_paste) == (plain, 0)


def test_the_default_is_called_so():
    text = augmentation_figure(make_subject(1, shared_model())).text

    assert f"--augment {TrainConfig().augment}, the default: " in text


def test_every_augmentation_has_words():
    assert in_words("none") == "nothing is changed"
    assert in_words("flip") == "left and right exchanged in 50% of draws"
    assert in_words("transpose") == "rows and columns exchanged in 50% of draws"
    assert "sizes 0.8 to 1.25 times" in in_words("light")
    assert "objects of another image pasted in 50% of draws" in in_words("strong")
    assert len({in_words(name) for name in AUGMENTATIONS}) == len(AUGMENTATIONS)
