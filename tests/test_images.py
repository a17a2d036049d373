"""One reading rule for every picture, and a named refusal for every broken one."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.data.images import (
    READING_RULE,
    check_reading_rule,
    limit_pixels,
    list_images,
    load_ids,
    load_image,
    upright_size,
)
from utils.data.records import DataError

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def encoded(picture, format, **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def png_header(width, height):
    """A valid PNG of the size it claims, but for its pixels, which are not there."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def half(data):
    return data[: len(data) // 2]


def with_second_frame_of_nothing(tiff):
    """The pointer to the next directory, after this one's entries, leads to an empty one."""
    (directory,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, directory)
    place = directory + 2 + 12 * entries
    return tiff[:place] + struct.pack("<I", len(tiff)) + tiff[place + 4 :] + bytes(6)


BROKEN = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is no picture\n" * 20, "not a picture"),
    "half.jpg": (half(encoded(Image.fromarray(NOISE), "JPEG")), "cut short"),
    "half.png": (half(encoded(Image.fromarray(NOISE), "PNG")), "cut short"),
    "half.tif": (half(encoded(Image.fromarray(NOISE), "TIFF")), "picture|cut short"),
    "bad second frame.tif": (
        with_second_frame_of_nothing(encoded(Image.fromarray(NOISE), "TIFF")),
        "cut short",
    ),
    "half.webp": (half(encoded(Image.fromarray(NOISE), "WEBP")), "picture|cut short"),
    "no pixels.png": (png_header(30, 20), "cut short"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_named_with_its_fault(tmp_path, name):
    data, fault = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=fault) as caught:
        load_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "replace or remove" in str(caught.value)


@pytest.mark.parametrize("read", [load_image, load_ids, upright_size])
def test_missing_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        read(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_damaged_bytes_never_raise_anything_but_a_data_error(tmp_path, format):
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if format in ("GIF", "BMP") else {"exif": exif}
    whole = encoded(Image.fromarray(NOISE[:8, :12]), format, **options)
    path = tmp_path / "damaged"
    for _ in range(150):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for place in rng.integers(0, min(len(data), 120), rng.integers(1, 5)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data)
        for read in (load_image, upright_size, load_ids):
            try:
                read(path)
            except DataError as error:
                assert str(path) in str(error)  # noqa: PT017


def with_exif(format):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    options = {} if format in ("GIF", "BMP") else {"exif": exif}
    return encoded(Image.fromarray(NOISE[:8, :12]), format, **options)


WHOLE = {format: with_exif(format) for format in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP")}

MAKER = b"\x01\x0f\x00\x02"  # number and type of an EXIF entry; another number is another entry


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 1000), st.integers(0, 255))
@example("JPEG", WHOLE["JPEG"].index(MAKER) + 1, 0)  # text for a number, which Pillow writes back
@example("WEBP", WHOLE["WEBP"].index(MAKER) + 1, 0)
def test_a_picture_with_one_wrong_byte_is_a_picture_or_a_data_error(
    tmp_path_factory, format, place, value
):
    data = bytearray(WHOLE[format])
    data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "one wrong byte"
    path.write_bytes(data)
    for read in (load_image, upright_size, load_ids):
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_decompression_bomb_is_refused_at_once(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(20_000, 20_000))
    start = time.perf_counter()
    with pytest.raises(DataError, match="--max-pixels") as caught:
        load_image(path)
    assert time.perf_counter() - start < 0.5
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("most", "allowed"), [(2, False), (98, False), (100, True)])
def test_pixel_limit_is_the_number_that_was_given(tmp_path, monkeypatch, most, allowed):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    limit_pixels(most)
    path = tmp_path / "ten_by_ten.png"
    path.write_bytes(encoded(Image.new("RGB", (10, 10)), "PNG"))
    if allowed:
        assert load_image(path).shape == (10, 10, 3)
    else:
        with pytest.raises(DataError, match="--max-pixels"):
            load_image(path)


def palette(transparent=False):
    picture = Image.new("P", (3, 2), 1)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    if transparent:
        picture.info["transparency"] = 1
    return picture


