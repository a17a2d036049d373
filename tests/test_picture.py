"""Fetching one picture: what is taken for one, and what is not."""

from __future__ import annotations

import hashlib
import io
import os

import numpy as np
import picture_server as answers
import pytest
from PIL import Image

from utils.data import images
from utils.data.images import IMAGE_SUFFIXES, limit_pixels, load_image
from utils.gathering import picture as module
from utils.gathering.download import FetchError, Limits
from utils.gathering.picture import SUFFIXES, fetch_picture, is_url, read_picture

PNG = answers.picture(1)


@pytest.fixture(autouse=True)
def usual_limit(monkeypatch):
    monkeypatch.setattr(images.Image, "MAX_IMAGE_PIXELS", images.Image.MAX_IMAGE_PIXELS)


def read(tmp_path, content):
    path = tmp_path / "a.part"
    path.write_bytes(content)
    return read_picture(path)


def refused(tmp_path, content) -> FetchError:
    with pytest.raises(FetchError) as error:
        read(tmp_path, content)
    return error.value


def test_every_suffix_is_one_that_readers_take():
    assert set(SUFFIXES.values()) <= IMAGE_SUFFIXES


@pytest.mark.parametrize("format", sorted(set(SUFFIXES) - {"MPO"}))
def test_the_suffix_is_that_of_the_real_format(tmp_path, format):
    found = read(tmp_path, answers.picture(1, format))
    Image.new("RGB", (4, 3)).save(tmp_path / f"again{found.suffix}")
    assert Image.open(tmp_path / f"again{found.suffix}").format == format


def test_a_phones_jpeg_with_two_pictures_is_a_jpeg(tmp_path):
    second = Image.new("RGB", (24, 16))
    content = answers.picture(1, "MPO", save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match="2 frames"):
        assert read(tmp_path, content).suffix == ".jpg"


def test_equal_pixels_have_an_equal_hash_whatever_the_bytes(tmp_path):
    other_bytes = answers.picture(1, "PNG", compress_level=0)
    assert other_bytes != PNG
    found = [read(tmp_path, content) for content in (PNG, other_bytes, answers.picture(1, "BMP"))]
    assert len({picture.pixels_sha256 for picture in found}) == 1
    assert found[0].pixels_sha256 != read(tmp_path, answers.picture(2)).pixels_sha256


def test_the_hash_is_over_the_size_and_the_pixels_that_training_reads(tmp_path):
    found = read(tmp_path, PNG)
    pixels = load_image(tmp_path / "a.part")
    wanted = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    assert found.pixels_sha256 == wanted


def test_pictures_of_one_colour_and_other_sides_differ(tmp_path):
    hashes = set()
    for size in ((6, 4), (4, 6), (24, 1)):
        file = io.BytesIO()
        Image.new("RGB", size).save(file, "PNG")
        hashes.add(read(tmp_path, file.getvalue()).pixels_sha256)
    assert len(hashes) == 3


def test_16_bits_are_taken(tmp_path):
    found = read(tmp_path, answers.picture(1, mode="I;16"))
    grey = load_image(tmp_path / "a.part")
    wanted = np.random.default_rng(1).integers(0, 255, (16, 24, 3), np.uint8)[:, :, :1]
    assert (grey == wanted).all()
    assert found.suffix == ".png"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"no picture", "not a picture"),
        (b"\n <!DOCTYPE html><p>404", "not a picture"),
        (b"\xef\xbb\xbf<HTML>", "not a picture"),
        (b"<!-- made by me --> <html lang='en'>", "not a picture"),
        (b"<!---->" * 150, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "not a picture"),
        (answers.picture(1, "ICO"), "not a picture"),
        (answers.picture(1, "JPEG2000"), "not a picture"),
        (PNG[: len(PNG) // 2], "damaged"),
        (answers.picture(1, "JPEG")[:-60], "damaged"),
        (PNG[:20], "not a picture"),
        (answers.header_bomb(), "too many pixels"),
    ],
)
def test_what_is_no_picture_has_a_reason(tmp_path, content, reason):
    error = refused(tmp_path, content)
    assert error.reason == reason
    assert error.details
    assert "a.part" not in error.details
    assert "replace or remove" not in error.details


def test_formats_that_are_not_taken_reach_no_reader_of_theirs(tmp_path, monkeypatch):
    def opened(*args, **kwargs):
        raise AssertionError("Pillow's reader for ICO was called")

    images.Image.init()
    monkeypatch.setitem(images.Image.OPEN, "ICO", (opened, opened))
    assert refused(tmp_path, answers.picture(1, "ICO")).reason == "not a picture"


def test_a_web_page_is_called_one(tmp_path):
    for start in (b"", b" \r\n", b"\xef\xbb\xbf", b"<!-- page 1 -->"):
        assert "web page" in refused(tmp_path, start + b"<html><body>Not found").details
    assert "web page" not in refused(tmp_path, b"my notes on <html>").details


def test_the_limit_of_pixels_is_the_users(tmp_path):
    limit_pixels(24 * 16 - 2)
    error = refused(tmp_path, PNG)
    assert (error.reason, "--max-pixels" in error.details) == ("too many pixels", True)
    limit_pixels(24 * 16)
    assert read(tmp_path, PNG).suffix == ".png"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("http://h", True), ("HTTPS://h", True), ("file:///a", True), ("svn+ssh://h", True),
        ("a.jpg", False), ("/a//b.jpg", False), ("C:\\a.jpg", False), ("C://a.jpg", False),
        ("www.h.org/a.jpg", False), ("", False),
    ],
)  # fmt: skip
def test_addresses_are_told_from_paths(source, wanted):
    assert is_url(source) is wanted


def fetch(source, tmp_path, max_bytes=10**6):
    return fetch_picture(str(source), tmp_path / "x.part", Limits(10, 10, max_bytes))


def test_a_local_file_is_copied_byte_for_byte(tmp_path):
    (tmp_path / "a.txt").write_bytes(PNG)
    assert fetch(tmp_path / "a.txt", tmp_path).suffix == ".png"
    assert (tmp_path / "x.part").read_bytes() == PNG
    assert (tmp_path / "a.txt").read_bytes() == PNG


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.png", "no such file"),
        (".", "no such file"),
        ("pipe", "no such file"),
        ("loop", "no such file"),
        ("x" * 5000, "no such file"),
        ("large.png", "too large"),
        ("text.png", "not a picture"),
    ],
)
def test_a_local_file_that_is_not_to_be_had_leaves_nothing(tmp_path, name, reason):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "large.png").write_bytes(PNG + bytes(1000))
    (tmp_path / "text.png").write_bytes(b"text")
    with pytest.raises(FetchError) as error:
        fetch(tmp_path / name, tmp_path, max_bytes=len(PNG) + 999)
    assert error.value.reason == reason
    assert not (tmp_path / "x.part").exists()


def test_addresses_of_other_kinds_read_no_file(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(FetchError) as error:
        fetch(f"file://{tmp_path}/a.png", tmp_path)
    assert error.value.reason == "address refused"


def test_a_file_that_may_not_be_read_is_a_reason(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(PNG)

    def denied(path, mode):
        if mode == "rb":
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, mode)

    monkeypatch.setattr(module, "open", denied, raising=False)
    with pytest.raises(FetchError) as error:
        fetch(tmp_path / "a.png", tmp_path)
    assert (error.value.reason, error.value.details) == ("cannot be read", "Permission denied")
