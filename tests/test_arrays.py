"""Images in .npy files: read as they are meant, or refused in one message."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.data.images import limit_pixels, list_images, load_ids, load_image, upright_size
from utils.data.records import DataError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 6, 5), np.uint8)
READS = (load_image, upright_size, load_ids)


def save(path, values, **options):
    np.save(path, values, **options)
    return path


def as_bytes(values, **options):
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def with_header(text, version=1, data=b""):
    """A .npy file with a header of any text."""
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def described(descr="|u1", shape="(4, 6)"):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return with_header(text, data=bytes(24))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (BYTES[:, :, 0], BYTES[:, :, :1] / 255),
        (BYTES[:, :, :1], BYTES[:, :, :1] / 255),
        (BYTES, BYTES / 255),
        (np.asfortranarray(BYTES), BYTES / 255),
        (BYTES.astype(np.uint16) * 257, BYTES / 255),
        (BYTES.astype(">u2") * 257, BYTES / 255),
        (BYTES[:, :, :2].astype(np.float32) / 255, BYTES[:, :, :2] / 255),
        (BYTES[:, :, :2].astype(np.float16) / 256, BYTES[:, :, :2] / 256),
        (np.float64([[-3, 1], [5, 13]]), np.float64([[[0], [0.25]], [[0.5], [1]]])),
        (np.int64([[-3, 1], [5, 13]]), np.float64([[[0], [0.25]], [[0.5], [1]]])),
    ],
)
def test_an_array_is_an_image(tmp_path, values, wanted):
    path = save(tmp_path / "a.npy", values)
    pixels = load_image(path, wanted.shape[2])
    assert (pixels.dtype, pixels.shape) == (np.float32, wanted.shape)
    assert np.allclose(pixels, wanted, atol=1e-6)
    assert upright_size(path) == (values.shape[1], values.shape[0])
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous


def test_each_channel_is_scaled_by_itself(tmp_path):
    contacts = np.stack([RNG.random((5, 7)), RNG.random((5, 7)) * 1000], axis=2)
    found = load_image(save(tmp_path / "a.npy", contacts), 2)
    low, high = contacts[:, :, 1].min(), contacts[:, :, 1].max()
    assert np.allclose(found[:, :, 0], contacts[:, :, 0], atol=1e-6)
    assert np.allclose(found[:, :, 1], (contacts[:, :, 1] - low) / (high - low), atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_three_channels_are_a_picture(tmp_path, kind):
    unit = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[kind]
    stored = (BYTES[:, :, :3] * np.float64(unit)).astype(kind)
    for values, wanted in (
        (stored, BYTES[:, :, :3]),
        (stored[:, :, 1], np.repeat(BYTES[:, :, 1:2], 3, axis=2)),
    ):
        pixels = load_image(save(tmp_path / "a.npy", values), 3)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, wanted)


@pytest.mark.parametrize(("shape", "channels"), [((4, 6), 2), ((4, 6, 3), 1), ((3, 40, 60), 3)])
def test_another_number_of_channels_is_named(tmp_path, shape, channels):
    path = save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    found = shape[2] if len(shape) == 3 else 1
    message = rf"a\.npy \(shape .*\): has {found} channel\(s\), {channels} wanted"
    with pytest.raises(DataError, match=message):
        load_image(path, channels)


REFUSED = {
    "pickle": (as_bytes(np.array([[{}, 1]], object), allow_pickle=True), "Python objects"),
    "plain pickle": (b"\x80\x04\x95\x00.", "magic"),
    "npz": (b"PK\x03\x04" + bytes(40), "magic"),
    "empty": (b"", "array of numbers"),
    "cut short": (as_bytes(BYTES)[:-1], "array of numbers"),
    "header cut short": (as_bytes(BYTES)[:30], "array of numbers"),
    "huge header": (with_header(b" " * 60_000), "array of numbers"),
    "header of a terabyte": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "array of numbers"),
    "nested header": (with_header(b"(" * 9_000), "array of numbers"),
    "code for a header": (with_header(b"__import__('os').getcwd()\n"), "array of numbers"),
    "huge claim": (described(shape="(1000000000, 1000000000)"), "numbers"),
    "overflowing claim": (described(shape=f"({2**40}, {2**40})"), "array of numbers"),
    "negative": (described(shape="(-4, 6)"), "array of numbers|shape"),
    "no pixels": (described(shape="(0, 6)"), "array of numbers|shape"),
    "one dimension": (as_bytes(np.zeros(5, np.uint8)), r"shape \(5,\); an image is"),
    "four dimensions": (as_bytes(np.zeros((1, 2, 3, 3), np.uint8)), "an image is"),
    "no dimension": (as_bytes(np.uint8(5)), "an image is|array of numbers"),
    "text": (as_bytes(np.array([["a", "b"]])), "<U1 of shape"),
    "complex": (as_bytes(np.zeros((2, 3), complex)), "complex128 of shape"),
    "fields": (as_bytes(np.zeros((2, 3), [("r", "u1")])), "of shape"),
    "bool": (as_bytes(np.zeros((2, 3), bool)), "bool of shape"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("read", READS)
def test_what_is_no_image_is_refused_in_one_message(tmp_path, case, read):
    data, message = REFUSED[case]
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(tmp_path, value):
    values = np.zeros((3, 4, 2))
    values[1, 2, 1] = value
    with pytest.raises(DataError, match=r"a\.npy: channel 2 holds numbers that are not finite"):
        load_image(save(tmp_path / "a.npy", values), 2)


def test_numbers_too_far_apart_are_refused(tmp_path):
    with pytest.raises(DataError, match="not finite"):
        load_image(save(tmp_path / "a.npy", np.array([[-1.7e308, 1.7e308]])), 1)


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:  # sparse: 10 GB of nothing
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (100_000, 100_000)}
        )
        file.truncate(file.tell() + 10**10)
    with pytest.raises(DataError, match="--max-pixels"):
        load_image(path, 1)
    save(path, np.zeros((10, 10), np.uint8))
    limit_pixels(100)
    assert load_image(path, 1).shape == (10, 10, 1)
    limit_pixels(98)
    for read in READS:
        with pytest.raises(DataError, match=r"100 pixels.*--max-pixels"):
            read(path)


def test_a_missing_array_is_named(tmp_path):
    for path in (tmp_path / "gone.npy", tmp_path):
        with pytest.raises(DataError, match="no such file"):
            load_image(path / "gone.npy", 1)


WHOLE = as_bytes(BYTES[:, :, 0])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=3))
@example([(6, 2)])
@example([(8, 255), (9, 255)])
def test_a_header_with_wrong_bytes_is_an_image_or_a_data_error(tmp_path_factory, changes):
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    path = Path(tmp_path_factory.getbasetemp()) / "wrong bytes.npy"
    path.write_bytes(data)
    for read in (*READS, lambda path: load_image(path, 1)):
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text("(){}[]'\",:0123456789-<>|ufibO descrshapfotn_T\n", max_size=120))
@pytest.mark.filterwarnings("ignore")
def test_a_header_of_any_text_is_an_image_or_a_data_error(tmp_path_factory, text):
    path = Path(tmp_path_factory.getbasetemp()) / "any text.npy"
    path.write_bytes(with_header(text.encode(), data=bytes(24)))
    for read in READS:
        try:
            read(path)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64])
def test_ids_are_kept(tmp_path, kind):
    ids = kind([[0, 3], [7, 100]])
    found = load_ids(save(tmp_path / "a.npy", ids))
    assert found.dtype == np.int64
    assert np.array_equal(found, ids)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((2, 3, 1), np.uint8)])
def test_ids_are_whole_numbers_in_two_dimensions(tmp_path, values):
    with pytest.raises(DataError, match=r"a\.npy: an id mask must have one whole number"):
        load_ids(save(tmp_path / "a.npy", values))


def test_arrays_are_listed_where_no_pictures_are(tmp_path):
    save(tmp_path / "b.npy", BYTES)
    save(tmp_path / "a.npy", BYTES)
    save(tmp_path / ".hidden.npy", BYTES)
    assert [path.name for path in list_images(tmp_path)] == ["a.npy", "b.npy"]
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]
