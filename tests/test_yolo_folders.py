"""Where YOLO data sets keep their pictures: folders, parts and the data.yaml above them."""

import time

import pytest
from PIL import Image

from utils.data.formats.yolo_folders import find_yolo, home_of, open_layout
from utils.data.records import DataError

NAMES = "names: [cat]\n"


def picture(path, rows=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    if rows is not None:
        path.with_suffix(".txt").write_text(rows)
    return path


def test_the_data_yaml_above_a_part(tmp_path):
    (tmp_path / "data.yaml").write_text(f"{NAMES}train: images/train\n")
    deep = tmp_path / "a" / "b" / "c"
    for folder in (tmp_path / "new", deep, deep / "d"):
        picture(folder / "x.png")
    assert open_layout(tmp_path / "new").home == tmp_path
    assert open_layout(deep).data_yaml.source == tmp_path / "data.yaml"
    assert open_layout(deep / "d").data_yaml is None  # four folders up


def test_another_yaml_counts_only_for_the_parts_it_names(tmp_path):
    images = picture(tmp_path / "one" / "images" / "x.png").parent
    other = picture(tmp_path / "two" / "x.png").parent
    (tmp_path / "one.yaml").write_text(f"{NAMES}train: one/images\n")
    for root in (images, images.parent):
        layout = open_layout(root)
        assert layout.home == tmp_path
        assert layout.parts == {"": [images / "x.png"]}
    assert open_layout(other).data_yaml is None
    (tmp_path / "two.yaml").write_text(f"{NAMES}train: one/images\n")
    with pytest.raises(DataError, match=r"several data files \(one\.yaml, two\.yaml\); name one"):
        open_layout(images)
    with pytest.raises(DataError, match="several data files"):
        open_layout(tmp_path)
    assert open_layout(tmp_path / "two.yaml").parts == {"train": [images / "x.png"]}


def test_what_was_found_elsewhere_is_noted(tmp_path):
    image = picture(tmp_path / "images" / "x.png")
    for text, note in {
        "images": [],
        "../images": [],
        "./images/": [],
        "/images": [],
        "/home/me/images": ["data.yaml: train is '/home/me/images', read is images"],
        "imgs/images": ["data.yaml: train is 'imgs/images', read is images"],
        ".": [],
    }.items():
        (tmp_path / "data.yaml").write_text(f"{NAMES}train: {text}\n")
        layout = open_layout(tmp_path)
        assert (layout.parts, layout.notes) == ({"train": [image]}, note)


@pytest.mark.parametrize("val", ["val", "valid", "test"])
@pytest.mark.parametrize("pattern", ["images/{}", "{}/images", "{}"])
def test_parts_by_name(tmp_path, pattern, val):
    train = picture(tmp_path / pattern.format("train") / "x.png")
    layout = open_layout(tmp_path)
    assert layout.parts == {"": [train]}  # one part is no split
    other = picture(tmp_path / pattern.format(val) / "x.png")
    assert open_layout(tmp_path).parts == {"train": [train], "val": [other]}


def test_the_home_of_images(tmp_path):
    images = tmp_path / "images" / "train"
    images.mkdir(parents=True)
    assert home_of(images) == images
    (tmp_path / "labels").mkdir()
    assert home_of(images) == home_of(tmp_path / "images") == home_of(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("rows", "is_yolo"),
    [
        ("0 0.1 0.2 0.3 0.4\n", True),
        ("\n\n12 1e-3 0.2 0.3 0.4 0.5 .6 \n", True),
        ("0.000e+00 1 2 3 4 5 6", True),
        ("", False),
        ("0 1 2 3", False),
        ("a photo of a cat", False),
        ("0.1 0.2 0.3 cat 0.5", False),
        ("-1 0.1 0.2 0.3 0.4", False),
    ],
)
def test_rows_tell_labels_from_other_text(tmp_path, rows, is_yolo):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", "")
    picture(tmp_path / "c.png", rows)
    assert (find_yolo(tmp_path) == tmp_path) == is_yolo


def test_long_lines_are_recognised_in_time(tmp_path):
    picture(tmp_path / "a.png", "0" * 90_000 + " x")
    start = time.perf_counter()
    assert find_yolo(tmp_path) is None
    picture(tmp_path / "a.png", "0" + " 0.5" * 60_000)  # longer than what is looked at
    assert find_yolo(tmp_path) == tmp_path
    assert time.perf_counter() - start < 2


def test_files_that_are_recognised(tmp_path):
    for name, text, is_yolo in [
        ("a.txt", "x.png", False),
        ("b.yaml", "lr: 1", False),
        ("c.json", "{}", False),
        ("d.yaml", f"{NAMES}train: x", True),
    ]:
        path = tmp_path / name
        path.write_text(text)
        assert (find_yolo(path) is not None) == is_yolo
    (tmp_path / "data.yaml").write_text(f"{NAMES}train: x")
    assert find_yolo(tmp_path / "a.txt") == tmp_path / "a.txt"
