"""What --source can name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from utils.data.images import load_image
from utils.data.records import DataError
from utils.open_data import open_training_data
from utils.prediction.sources import find_images, labelled_images

TREE = ["b.png", "A.JPG", "sub/c.bmp", "sub/deep er/图像 1.png", ".hidden.png", "notes.txt"]


@pytest.fixture
def tree(tmp_path):
    """Pictures whose grey value is their place in ``TREE``, beside other files."""
    root = tmp_path / "my photos"
    for value, name in enumerate(TREE):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no picture")
        else:
            Image.new("RGB", (4, 3), (value * 20,) * 3).save(path)
    return root


def names(*sources) -> list[str]:
    return [image.name for image in find_images([str(source) for source in sources])]


def test_no_sources_are_no_images():
    assert find_images([]) == []


def test_a_folder_is_searched_with_its_sub_folders(tree):
    assert sorted(names(tree)) == sorted(["b.png", "A.JPG", "sub/c.bmp", "sub/deep er/图像 1.png"])
    assert names(tree) == names(f"{tree}/")


def test_reading_gives_the_pixels_of_that_file(tree):
    for image in find_images([str(tree)]):
        pixels = image.read()
        assert (pixels.dtype, pixels.shape) == (np.uint8, (3, 4, 3))
        assert pixels.mean() == pytest.approx(20 * TREE.index(image.name), abs=2)


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*", ["A.JPG", "b.png"]),
        ("*.png", ["b.png"]),
        ("?.JPG", ["A.JPG"]),
        ("**/*.png", ["b.png", "图像 1.png"]),
        ("sub/*", ["c.bmp"]),
    ],
)
def test_a_glob_names_the_pictures_that_match(tree, pattern, wanted):
    assert names(tree / pattern) == wanted


def test_a_single_file_is_named_alone(tree):
    assert names(tree / "sub" / "c.bmp") == ["c.bmp"]


def test_a_file_name_is_no_pattern(tree):
    Image.new("RGB", (4, 3)).save(tree / "photo[1].png")
    assert names(tree / "photo[1].png") == ["photo[1].png"]


def test_order_is_the_one_given(tree):
    assert names(tree / "sub" / "c.bmp", tree / "b.png") == ["c.bmp", "b.png"]


@pytest.mark.parametrize("other", ["b.png", "../my photos/b.png", "*.png"])
def test_each_picture_comes_once(tree, other):
    assert names(tree / "b.png", tree / other) == ["b.png"]


def test_pictures_of_one_name_get_names_of_their_own(tree, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 3)).save(tmp_path / folder / "b.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "B.PNG")
    found = names(tree / "b.png", tmp_path / "x", tmp_path / "y" / "b.png", tmp_path / "B.PNG")
    assert found == ["b.png", "b-2.png", "b-3.png", "B-4.PNG"]


@pytest.mark.parametrize("source", ["missing.png", "missing/", "*.gif", "**/*.txt"])
def test_a_source_that_names_nothing_is_an_error(tree, source):
    with pytest.raises(DataError) as error:
        find_images([str(tree / "b.png"), str(tree / source)])
    assert str(tree / source).rstrip("/") in str(error.value)


def test_a_folder_without_pictures_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"no pictures in this folder .*\.png"):
        find_images([str(tmp_path)])


def test_a_file_that_is_no_picture_is_named(tree):
    (image,) = find_images([str(tree / "notes.txt")])
    with pytest.raises(DataError, match=r"notes\.txt"):
        image.read()


def test_pictures_are_read_as_the_network_takes_them(tree):
    for image in find_images([str(tree)], 1):
        pixels = image.read()
        assert (pixels.dtype, pixels.shape) == (np.float32, (3, 4, 1))


def test_arrays_are_pictures_too(tree, tmp_path):
    np.save(tree / "a.npy", np.zeros((3, 4, 5)))
    np.save(tmp_path / "b.npy", np.zeros((3, 4, 5)))
    assert "a.npy" not in names(tree)  # beside pictures it may be anything
    assert names(tree / "*.npy", tmp_path / "b.npy") == ["a.npy", "b.npy"]
    (image,) = find_images([str(tree / "a.npy")], 5)
    assert image.read().shape == (3, 4, 5)


def test_labelled_images_are_read_as_the_network_takes_them(drawn_pennfudan):
    data = open_training_data(str(drawn_pennfudan), channels=1)
    assert data.train[0][0].shape[0] == data.val[0][0].shape[0] == 1
    found = labelled_images(data.description(), data.train.data.classes, channels=1)
    assert all(image.read().shape[2] == 1 for image in found)


@pytest.mark.parametrize("slash", ["", "/"])
def test_labelled_images_are_those_of_the_split(drawn_pennfudan, slash):
    root = f"{drawn_pennfudan}{slash}"
    data = open_training_data(root)
    description = data.description()
    found = labelled_images(description, data.train.data.classes, "", "auto")
    assert tuple(image.name for image in found) == data.split.val
    assert 0 < len(found) < 6
    for image in found:
        assert np.array_equal(image.read(), load_image(drawn_pennfudan / image.name))


def test_labelled_images_need_a_data_set():
    with pytest.raises(DataError, match=r"predict\.py with --source"):
        labelled_images({}, ("cat",), "", "auto")
