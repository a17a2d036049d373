"""python -m tools.convert: what it prints, refuses and leaves, also when it is stopped."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from my_dataset import read_data
from tools.convert import main
from utils.command_line import parse
from utils.conversion.config import ConvertConfig
from utils.data.records import instance_masks
from utils.exit_codes import run


def tool(*arguments):
    """Run the command in this process; its exit code."""
    try:
        return run(main, parse(ConvertConfig, list(map(str, arguments)), "Convert."))
    except SystemExit as error:
        return error.code


def masks_of(data):
    return {r.path.stem: instance_masks(r).sum((1, 2)).tolist() for r in data.images}


def test_a_folder_is_converted_and_told(drawn_pennfudan, tmp_path, capsys):
    assert tool(drawn_pennfudan, "--to", "coco", tmp_path / "new") == 0
    out = capsys.readouterr().out.splitlines()

    assert out[0].startswith("6 images (1 without objects), 9 objects of person")
    assert out[-1] == f"6 images written: {tmp_path / 'new'} (coco)"
    new = read_data(tmp_path / "new")
    assert new.classes == ("person",)
    assert masks_of(new) == masks_of(read_data(drawn_pennfudan))


def test_classes_and_format_mean_what_they_mean_elsewhere(drawn_pennfudan, tmp_path):
    arguments = ("--format", "id-masks", "--classes", "cell")
    assert tool(drawn_pennfudan, tmp_path / "new", "--to", "yolo", *arguments) == 0
    assert read_data(tmp_path / "new").classes == ("cell",)
    assert tool(drawn_pennfudan, tmp_path / "other", "--to", "yolo", "--format", "coco") == 4
    assert tool(drawn_pennfudan, tmp_path / "other", "--to", "coco", "--max-pixels", 100) == 4
    assert not (tmp_path / "other").exists()


def test_pictures_are_fitted_and_padded(drawn_pennfudan, tmp_path):
    arguments = ("--resize", "60x40", "--multiple-of", "16", "--by-kind")
    assert tool(drawn_pennfudan, tmp_path / "new", "--to", "label-png", *arguments) == 0
    with Image.open(tmp_path / "new" / "img" / "crowded.png") as picture:
        assert picture.size == (48, 48)  # 96x80 becomes 48x40
    labels = np.asarray(Image.open(tmp_path / "new" / "label" / "crowded.png"))
    assert labels.shape == (48, 48)
    assert labels[:40].any()
    assert not labels[40:].any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--to is missing"),
        (["--to", "voc"], "invalid choice"),
        (["--to", "coco", "--simplify", "-1"], "--simplify is -1.0"),
        (["--to", "coco", "--simplify", "nan"], "--simplify is nan"),
        (["--to", "id-masks", "--simplify", "1"], "--simplify is for coco, labelme, yolo"),
        (["--to", "coco", "--resize", "64"], "--resize is '64'"),
        (["--to", "coco", "--resize", "0x9"], "--resize is '0x9'"),
        (["--to", "coco", "--multiple-of", "0"], "--multiple-of is 0"),
        (["--to", "coco", "--by-kind"], "--by-kind is for label-png"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, words, drawn_pennfudan, tmp_path, capsys):
    assert tool(drawn_pennfudan, tmp_path / "new", *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_both_folders_are_needed(drawn_pennfudan, capsys):
    assert tool("--to", "coco", drawn_pennfudan) == 2
    assert "required: folder" in capsys.readouterr().err


def test_existing_files_and_the_data_itself_are_refused(drawn_pennfudan, tmp_path, capsys):
    assert tool(drawn_pennfudan, drawn_pennfudan / "new", "--to", "coco") == 2
    assert "never written to" in capsys.readouterr().err
    assert tool(drawn_pennfudan, tmp_path / "new", "--to", "coco") == 0
    assert tool(drawn_pennfudan, tmp_path / "new", "--to", "coco") == 2
    assert "is there already" in capsys.readouterr().err
    assert tool(drawn_pennfudan, tmp_path / "new", "--to", "coco", "--overwrite") == 0


@pytest.mark.parametrize("source", ["train", "train_json"])
@pytest.mark.parametrize("target", ["train", "train_json", "train_json/new"])
def test_annotations_beside_their_pictures_are_data_too(
    source, target, drawn_pennfudan, tmp_path, capsys
):
    home = tmp_path / "lm"
    assert tool(drawn_pennfudan, home / "train", "--to", "labelme") == 0
    (home / "train_json").mkdir()
    for path in [*(home / "train").glob("*.json"), home / "train" / "label_names.txt"]:
        path.rename(home / "train_json" / path.name)
    before = {path: path.read_bytes() for path in home.rglob("*.*")}

    assert tool(home / source, "--to", "labelme", home / target, "--overwrite") == 2
    assert "never written to" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in home.rglob("*.*")} == before
    assert tool(home / source, "--to", "labelme", home / "new") == 0


def test_the_folder_of_an_annotation_file_is_data_too(drawn_pennfudan, tmp_path, capsys):
    home = tmp_path / "data"
    assert tool(drawn_pennfudan, home, "--to", "coco") == 0
    (home / "labels").mkdir()
    source = (home / "annotations.json").rename(home / "labels" / "annotations.json")
    arguments = (source, "--images", home / "images", "--to", "coco")
    before = source.read_bytes()

    for folder in (home, home / "labels", home / "images" / "new", source):
        assert tool(*arguments, folder, "--overwrite") == 2
        assert "never written to" in capsys.readouterr().err
    assert source.read_bytes() == before
    assert tool(*arguments, home / "new") == 0


def test_wrong_data_ends_with_4(tmp_path, capsys):
    assert tool(tmp_path / "nothing", tmp_path / "new", "--to", "coco") == 4
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["coco", "yolo", "labelme", "id-masks"])
def test_a_set_in_parts_stays_in_parts(to, drawn_pennfudan, tmp_path):
    root = tmp_path / "parts"
    root.mkdir()
    assert tool(drawn_pennfudan, root / "train", "--to", "labelme") == 0
    assert tool(drawn_pennfudan, root / "valid", "--to", "labelme") == 0
    assert tool(root, tmp_path / "new", "--to", to) == 0
    if to == "yolo":
        train, val = read_data(tmp_path / "new").given_split
        assert (len(train), len(val)) == (6, 6)
    else:
        wanted = masks_of(read_data(drawn_pennfudan))
        for part in ("train", "val"):
            assert masks_of(read_data(tmp_path / "new" / part)) == wanted


def test_a_third_part_is_not_lost(drawn_pennfudan, tmp_path):
    root = tmp_path / "parts"
    for part in ("train", "val", "test"):
        assert tool(drawn_pennfudan, root / part, "--to", "coco") == 0
    assert tool(root, tmp_path / "new", "--to", "id-masks") == 0
    wanted = masks_of(read_data(drawn_pennfudan))
    for part in ("train", "val", "test"):
        assert masks_of(read_data(tmp_path / "new" / part)) == wanted


def many_pictures(root, count):
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (300, 300, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number:03}.png", compress_level=1)
        mask = np.zeros((300, 300), np.uint8)
        mask[10 : 20 + number, 10:50] = 1
        Image.fromarray(mask).save(root / "masks" / f"{number:03}.png")


def convert_and_exit(*arguments):
    # A shell starts what runs in its background deaf to SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(tool(*arguments))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes and signals")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_no_half_file_and_the_next_completes(number, code, tmp_path, capfd):
    many_pictures(tmp_path / "data", 60)
    new = tmp_path / "new"
    arguments = (tmp_path / "data", new, "--to", "coco", "--resize", "290x290")
    process = multiprocessing.get_context("fork").Process(target=convert_and_exit, args=arguments)
    process.start()
    try:
        deadline = time.monotonic() + 60
        while len(list(new.glob("images/*.png"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, number)
        process.join(timeout=60)
    finally:
        process.kill()
    error = capfd.readouterr().err
    written = list(new.glob("images/*.png"))

    assert process.exitcode == code, error
    assert 5 <= len(written) < 60
    for path in written:
        with Image.open(path) as picture:
            picture.load()
    assert not (new / "annotations.json").exists()
    if number == signal.SIGINT:
        assert error.splitlines()[-1] == "error: interrupted"
        assert "Traceback" not in error
        assert not list(new.rglob("*.part"))

    assert tool(*arguments) == 2
    assert tool(*arguments, "--overwrite") == 0
    assert len(read_data(new).images) == 60
    assert not list(new.rglob("*.part"))


def test_a_full_disk_ends_with_3(drawn_pennfudan, tmp_path, capsys):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(small)],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        assert tool(drawn_pennfudan, small / "new", "--to", "coco") == 3
        assert "No space left" in capsys.readouterr().err
        assert not list(small.rglob("*.part"))
        assert not list(small.rglob("annotations.json"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_annotations_are_plain_json(drawn_pennfudan, tmp_path):
    assert tool(drawn_pennfudan, tmp_path / "new", "--to", "coco", "--simplify", 1.5) == 0
    content = json.loads((tmp_path / "new" / "annotations.json").read_text(encoding="utf-8"))
    assert {type(entry["segmentation"]) for entry in content["annotations"]} == {list}
