"""``python -m tools.check``: what it prints and writes, how it ends, what it never touches."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from my_dataset import read_data
from nets.mask_rcnn import ARCHITECTURES, anchor_sizes, build_model
from tools.check import divided, main
from utils.command_line import parse
from utils.data.formats.id_masks import read_id_masks
from utils.data.records import instance_masks
from utils.doctor.config import CheckConfig
from utils.doctor.findings import Kind
from utils.exit_codes import run


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder to work in, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*argv):
    return run(main, parse(CheckConfig, [str(arg) for arg in argv], None))


def tree(root):
    """A hash of every file below a folder, its time of change too."""
    return {
        path.relative_to(root): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in root.rglob("*")
    }


def test_good_data(drawn_pennfudan, place, capsys):
    before = tree(drawn_pennfudan)
    assert check(drawn_pennfudan, "--min-size", 128, "--max-size", 200) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "error" not in out
    assert "person    9" in out
    assert "page: runs/check/people/page.html" in out.replace("\\", "/")
    assert (place / "runs" / "check" / "people" / "page.png").is_file()
    assert tree(drawn_pennfudan) == before


def test_arrays_of_five_channels(tmp_path, capsys):
    root = tmp_path / "cells"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        np.save(root / "images" / f"{number}.npy", rng.random((60, 80, 5)))
        ids = np.zeros((60, 80), np.uint8)
        ids[10:50, 20:70] = 1
        Image.fromarray(ids).save(root / "masks" / f"{number}.png")
    before = tree(root)
    assert check(root, "--channels", 5, "--min-size", 64, "--max-size", 80) == 0
    assert "error" not in capsys.readouterr().out
    assert check(root, "--channels", 4) == 4
    assert "has 5 channel(s), 4 wanted" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        check(root, "--channels", 0)
    assert tree(root) == before


def test_all_errors_at_once_worst_first_and_exit_code_4(drawn_pennfudan, capsys):
    pictures = sorted((drawn_pennfudan / "PNGImages").iterdir())
    pictures[0].write_bytes(pictures[0].read_bytes()[:3000])
    pictures[3].write_bytes(pictures[2].read_bytes())
    before = tree(drawn_pennfudan)
    assert check(drawn_pennfudan) == 4
    out, err = capsys.readouterr()
    assert f"{drawn_pennfudan}: " in err
    assert "error(s), listed above" in err
    assert str(pictures[0]) in out
    assert out.index("error: ") < out.index("warning: ") < out.index("part ")
    assert "page: " in out
    assert tree(drawn_pennfudan) == before


@pytest.mark.parametrize(
    "argv",
    [
        ["--min-size", 0],
        ["--min-size", 900, "--max-size", 800],
        ["--arch", "nothing"],
        ["--fix-to", "DATA"],
        ["--fix-to", "DATA/repaired"],
        ["--output", "DATA/page"],
    ],
)
def test_wrong_usage_is_exit_code_2(drawn_pennfudan, capsys, argv):
    before = tree(drawn_pennfudan)
    argv = [str(arg).replace("DATA", str(drawn_pennfudan)) for arg in argv]
    try:
        code = check(drawn_pennfudan, *argv)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert capsys.readouterr().err
    assert tree(drawn_pennfudan) == before


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_no_data_is_exit_code_4(place, capsys, name):
    (place / "empty").mkdir()
    assert check(name, "--fix-to", "repaired") == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {name}: no")
    assert "Traceback" not in err
    assert not (place / "repaired").exists()


def two_parts(drawn, root):
    """The drawn set as ``train/`` and ``val/``, with one picture in both."""
    for part in ("train", "val"):
        shutil.copytree(drawn, root / part)
    for part, gone in (("train", "two"), ("val", "one")):
        for path in [*(root / part).rglob(f"{gone}_*.png")]:
            path.unlink()
    return root


def test_parts_are_checked_against_each_other(drawn_pennfudan, place, capsys):
    root = two_parts(drawn_pennfudan, place / "parts")
    assert check(root) == 0
    by_parts = capsys.readouterr().out
    assert f"warning: {Kind.LEAK.title} (2)" in by_parts  # crowded and empty are in both
    assert check(root / "train", "--val-data", root / "val") == 0
    by_flag = capsys.readouterr().out
    assert by_flag.partition("page:")[0] == by_parts.partition("page:")[0]


def test_classes_that_the_training_part_lacks(place, capsys):
    for part, name in (("train", "cat"), ("val", "dog")):
        write_coco(place / part, [name, "bird"])
    assert check(place) == 2  # the page would lie in the data
    assert check(place, "--output", place.parent / f"{place.name}-page") == 4
    assert "class 'dog' is not one of cat, bird" in capsys.readouterr().out


def write_coco(folder, names):
    folder.mkdir()
    pixels = np.random.default_rng(len(names[0])).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    square = [[10, 10, 40, 10, 40, 40, 10, 40]]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 60}],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i + 1, "image_id": 1, "category_id": 1, "segmentation": square, "iscrowd": 0}
            for i in range(2)
        ],
    }
    (folder / "_annotations.coco.json").write_text(json.dumps(content), encoding="utf-8")


def test_a_set_divided_by_its_own_files(drawn_pennfudan):
    data = read_id_masks(drawn_pennfudan)
    names = data.names()
    assert list(divided(data)) == ["all"]
    parts = divided(replace(data, given_split=(names[:3], names[3:5])))
    assert {part: one.names() for part, one in parts.items()} == {
        "train": names[:3], "val": names[3:5], "other": names[5:]
    }  # fmt: skip


def test_a_repaired_copy_has_no_errors(drawn_pennfudan, place, capsys):
    images, masks = drawn_pennfudan / "PNGImages", drawn_pennfudan / "PedMasks"
    broken = images / "crowded.png"
    broken.write_bytes(broken.read_bytes()[:3000])
    for folder, suffix in ((images, ""), (masks, "_mask")):
        shutil.copy(folder / f"one_box{suffix}.png", folder / f"zz{suffix}.png")
    stray = np.random.default_rng(0).permutation(90 * 70)[:60]
    mask = np.asarray(Image.open(masks / "two_kinds_mask.png")).copy()
    mask.ravel()[stray] = np.arange(60) + 100
    Image.fromarray(mask).save(masks / "two_kinds_mask.png")
    before = tree(drawn_pennfudan)

    assert check(drawn_pennfudan, "--fix-to", "repaired") == 4
    out = capsys.readouterr().out
    assert f"error: {Kind.BLURRED.title} (1)" in out
    assert f"warning: {Kind.DUPLICATE_IMAGE.title} (1)" in out
    said = out.partition("repaired copy: repaired\n")[2]
    assert "left out: the same picture is there twice" in said
    assert "left out: their id masks are blurred" in said
    assert tree(drawn_pennfudan) == before

    assert check("repaired") == 0
    assert "error" not in capsys.readouterr().out
    copy, source = read_data("repaired"), read_id_masks(drawn_pennfudan, problems=[])
    assert [record.path.stem for record in copy.images] == [
        "empty", "one_box", "one_oval", "two_boxes"
    ]  # fmt: skip
    by_stem = {record.path.stem: record for record in source.images}
    for record in copy.images:
        old, new = instance_masks(by_stem[record.path.stem]), instance_masks(record)
        assert np.array_equal(old, new)


def test_no_copy_is_written_if_no_image_is_left(place, capsys):
    for folder in ("images", "masks"):
        (place / "set" / folder).mkdir(parents=True)
    mask = Image.new("L", (90, 60))
    mask.paste(255, (20, 10, 60, 40))
    for number in range(3):
        Image.new("RGB", mask.size, (9, 9, number)).save(place / f"set/images/{number}.png")
        mask.filter(ImageFilter.GaussianBlur(2)).save(place / f"set/masks/{number}.png")
    assert check("set", "--fix-to", "repaired") == 4
    out, err = capsys.readouterr()
    assert "no copy is written, no image is left:" in out
    assert "3 image(s) left out: their id masks are blurred" in out
    assert "repaired" not in err
    assert not (place / "repaired").exists()


def test_parts_are_repaired_each_in_its_folder(drawn_pennfudan, place, capsys):
    root = two_parts(drawn_pennfudan, place / "parts")
    assert check(root, "--fix-to", "repaired") == 0
    capsys.readouterr()
    assert check("repaired") == 0
    out = capsys.readouterr().out
    assert Kind.LEAK.title not in out
    assert "train       2" in out
    assert "val         4" in out


@pytest.mark.parametrize("part", ["train", "val"])
def test_nothing_is_repaired_when_a_part_cannot_be_read(drawn_pennfudan, place, capsys, part):
    root = two_parts(drawn_pennfudan, place / "parts")
    (root / part / "mask_classes.csv").write_text("nonsense", encoding="utf-8")
    assert check(root, "--fix-to", "repaired") == 4
    out, err = capsys.readouterr()
    assert "mask_classes.csv" in out
    assert "repaired copy" not in out
    assert f"--fix-to wrote nothing, {root / part} cannot be read" in err
    assert not (place / "repaired").exists()
    rare = f"warning: {Kind.RARE_CLASS.title}"
    assert (rare in out) == (part == "val")  # what is held out is not judged by what it trains


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_anchor_sizes_are_those_of_the_networks_square_anchors(arch):
    network = build_model(arch, 2) if "small" in arch or "mobilenet" in arch else None
    sizes = anchor_sizes(arch)
    assert sizes == tuple(sorted(set(sizes)))
    if network:
        cells = torch.cat(network.rpn.anchor_generator.cell_anchors)
        width, height = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
        assert set(width[width == height].tolist()) == set(sizes)
