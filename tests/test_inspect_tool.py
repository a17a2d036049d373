"""``python -m tools.inspect``: what it prints and writes, and how it ends on wrong input."""

import re
import shutil

import numpy as np
import pytest
import torch
from inspected import ARCH, OPTIONS, make_model
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nets.weights_file import WeightsFile, save_weights
from tools.inspect import main
from utils.command_line import parse
from utils.data import shapes
from utils.exit_codes import run
from utils.inspection.config import CHAPTERS, ExplainConfig, InspectConfig


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder to work in, with the weights of a run on shapes."""
    monkeypatch.chdir(tmp_path)
    data = {"format": "shapes", "classes": list(shapes.CLASSES), "root": "shapes"}
    save_weights_of(tmp_path / "weights" / "first" / "best.pth", shapes.CLASSES, data)
    return tmp_path


def save_weights_of(path, classes, data=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {**OPTIONS, **options}
    model = make_model(classes=len(classes), **options)
    options["frozen_norm"] = True
    weights = WeightsFile(
        ARCH, len(classes) + 1, classes, model.state_dict(), options=options, data=data or {}
    )
    save_weights(path, weights)


def inspect(*argv):
    return run(main, parse(InspectConfig, [str(arg) for arg in argv], None))


def explain(*argv):
    return run(main, parse(ExplainConfig, [str(arg) for arg in argv], None))


def test_everything_about_one_image(place, capsys):
    assert inspect("all", "--image", 1) == 0
    out, err = capsys.readouterr()
    folder = place / "runs" / "inspect" / "first"
    page = (folder / "page.html").read_text(encoding="utf-8")
    pictures = sorted(path.name for path in folder.glob("*.png"))

    assert err == ""
    assert "image: held_out_001.png, 128x128 pixels, number 1" in out
    assert [page.index(f'id="{name}"') for name in CHAPTERS] == sorted(
        page.index(f'id="{name}"') for name in CHAPTERS
    )
    assert {name.split("-")[0] for name in pictures} == set(CHAPTERS)
    assert page.count("<img") == len(pictures) > 20
    assert all(min(Image.open(folder / name).size) > 100 for name in pictures)
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    tags = [tag.replace("/", "-") + ".png" for tag in events.Tags()["images"]]
    assert sorted(tags) == pictures


def test_one_chapter_alone(place, capsys):
    assert inspect("anchors", "--output", "out") == 0
    assert re.search(r"anchors: \d+ pictures", capsys.readouterr().out)
    assert {path.name.split("-")[0] for path in (place / "out").glob("*.png")} == {"anchors"}


def test_nothing_is_overwritten(place):
    assert inspect("weights", "--output", "out") == inspect("weights", "--output", "out") == 0
    assert (place / "out-2" / "page.html").is_file()


@pytest.mark.slow
def test_a_picture_without_labels(place, capsys):
    Image.fromarray(np.full((60, 300, 3), 90, np.uint8)).save("photo.png")

    assert inspect("all", "--image", "photo.png") == 0
    assert "photo.png, 300x60 pixels, without labels" in capsys.readouterr().out
    assert (place / "runs" / "inspect" / "first" / "page.html").is_file()


@pytest.mark.slow
def test_images_without_objects(drawn_pennfudan, capsys):
    save_weights_of(drawn_pennfudan.parent / "people.pth", ("person",))

    given = ["--weights", "people.pth", "--data", drawn_pennfudan]

    assert inspect("all", "--image", "PNGImages/empty.png", *given) == 0
    assert "0 labelled objects" in capsys.readouterr().out
    assert explain("PNGImages/empty.png", *given) == 0


def test_the_weights_alone_need_no_image(place, capsys):
    torch.save(make_model(classes=90).state_dict(), "plain.pth")

    assert inspect("weights", "--weights", "plain.pth") == 0
    assert "image" not in capsys.readouterr().out


def test_a_stop_leaves_no_empty_folder(place, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("utils.inspection.story.weights_chapter", stopped)

    assert inspect("weights", "--output", "out") == 130
    assert not (place / "out").exists()


def test_what_became_of_each_object(capsys):
    assert explain(1) == 0
    every = capsys.readouterr().out
    assert explain("held_out_001.png", "--object", 1) == 0
    one = capsys.readouterr().out

    assert "page: " in every
    assert "page: " in one
    assert len(one.splitlines()) > 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["all", "--image", "99"], 4, "has 50 images in this part, numbered from 0 to 49"),
        (["all", "--image", "gone.png"], 4, "no such file"),
        (["data", "--weights", "gone.pth"], 4, "no such weights file"),
        (["data", "--data", "gone"], 4, "gone"),
        (["weights", "--start", "gone.pth"], 4, "gone.pth"),
    ],
)
def test_wrong_input_is_one_message(capsys, place, arguments, code, message):
    assert inspect(*arguments) == code
    err = capsys.readouterr().err

    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert not (place / "runs" / "inspect").exists()


def test_weights_without_the_datas_classes(drawn_pennfudan, capsys):
    assert inspect("data", "--data", drawn_pennfudan) == 4
    assert "square" in capsys.readouterr().err


def test_an_object_that_there_is_not(capsys, place):
    assert explain(1, "--object", 99) == 4
    assert "99" in capsys.readouterr().err
    assert not (place / "runs" / "inspect").exists()


def test_damaged_weights(place, capsys):
    path = place / "weights" / "first" / "best.pth"
    shutil.copy(path, "cut.pth")
    with open("cut.pth", "r+b") as file:
        file.truncate(1000)

    assert inspect("weights", "--weights", "cut.pth") == 4
    assert "damaged" in capsys.readouterr().err