MODES = {
    "1": ("png", Image.new("1", (3, 2), 1), (255, 255, 255)),
    "L": ("png", Image.new("L", (3, 2), 77), (77, 77, 77)),
    "LA seen": ("png", Image.new("LA", (3, 2), (77, 255)), (77, 77, 77)),
    "LA hidden": ("png", Image.new("LA", (3, 2), (77, 0)), (255, 255, 255)),
    "P": ("png", palette(), (40, 50, 60)),
    "P transparent": ("png", palette(transparent=True), (255, 255, 255)),
    "RGB": ("png", Image.new("RGB", (3, 2), (1, 2, 3)), (1, 2, 3)),
    "RGBA seen": ("png", Image.new("RGBA", (3, 2), (200, 100, 0, 255)), (200, 100, 0)),
    "RGBA hidden": ("png", Image.new("RGBA", (3, 2), (200, 0, 0, 0)), (255, 255, 255)),
    "RGBA a fifth": ("png", Image.new("RGBA", (3, 2), (0, 0, 0, 51)), (204, 204, 204)),
    "CMYK white": ("jpg", Image.new("CMYK", (3, 2), (0, 0, 0, 0)), (255, 255, 255)),
    "CMYK black": ("tif", Image.new("CMYK", (3, 2), (0, 0, 0, 255)), (0, 0, 0)),
    "CMYK cyan": ("tif", Image.new("CMYK", (3, 2), (255, 0, 0, 0)), (0, 255, 255)),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix, picture, expected = MODES[mode]
    path = tmp_path / f"picture.{suffix}"
    picture.save(path, **({"transparency": 1} if mode == "P transparent" else {}))
    pixels = load_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (2, 3, 3)
    assert (pixels == expected).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_levels_are_scaled_not_clipped(tmp_path, suffix):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(levels).save(tmp_path / f"levels.{suffix}")
    pixels = load_image(tmp_path / f"levels.{suffix}")
    assert pixels.dtype == np.uint8
    for channel in range(3):
        assert np.array_equal(pixels[:, :, channel], np.rint(levels / 257))


STRETCHED = {
    "float 0..1": (np.float32([0, 0.2, 0.6, 1]), [0, 51, 153, 255]),
    "float inside 0..1": (np.float32([0.2, 0.2, 0.4, 0.4]), [51, 51, 102, 102]),
    "float wide": (np.float32([-100, -60, 20, 100]), [0, 51, 153, 255]),
    "float nan": (np.float32([np.nan, 0, 0.6, 1]), [0, 0, 153, 255]),
    "float flat": (np.float32([7, 7, 7, 7]), [0, 0, 0, 0]),
    "int of 16 bits": (np.int32([0, 257, 514, 65535]), [0, 1, 2, 255]),
    "int wide": (np.int32([-50_000, 0, 50_000, 205_000]), [0, 50, 100, 255]),
}


@pytest.mark.parametrize("case", STRETCHED)
def test_32_bit_pictures_are_stretched_not_clipped(tmp_path, case):
    values, expected = STRETCHED[case]
    Image.fromarray(values.reshape(2, 2)).save(tmp_path / "deep.tif")
    pixels = load_image(tmp_path / "deep.tif")
    assert pixels.dtype == np.uint8
    assert pixels[:, :, 0].ravel().tolist() == expected
    assert (pixels == pixels[:, :, :1]).all()


# How a camera stores an upright picture under each EXIF orientation.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_exif_orientation_is_undone(tmp_path, orientation, format):
    upright = NOISE[:4, :6]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    path = tmp_path / "turned"
    path.write_bytes(encoded(stored, format, exif=exif))
    assert np.array_equal(load_image(path), upright)
    assert upright_size(path) == (6, 4)


def test_second_frame_is_warned_about(tmp_path):
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"moving\.gif: has 2 frames"):
        pixels = load_image(tmp_path / "moving.gif")
    assert (pixels == (255, 0, 0)).all()


def test_pictures_are_listed_by_suffix_in_order(tmp_path):
    assert list_images(tmp_path) == []
    for name in ["b.PNG", "a b.jpg", "图像 1 é.JPG", ".hidden.png", "notes.txt", "deep/c.tiff"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a b.jpg", "b.PNG", "图像 1 é.JPG"]
    (tmp_path / "deep" / "seg.npy").touch()  # beside pictures
    assert tmp_path / "deep" / "seg.npy" not in list_images(tmp_path, recursive=True)
    assert tmp_path / "deep" / "c.tiff" in list_images(tmp_path, recursive=True)


@pytest.mark.parametrize(
    ("ids", "mode"),
    [
        (np.uint8([[0, 0], [0, 0]]), "L"),
        (np.uint8([[0, 1], [2, 255]]), "L"),
        (np.uint8([[0, 1], [2, 255]]), "P"),
        (np.uint16([[0, 3], [7, 300]]), "I;16"),
        (np.array([[False, True], [True, False]]), "1"),
    ],
)
def test_ids_are_kept_as_stored(tmp_path, ids, mode):
    picture = Image.fromarray(ids)
    if mode == "P":
        picture.putpalette(list(range(256)) * 3)
    picture.save(tmp_path / "ids.png")
    with Image.open(tmp_path / "ids.png") as stored:
        assert stored.mode == mode
    read = load_ids(tmp_path / "ids.png")
    assert read.dtype == np.int64
    assert np.array_equal(read, ids)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "F"])
def test_colour_mask_is_refused(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "mask.tif")
    with pytest.raises(DataError, match=rf"mask\.tif.*this picture is {mode};"):
        load_ids(tmp_path / "mask.tif")


@pytest.mark.parametrize(
    ("preprocessing", "warned"), [({}, 0), ({"reading": READING_RULE}, 0), ({"reading": "raw"}, 1)]
)
def test_another_reading_rule_is_pointed_out(preprocessing, warned, recwarn):
    check_reading_rule(preprocessing)
    assert len(recwarn) == warned


def test_pixels_can_be_written_to(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").flags.writeable
