"""Pictures written whole, or an error that names the file."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from PIL import Image

from utils.prediction.picture_files import save_picture, shown_suffix


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.jpg", ".jpg"), ("a.JPG", ".jpg"), ("sub/a.jpeg", ".jpg"), ("a.jfif", ".jpg"),
        ("a.png", ".png"), ("a.tiff", ".png"), ("a.b.webp", ".png"), ("a.npy", ".png"),
        ("a.jpg.png", ".png"), ("jpg", ".png"), ("clip.mp4/000001.png", ".png"),
    ],
)  # fmt: skip
def test_pictures_of_a_jpeg_are_jpegs_and_others_png(name, suffix):
    assert shown_suffix(name) == suffix


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16"])
def test_a_png_holds_what_was_given(tmp_path, mode):
    colour = 200 if mode in ("L", "I;16") else (1, 2, 3, 4)[: len(mode)]
    picture = Image.new(mode, (7, 5), colour)
    save_picture(picture, tmp_path / "new" / "folder" / "a.b.png")
    with Image.open(tmp_path / "new" / "folder" / "a.b.png") as read:
        assert (read.format, read.mode) == ("PNG", mode)
        assert np.array_equal(np.asarray(read), np.asarray(picture))


def test_a_jpeg_looks_like_what_was_given(tmp_path):
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 3, axis=2)
    smooth = np.repeat(ramp, 48, axis=0)
    save_picture(Image.fromarray(smooth), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as read:
        assert (read.format, read.size) == ("JPEG", (64, 48))
        assert np.abs(np.asarray(read).astype(int) - smooth).max() <= 4


def test_a_picture_takes_the_place_of_an_earlier_one(tmp_path):
    for grey in (10, 20):
        save_picture(Image.new("L", (3, 3), grey), tmp_path / "图像 1.png")
    with Image.open(tmp_path / "图像 1.png") as read:
        assert read.getpixel((1, 1)) == 20


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing_of_it(tmp_path):
    (tmp_path / ".a.png.part").symlink_to("/dev/full")
    path = tmp_path / "a.png"
    with pytest.raises(OSError, match="No space left") as caught:
        save_picture(Image.new("RGB", (40, 40)), path)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken") as caught:
        save_picture(Image.new("L", (1, 1)), tmp_path / "taken" / "a.png")
    assert "taken" in str(caught.value.filename)
    assert (tmp_path / "taken").read_text() == "a file"


def test_what_is_too_long_for_a_jpeg_is_a_png(tmp_path):
    save_picture(Image.new("RGB", (65_501, 1)), tmp_path / "a.jpg")
    save_picture(Image.new("RGB", (65_500, 1)), tmp_path / "b.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.jpg"]
