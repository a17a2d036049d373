"""Each object as a picture of its own."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from found_scene import found_picture, noise, random_masks
from PIL import Image

from utils.data.channels import rgb_view
from utils.prediction import cut_outs
from utils.prediction.cut_outs import write_crops, write_cutouts

SIZES = [(1, 1), (2, 100), (100, 2), (60, 80)]


def read_all(folder) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("write", [write_crops, write_cutouts])
def test_nothing_to_show_makes_no_folder(write, tmp_path):
    write(found_picture(noise(20, 30), []), tmp_path / "none")
    write(found_picture(noise(20, 30), [np.zeros((20, 30))]), tmp_path / "empty")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("channels", [3, 1, 2, 5])
def test_a_crop_is_the_picture_around_an_object(height, width, channels, tmp_path):
    image = noise(height, width, channels)
    masks = random_masks(height, width, 5, seed=2)
    write_crops(found_picture(image, masks), tmp_path)
    crops = read_all(tmp_path)
    shown = rgb_view(image)
    assert len(crops) == sum(mask.any() for mask in masks)
    for name, crop in crops.items():
        ys, xs = np.nonzero(masks[int(name[:3]) - 1])
        margin = round(0.05 * max(np.ptp(ys) + 1, np.ptp(xs) + 1)) + 1
        part = shown[
            max(ys.min() - margin, 0) : ys.max() + margin + 1,
            max(xs.min() - margin, 0) : xs.max() + margin + 1,
        ]
        assert np.array_equal(crop, part)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("channels", [3, 1, 2, 5])
def test_a_cut_out_shows_the_objects_pixels_and_nothing_else(height, width, channels, tmp_path):
    image = noise(height, width, channels)
    masks = random_masks(height, width, 5, seed=2)
    write_cutouts(found_picture(image, masks), tmp_path)
    cutouts = read_all(tmp_path)
    shown = rgb_view(image)
    assert len(cutouts) == sum(mask.any() for mask in masks)
    for name, cutout in cutouts.items():
        mask = masks[int(name[:3]) - 1]
        ys, xs = np.nonzero(mask)
        box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        assert np.array_equal(cutout[:, :, 3], np.where(mask[box], 255, 0))
        assert np.array_equal(cutout[:, :, :3], np.where(mask[box][:, :, None], shown[box], 0))


def test_files_are_named_by_place_class_and_score(tmp_path):
    full = np.ones((8, 8))
    found = found_picture(noise(8, 8), [full, np.zeros((8, 8)), full], [2, 1, 1], name="a.JPG")
    write_crops(found, tmp_path / "crops")
    write_cutouts(found, tmp_path / "cutouts")
    assert list(read_all(tmp_path / "crops")) == ["001_dog_0.98.jpg", "003_cat_0.96.jpg"]
    assert list(read_all(tmp_path / "cutouts")) == ["001_dog_0.98.png", "003_cat_0.96.png"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("行人", "行人"), ("a b", "a b"), ("../../etc/passwd", "_.._etc_passwd"),
        ("a/b\\c", "a_b_c"),
        ("", "run"), ("..", "run"), ("x\n", "x_"), ("很" * 300, "很" * 55), ("😀" * 99, "😀" * 55),
    ],
)  # fmt: skip
def test_any_class_name_gives_a_file_in_the_folder(name, shown, tmp_path):
    found = found_picture(noise(4, 4), [np.ones((4, 4))], classes=(name,))
    for write, folder in ((write_crops, "crops"), (write_cutouts, "cutouts")):
        write(found, tmp_path / folder)
        assert [p.name for p in (tmp_path / folder).iterdir()] == [f"001_{shown}_0.98.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["crops", "cutouts"]


def test_more_than_999_objects_have_files_of_their_own(tmp_path):
    masks = [np.eye(1, 1100, n).astype(bool) for n in range(1100)]
    write_cutouts(found_picture(noise(1, 1100), masks), tmp_path)
    numbers = [int(re.match(r"\d+", path.name)[0]) for path in tmp_path.iterdir()]
    assert sorted(numbers) == list(range(1, 1101))


class Windows:
    """A picture of which only windows are read, and which remembers their sizes."""

    def __init__(self, array):
        self.array = array
        self.height, self.width = array.shape[:2]
        self.read = []

    def window(self, x, y, width, height):
        assert min(x, y) >= 0
        assert x + width <= self.width
        assert y + height <= self.height
        self.read.append(width * height)
        return self.array[y : y + height, x : x + width]

    def view(self, most):
        raise AssertionError("all of a huge picture")


def test_of_a_huge_picture_only_windows_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cut_outs, "MOST_SHOWN", 60 * 80 - 1)
    image = noise(60, 80)
    mask = np.zeros((60, 80), bool)
    mask[10:30, 40:80] = True
    found = found_picture(image, [mask])
    windows = Windows(image)
    huge = replace(found, picture=replace(found.picture, pixels=windows))
    write_crops(huge, tmp_path / "crops")
    write_cutouts(huge, tmp_path / "cutouts")
    assert windows.read == [43 * 26, 40 * 20]
    (crop,), (cutout,) = (read_all(tmp_path / kind).values() for kind in ("crops", "cutouts"))
    assert np.array_equal(crop, image[7:33, 37:])
    assert np.array_equal(cutout[:, :, :3], image[10:30, 40:])


def test_crops_of_a_jpeg_look_like_it(tmp_path):
    image = np.full((64, 64, 3), (30, 120, 200), np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    write_crops(found_picture(image, [mask], name="a.jpeg"), tmp_path)
    (crop,) = read_all(tmp_path).values()
    assert crop.shape == (38, 38, 3)
    assert np.abs(crop.astype(int) - (30, 120, 200)).max() <= 3


@pytest.mark.parametrize("write", [write_crops, write_cutouts])
def test_objects_of_an_earlier_picture_of_this_name_go(write, tmp_path):
    masks = np.zeros((3, 20, 30), np.uint8)
    masks[:, 5:9, 5:9] = 1
    write(found_picture(noise(20, 30), list(masks)), tmp_path / "a")
    (tmp_path / "a" / "b").mkdir()  # those of a picture a/b
    write(found_picture(noise(20, 30), list(masks[:1])), tmp_path / "a")
    assert len([path for path in (tmp_path / "a").iterdir() if path.is_file()]) == 1
    assert (tmp_path / "a" / "b").is_dir()
