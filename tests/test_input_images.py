"""Images in the forms that people have them in; others are refused with what is needed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from utils.data.images import load_image
from utils.data.records import DataError
from utils.prediction.input_images import as_array


def pixels(height=4, width=6, channels=3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (np.zeros((0, 6, 3), np.uint8), 3),
        (np.zeros((4, 0, 3), np.uint8), 3),
        (np.zeros((0, 0), np.uint8), 3),
        (np.zeros(6, np.uint8), 3),
        (np.zeros((4, 6, 4), np.uint8), 3),
        (np.zeros((4, 6, 1), np.uint8), 3),
        (np.zeros((3, 4, 6), np.uint8), 3),
        (np.zeros((1, 4, 6, 3), np.uint8), 3),
        (np.zeros((4, 6, 3), np.uint16), 3),
        (np.zeros((4, 6, 3), np.int64), 3),
        (np.zeros((4, 6, 3), bool), 3),
        (np.zeros((4, 6), np.uint8), 5),
        (np.zeros((4, 6, 3), np.uint8), 5),
        (torch.zeros(4, 6, 3), 3),
        (torch.zeros(1, 3, 4, 6), 3),
        (torch.zeros(3, 0, 6), 3),
        (torch.zeros(3, 4, 6, dtype=torch.int32), 3),
        (torch.zeros(()), 3),
    ],
)
def test_other_forms_are_refused_with_what_is_needed_and_found(image, channels):
    shape = rf"\({channels}, H, W\)" if torch.is_tensor(image) else rf"\(H, W, {channels}\)"
    kind = str(image.dtype).removeprefix("torch.")
    with pytest.raises(ValueError, match=rf"need uint8, or floats in 0..1, {shape}.*got {kind} \("):
        as_array(image, channels)


@pytest.mark.parametrize(
    ("image", "advice"),
    [
        (np.zeros((2, 4, 6, 3), np.uint8), "several images are a list"),
        (np.zeros((3, 4, 6), np.uint8), r"image.transpose\(1, 2, 0\)"),
        (torch.zeros(4, 6, 3), r"image.permute\(2, 0, 1\)"),
    ],
)
def test_what_is_most_often_meant_is_told(image, advice):
    with pytest.raises(ValueError, match=advice):
        as_array(image, 3)


@pytest.mark.parametrize("thing", [None, 3, b"bytes", [[1, 2], [3, 4]]])
def test_other_things_are_refused(thing):
    with pytest.raises(ValueError, match="need a path, a Pillow image, an array or a tensor, got"):
        as_array(thing, 3)


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0, np.nan, np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, torch.tensor])
def test_floats_beyond_their_range_are_refused(value, kind):
    image = np.full((3, 3, 3), 0.5)
    image[1, 2, 0] = value
    with pytest.raises(ValueError, match=r"floats must lie in 0..1"):
        as_array(kind(image), 3)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_floats_are_taken_as_they_are(kind, channels):
    image = (pixels(channels=channels) / 255).astype(kind)
    found = as_array(image, channels)
    assert found.dtype == np.float32
    assert np.array_equal(found, image.astype(np.float32))


@pytest.mark.parametrize("kind", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
def test_tensors_have_their_channels_first(kind):
    image = torch.from_numpy(pixels()).permute(2, 0, 1)
    image = image if kind == torch.uint8 else (image / 255).to(kind)
    found = as_array(image.requires_grad_(kind.is_floating_point), 3)
    assert found.dtype == (np.uint8 if kind == torch.uint8 else np.float32)
    assert np.array_equal(found, image.detach().float().permute(1, 2, 0).numpy())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["array", "tensor"])
def test_two_axes_are_grey(form, channels):
    grey = pixels()[:, :, 0]
    found = as_array(grey if form == "array" else torch.from_numpy(grey), channels)
    assert found.shape == (4, 6, channels)
    assert (found == grey[:, :, None]).all()


def stored(mode) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(pixels()[:, :, 0].astype(np.uint16) * 200)
    picture = Image.fromarray(pixels()).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.fromarray(pixels()[:, :, 1]))
    return picture


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_a_pillow_image_is_read_as_its_file_is(mode, tmp_path):
    picture = stored(mode)
    path = tmp_path / "picture.tif"
    picture.save(path)
    assert np.array_equal(as_array(picture, 3), load_image(path))


def test_a_pillow_image_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture = Image.fromarray(pixels())
    picture.getexif().update(exif)
    assert np.array_equal(as_array(picture, 3), np.rot90(pixels(), -1))


def test_a_pillow_image_that_cannot_be_decoded_is_told(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(pixels(200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="the image: cannot be decoded"):
        as_array(Image.open(path), 3)
    with pytest.raises(ValueError, match="at least one pixel"):
        as_array(Image.new("RGB", (0, 5)), 3)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        as_array(str(tmp_path / "none.png"), 3)
