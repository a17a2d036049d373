"""Pictures inside labelme's JSON files: read as files are, refused as files are."""

import base64
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from utils.data.images import list_images, load_ids, load_image, upright_size
from utils.data.records import DataError

NOISE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def encoded(picture, format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def embed(path, data):
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    path.write_text(json.dumps({"version": "5.4.1", "imageData": text, "shapes": []}))
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_an_embedded_picture_is_read_as_its_file_is(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(NOISE), format, exif=exif)
    (tmp_path / "a.jpg").write_bytes(data)
    path = embed(tmp_path / "a.JSON", data)
    assert np.array_equal(load_image(path), load_image(tmp_path / "a.jpg"))
    assert upright_size(path) == upright_size(tmp_path / "a.jpg")
    assert upright_size(path) == ((6, 4) if orientation < 5 else (4, 6))
    assert list_images(tmp_path) == [tmp_path / "a.jpg"]


def png_header(width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (None, "holds no picture"),
        ("", "holds no picture"),
        (5, "holds no picture"),
        ("QUJ", "not base64"),
        ("QU JD", "not base64"),
        ("\u00e9", "not base64"),
        (b"no picture", "not a picture Pillow can read"),
        (encoded(Image.fromarray(NOISE))[:70], "cut short"),
        (png_header(20_000, 20_000), "--max-pixels"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, data, fault):
    path = embed(tmp_path / "a.json", data)
    with pytest.raises(DataError, match=fault) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("read", [load_image, load_ids, upright_size])
def test_other_json_files_are_refused_by_name(tmp_path, read):
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match=r"a\.json: no such file"):
        read(path)
    for text, fault in (("", "cannot be read as JSON"), ("[1]", "holds no picture")):
        path.write_text(text)
        with pytest.raises(DataError, match=rf"a\.json: {fault}"):
            read(path)


@pytest.mark.parametrize(("most", "fits"), [(400, True), (30, False)])
def test_the_text_is_capped_before_it_is_decoded(tmp_path, monkeypatch, most, fits):
    monkeypatch.setattr("utils.data.embedded_pictures.MOST_CHARACTERS", most)
    path = embed(tmp_path / "a.json", encoded(Image.new("L", (2, 2))))
    if fits:
        assert load_image(path).shape == (2, 2, 3)
        return
    monkeypatch.setattr(base64, "b64decode", None)
    with pytest.raises(DataError, match=r"a\.json: imageData holds \d+ characters, more than 30"):
        load_image(path)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=30) | st.text(max_size=30) | st.none() | st.lists(st.integers()))
def test_any_content_gives_pixels_or_one_error(tmp_path_factory, data):
    path = embed(tmp_path_factory.mktemp("any") / "any.json", data)
    try:
        assert load_image(path).ndim == 3
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
