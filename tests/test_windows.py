"""Every window is the same part of what ``load_image`` gives, bit for bit, whatever the format."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from utils.data.images import load_image
from utils.data.records import DataError
from utils.prediction import tiff_segments, windows
from utils.prediction.pixels import PixelArray
from utils.prediction.windows import open_windows

HEIGHT, WIDTH = 41, 67
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
LEVELS = NOISE[:, :, 0]
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), np.uint16)
FLOATS = RNG.normal(0, 1000, (HEIGHT, WIDTH)).astype(np.float32)
HOLED = FLOATS.copy()
HOLED[3, 5], HOLED[20, 60], HOLED[40, 0] = np.nan, np.inf, -np.inf
PARTS = [(0, 0, WIDTH, HEIGHT), (0, 0, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1), (5, 30, 40, 11),
         (20, 3, 1, 38), (0, 17, 67, 1), (33, 9, 17, 13)]  # fmt: skip


@pytest.fixture(autouse=True)
def strips_and_caches_are_small(monkeypatch):
    monkeypatch.setattr(windows, "STRIP_PIXELS", 7 * WIDTH)
    monkeypatch.setattr(tiff_segments, "CACHE_BYTES", 3000)


@pytest.fixture(params=["tifffile", "pillow"])
def reader(request, monkeypatch):
    """TIFFs are read by both libraries."""
    if request.param == "pillow":
        monkeypatch.setattr(tiff_segments, "tifffile", None)
    else:
        pytest.importorskip("tifffile")
        pytest.importorskip("imagecodecs")
    return request.param


def check(path, channels=3):
    """Compare all parts; returns the windows."""
    whole = load_image(path, channels)
    pixels = open_windows(path, channels)
    assert (pixels.height, pixels.width) == whole.shape[:2]
    height, width = whole.shape[:2]
    for x, y, w, h in PARTS if width >= height else [(y, x, h, w) for x, y, w, h in PARTS]:
        part = pixels.window(x, y, w, h)
        assert part.dtype == whole.dtype
        np.testing.assert_array_equal(part, whole[y : y + h, x : x + w])
    return pixels


def check_or_refused(path, channels):
    """Compare all parts, or the refusals."""
    try:
        load_image(path, channels)
    except DataError as error:
        refusal = str(error)
    else:
        return check(path, channels)
    with pytest.raises(DataError) as caught:
        open_windows(path, channels)
    assert str(caught.value) == refusal


def palette(alpha):
    picture = Image.fromarray(NOISE[:, :, :3]).quantize(20)
    if alpha:
        picture.info["transparency"] = 3
    return picture


def pictures():
    colour, grey = Image.fromarray(NOISE[:, :, :3]), Image.fromarray(LEVELS)
    return {
        "colour.png": (colour, {}), "grey.png": (grey, {}), "one bit.png": (grey.convert("1"), {}),
        "grey, alpha.png": (Image.fromarray(NOISE[:, :, :2], "LA"), {}),
        "alpha.png": (Image.fromarray(NOISE), {}), "palette.png": (palette(False), {}),
        "see-through palette.png": (palette(True), {"transparency": 3}),
        "see-through colour.png": (colour, {"transparency": tuple(map(int, NOISE[0, 0, :3]))}),
        "palette.gif": (palette(False), {}), "16 bits.png": (Image.fromarray(DEEP), {}),
        "colour.jpg": (colour, {}), "grey.jpg": (grey, {}),
        "cmyk.jpg": (colour.convert("CMYK"), {}),
        "colour.webp": (colour, {}), "colour.bmp": (colour, {}), "grey.pgm": (grey, {}),
    }  # fmt: skip


@pytest.mark.parametrize("name", pictures())
def test_windows_of_every_mode(tmp_path, name):
    picture, options = pictures()[name]
    picture.save(tmp_path / name, **options)
    check(tmp_path / name)


def tiffs():
    colour, grey = Image.fromarray(NOISE[:, :, :3]), Image.fromarray(LEVELS)
    lab = colour.convert("YCbCr")
    return {
        "colour": (colour, {}), "lzw": (colour, {"compression": "tiff_lzw"}),
        "jpeg": (colour, {"compression": "jpeg"}), "grey": (grey, {"compression": "packbits"}),
        "alpha": (Image.fromarray(NOISE), {"compression": "tiff_adobe_deflate"}),
        "one bit": (grey.convert("1"), {}), "fax": (grey.convert("1"), {"compression": "group4"}),
        "palette": (palette(False), {}), "cmyk": (colour.convert("CMYK"), {}), "ycbcr": (lab, {}),
        "16 bits": (Image.fromarray(DEEP), {"compression": "tiff_lzw"}),
        "16 bits, other order": (Image.fromarray(DEEP.astype(">u2")), {}),
        "32 bits": (Image.fromarray(DEEP.astype(np.int32) * 7 - 9999), {}),
        "32 bits that need 16": (Image.fromarray(DEEP.astype(np.int32)), {}),
        "floats": (Image.fromarray(FLOATS), {}), "holed floats": (Image.fromarray(HOLED), {}),
        "floats in 0..1": (Image.fromarray(FLOATS**2 / (FLOATS**2).max()), {}),
    }  # fmt: skip


@pytest.mark.parametrize("name", tiffs())
def test_windows_of_tiffs(tmp_path, reader, name):
    picture, options = tiffs()[name]
    path = tmp_path / "picture.tif"
    picture.save(path, **options)
    check(path)


@pytest.mark.parametrize("options", [
    {"tile": (16, 32)}, {"tile": (16, 32), "compression": "zlib", "predictor": True},
    {"tile": (16, 16), "compression": "jpeg"}, {"rowsperstrip": 5, "compression": "lzw"},
    {"tile": (16, 16), "bigtiff": True, "byteorder": ">"}, {"planarconfig": "separate"},
    {"tile": (16, 16), "photometric": "rgb", "compression": "jpeg2000"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("pixels", [NOISE[:, :, :3], NOISE, LEVELS, DEEP, FLOATS], ids=np.shape)
def test_windows_of_tiled_tiffs(tmp_path, options, pixels):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    path = tmp_path / "picture.tif"
    kind = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack"}
    if pixels.shape[2:] == (4,):
        kind["extrasamples"] = ["unassalpha"]
    if "separate" in options.values() and pixels.ndim == 3:
        pixels = np.moveaxis(pixels, 2, 0)
    try:
        tifffile.imwrite(path, pixels, **kind | options)
        load_image(path)
    except (ValueError, RuntimeError, DataError):
        pytest.skip("not written, or not read by Pillow")
    check(path)


def test_plain_tiffs_are_read_in_segments(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, NOISE[:, :, :3], tile=(16, 16), compression="lzw", photometric="rgb")
    with Image.open(path) as picture:
        segments = tiff_segments.open_segments(path, 0, picture)
        decoded = []
        inner = segments.segment
        segments.segment = lambda *place: decoded.append(place) or inner(*place)
        segments.crop((17, 3, 40, 16))
    assert decoded == [(1, 0), (2, 0)]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_windows_of_turned_pictures(tmp_path, reader, orientation, suffix):
    path = tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(NOISE[:, :, :3]).save(path, exif=exif)
    check(path)


@pytest.mark.parametrize("orientation", [1, 6])
def test_windows_of_pages_that_are_channels(tmp_path, reader, orientation):
    path = tmp_path / "pages.tif"
    exif = Image.Exif()
    exif[0x0112] = orientation
    pages = [Image.fromarray(v) for v in (LEVELS, DEEP, FLOATS, NOISE[:, :, 1])]
    pages += [Image.fromarray(LEVELS).convert("1")]
    pages[0].save(path, save_all=True, append_images=pages[1:], exif=exif, compression="tiff_lzw")
    check(path, 5)
    with pytest.raises(DataError, match=r"5 channel\(s\), 2 wanted"):
        open_windows(path, 2)
    with pytest.warns(UserWarning, match="5 frames"):
        check(path, 3)


@pytest.mark.parametrize("name", pictures())
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_windows_of_other_channels(tmp_path, name, channels):
    picture, options = pictures()[name]
    picture.save(tmp_path / name, **options)
    check_or_refused(tmp_path / name, channels)


@pytest.mark.parametrize("name", tiffs())
def test_windows_of_one_channel_tiffs(tmp_path, reader, name):
    picture, options = tiffs()[name]
    path = tmp_path / "picture.tif"
    picture.save(path, **options)
    check_or_refused(path, 1)


ARRAYS = {
    "uint8": LEVELS, "uint16": DEEP, "one channel": DEEP[:, :, None], "colour": NOISE[:, :, :3],
    "uint32": DEEP.astype(np.uint32) * 9, "int64 of 16 bits": DEEP.astype(np.int64),
    "floats": FLOATS, "doubles in 0..1": RNG.random((HEIGHT, WIDTH, 3)),
    "three of floats": RNG.normal(0, 9, (HEIGHT, WIDTH, 3)), "half": FLOATS.astype(np.float16),
    "other order": FLOATS.astype(">f4"), "Fortran's order": np.asfortranarray(FLOATS),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_windows_of_arrays(tmp_path, name):
    path = tmp_path / "image.npy"
    np.save(path, ARRAYS[name])
    check(path)
    if ARRAYS[name].ndim == 2:
        check(path, 1)


def test_windows_of_an_array_of_many_channels(tmp_path):
    np.save(tmp_path / "image.npy", RNG.normal(0, 5, (HEIGHT, WIDTH, 7)))
    check(tmp_path / "image.npy", 7)
    with pytest.raises(DataError, match="wanted"):
        open_windows(tmp_path / "image.npy", 3)


def test_numbers_that_are_not_finite_are_refused_as_by_load_image(tmp_path):
    np.save(tmp_path / "image.npy", HOLED)
    Image.fromarray(HOLED).save(tmp_path / "image.tif")
    for name in ("image.npy", "image.tif"):
        with pytest.raises(DataError) as wanted:
            load_image(tmp_path / name, 1)
        with pytest.raises(DataError) as caught:
            open_windows(tmp_path / name, 1)
        assert str(caught.value) == str(wanted.value)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_thinnest_pictures(tmp_path, size):
    path = tmp_path / "thin.png"
    Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)).save(path)
    whole, pixels = load_image(path), open_windows(path, 3)
    np.testing.assert_array_equal(pixels.window(0, 0, size[1], size[0]), whole)
    assert pixels.view(10).shape == PixelArray(whole).view(10).shape


@pytest.mark.parametrize("data", [b"", b"text", "half"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_broken_pictures_are_refused_when_opened(tmp_path, reader, data, suffix):
    path = tmp_path / f"broken.{suffix}"
    Image.fromarray(NOISE[:, :, :3]).save(path)
    path.write_bytes(path.read_bytes()[:2000] if data == "half" else data)
    with pytest.raises(DataError, match=r"broken.*replace or remove"):
        open_windows(path, 3)
    with pytest.raises(DataError, match="no such file"):
        open_windows(tmp_path / "gone.png", 3)


def test_damage_inside_a_tiff_is_named_when_it_is_reached(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, NOISE[:, :, :3], tile=(16, 16), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[7]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)
    pixels = open_windows(path, 3)
    pixels.window(0, 0, 16, 16)
    with pytest.raises(DataError, match=r"slide\.tif: cannot be decoded"):
        pixels.window(0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize("most", [1, 30, 300, 1000, 10_000])
@pytest.mark.parametrize("name", ["colour.png", "16 bits.png", "palette.png"])
def test_view_is_that_of_the_picture_in_memory(tmp_path, most, name):
    picture, options = pictures()[name]
    picture.save(tmp_path / name, **options)
    wanted = PixelArray(load_image(tmp_path / name)).view(most)
    view = open_windows(tmp_path / name, 3).view(most)
    assert view.dtype == np.uint8
    assert view.shape == wanted.shape
    differing = np.abs(view.astype(int) - wanted) > 1  # where a pixel's centre lies on an edge
    assert differing.mean() < 0.1


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_view_of_other_channels_is_grey_or_coloured(tmp_path, channels):
    np.save(tmp_path / "image.npy", RNG.normal(0, 5, (HEIGHT, WIDTH, channels)))
    pixels = open_windows(tmp_path / "image.npy", channels)
    whole = PixelArray(load_image(tmp_path / "image.npy", channels))
    np.testing.assert_array_equal(pixels.view(10_000), whole.view(10_000))
    view = pixels.view(300)
    assert view.shape == whole.view(300).shape
    assert (view.min(), view.max()) == (0, 255)
    assert (view == view[:, :, :1]).all() == (channels == 1)


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_threads_share_a_picture(tmp_path, reader, suffix):
    path = tmp_path / f"picture.{suffix}"
    if suffix == "npy":
        np.save(path, NOISE[:, :, :3])
    else:
        Image.fromarray(NOISE[:, :, :3]).save(path)
    pixels = open_windows(path, 3)
    places = RNG.integers(0, (WIDTH - 9, HEIGHT - 9), (400, 2)).tolist()
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda place: pixels.window(*place, 9, 9), places))
    for (x, y), part in zip(places, parts, strict=True):
        np.testing.assert_array_equal(part, NOISE[y : y + 9, x : x + 9, :3])
