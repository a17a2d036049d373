"""Pictures as float channels, and what is looked at of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn_arrays
from PIL import Image

from utils.data.channels import rgb_view, scaled
from utils.data.images import load_image, upright_size
from utils.data.records import DataError

NOISE = np.random.default_rng(0).integers(0, 256, (4, 6, 4), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (4, 6), np.uint16)
TURNED_LEFT = 6  # the EXIF orientation of a picture that is stored turned a quarter to the left


def save_pages(path, pages):
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=rest)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_precision(tmp_path, suffix):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(levels).save(tmp_path / f"deep.{suffix}")
    pixels = load_image(tmp_path / f"deep.{suffix}", 1)
    assert (pixels.dtype, pixels.shape) == (np.float32, (256, 256, 1))
    assert len(np.unique(pixels)) == 65536
    assert np.allclose(pixels[:, :, 0], levels / 65535, atol=1e-7)


RULES = {
    "float 0..1": (np.float32([0, 0.2, 0.6, 1]), [0, 0.2, 0.6, 1]),
    "float inside 0..1": (np.float32([0.2, 0.2, 0.4, 0.4]), [0.2, 0.2, 0.4, 0.4]),
    "float wide": (np.float32([-100, -60, 20, 100]), [0, 0.2, 0.6, 1]),
    "float flat": (np.float32([7, 7, 7, 7]), [0, 0, 0, 0]),
    "int of 16 bits": (
        np.int32([257, 514, 25_700, 51_400]),
        [1 / 255, 2 / 255, 100 / 255, 200 / 255],
    ),
    "int wide": (np.int32([-50_000, 0, 50_000, 205_000]), [0, 50 / 255, 100 / 255, 1]),
    "byte": (np.uint8([0, 1, 128, 255]), [0, 1 / 255, 128 / 255, 1]),
}


@pytest.mark.parametrize("case", RULES)
def test_one_channel_is_scaled_by_the_rule_of_its_file(tmp_path, case):
    values, expected = RULES[case]
    Image.fromarray(values.reshape(2, 2)).save(tmp_path / "a.tif")
    assert np.allclose(load_image(tmp_path / "a.tif", 1).ravel(), expected, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(drawn_arrays(np.float32, (3, 4), elements=st.floats(-1000, 1000, width=32)))
def test_floats_are_stretched_alike_whatever_their_unit(values):
    found = scaled(values, "a")
    assert found.min() >= 0
    assert found.max() <= 1
    if values.max() > 1:
        assert np.allclose(found, scaled(values * np.float32(64), "a"), atol=1e-6)


def test_of_three_channels_nothing_has_changed(tmp_path):
    Image.fromarray(NOISE[:, :, :3]).save(tmp_path / "a.png")
    pixels = load_image(tmp_path / "a.png", 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, NOISE[:, :, :3])
    assert np.array_equal(pixels, load_image(tmp_path / "a.png"))


GREYS = {
    "1": Image.new("1", (3, 2), 1), "L": Image.new("L", (3, 2), 77),
    "LA hidden": Image.new("LA", (3, 2), (77, 0)), "RGB": Image.new("RGB", (3, 2), (10, 200, 30)),
    "RGB grey": Image.new("RGB", (3, 2), (99, 99, 99)),
    "RGBA hidden": Image.new("RGBA", (3, 2), (200, 0, 0, 0)),
    "CMYK cyan": Image.new("CMYK", (3, 2), (255, 0, 0, 0)),
}  # fmt: skip
LUMA = {
    "1": 255, "L": 77, "LA hidden": 255, "RGB": 0.299 * 10 + 0.587 * 200 + 0.114 * 30,
    "RGB grey": 99, "RGBA hidden": 255, "CMYK cyan": (0.587 + 0.114) * 255,
}  # fmt: skip


@pytest.mark.parametrize("mode", GREYS)
def test_colour_becomes_grey_on_white(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode.startswith("CMYK") else "a.png")
    GREYS[mode].save(path)
    pixels = load_image(path, 1)
    assert (pixels.dtype, pixels.shape) == (np.float32, (2, 3, 1))
    assert np.allclose(pixels * 255, LUMA[mode], atol=0.51)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGBA", "png"), ("RGBA", "tif"), ("CMYK", "tif"), ("LA", "png")]
)
def test_stored_channels_are_taken_as_they_are(tmp_path, mode, suffix):
    stored = NOISE[:, :, : len(mode)]
    Image.frombytes(mode, (6, 4), stored.tobytes()).save(tmp_path / f"a.{suffix}")
    pixels = load_image(tmp_path / f"a.{suffix}", len(mode))
    assert np.allclose(pixels, stored / 255, atol=1e-7)


def test_pages_of_a_tiff_are_channels(tmp_path):
    pages = [NOISE[:, :, 0], DEEP, np.float32(DEEP) / 1000, NOISE[:, :, 1], NOISE[:, :, 2]]
    pixels = load_image(save_pages(tmp_path / "a.tif", pages), 5)
    assert (pixels.dtype, pixels.shape) == (np.float32, (4, 6, 5))
    assert np.allclose(pixels[:, :, 0], pages[0] / 255, atol=1e-7)
    assert np.allclose(pixels[:, :, 1], DEEP / 65535, atol=1e-7)
    low, high = pages[2].min(), pages[2].max()
    assert np.allclose(pixels[:, :, 2], (pages[2] - low) / (high - low), atol=1e-6)
    assert np.allclose(pixels[:, :, 4], pages[4] / 255, atol=1e-7)
    assert upright_size(tmp_path / "a.tif") == (6, 4)


@pytest.mark.parametrize("channels", [1, 2])
def test_an_image_is_upright(tmp_path, channels):
    exif = Image.Exif()
    exif[0x0112] = TURNED_LEFT
    stored = np.ascontiguousarray(np.rot90(NOISE[:, :, :2]))
    picture = Image.fromarray(stored[:, :, 0]) if channels == 1 else Image.frombytes(
        "LA", stored.shape[1::-1], stored.tobytes()
    )  # fmt: skip
    picture.save(tmp_path / "a.png", exif=exif)
    pixels = load_image(tmp_path / "a.png", channels)
    assert np.allclose(pixels, NOISE[:, :, :channels] / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("pages", "channels", "message"),
    [
        ([NOISE[:, :, 0]] * 5, 4, r"has 5 channel\(s\), 4 wanted; .*--channels 5"),
        ([NOISE[:, :, 0]] * 5, 1, r"has 5 channel\(s\), 1 wanted"),
        ([NOISE[:, :, 0]], 2, r"has 1 channel\(s\), 2 wanted"),
        ([NOISE], 5, r"has 4 channel\(s\), 5 wanted"),
        ([NOISE[:, :, :3]], 4, r"has 3 channel\(s\), 4 wanted"),
        ([NOISE[:, :, 0], NOISE[:3, :, 0]], 2, r"page 2 is 6x3 pixels, page 1 is 6x4"),
        ([NOISE[:, :, 0], NOISE[:, :, :3]], 2, r"page 2 is a picture in colour \(RGB\)"),
        ([np.float32([[0, np.nan]])], 1, "not finite"),
        ([np.float32([[0, np.inf]])], 1, "not finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_does_not_fit_is_named(tmp_path, pages, channels, message):
    path = save_pages(tmp_path / "a.tif", pages)
    with pytest.raises(DataError, match=message) as caught:
        load_image(path, channels)
    assert str(caught.value).startswith(str(path))
    assert "damaged" not in str(caught.value)


def test_frames_of_a_film_are_no_channels(tmp_path):
    frames = [Image.new("L", (3, 2), value) for value in (50, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="has 2 frames"):
        assert np.allclose(load_image(tmp_path / "a.gif", 1) * 255, 50)


def test_rgb_is_looked_at_as_it_is():
    assert np.array_equal(rgb_view(NOISE[:, :, :3]), NOISE[:, :, :3])
    assert np.array_equal(rgb_view(np.float32(NOISE[:, :, :3]) / 255), NOISE[:, :, :3])


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_are_looked_at_stretched(channels):
    image = np.random.default_rng(0).random((5, 4, channels), np.float32) * 0.05 + 0.4
    view = rgb_view(image)
    assert (view.dtype, view.shape) == (np.uint8, (5, 4, 3))
    low, high = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    expected = np.rint((image - low) / (high - low) * 255)
    for i in range(3):
        shown = 0 if channels == 1 else i
        wanted = expected[:, :, shown] if shown < channels else 0
        assert (abs(view[:, :, i].astype(int) - wanted) <= 1).all()


def test_a_flat_image_can_be_looked_at():
    assert not rgb_view(np.full((2, 3, 1), 0.7, np.float32)).any()
