"""Pictures are decoded once: the cache knows those that did not change and is never in the way."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.doctor import picture_cache
from utils.doctor.picture_cache import cache_folder, look, look_at


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "maskrcnn-finetune"


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded, in any order."""
    paths = []
    original = picture_cache.load_image
    monkeypatch.setattr(
        picture_cache,
        "load_image",
        lambda path, *channels: paths.append(Path(path)) or original(path, *channels),
    )
    return paths


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "图 pictures"
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((4, 5 + i, 3), 40 * i, np.uint8)).save(path)
    return paths


def test_a_look_tells_upright_size_and_content(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1).copy()).save(tmp_path / "upright.bmp")
    turned = look(tmp_path / "turned.png")
    assert (turned.width, turned.height, turned.problem) == (4, 6, "")
    assert turned == look(tmp_path / "upright.bmp")


@pytest.mark.parametrize("shape", [(4, 6), (3, 8), (2, 12)])
def test_equal_bytes_of_another_shape_are_another_picture(tmp_path, shape):
    Image.new("RGB", (4, 6)).save(tmp_path / "a.png")
    Image.new("RGB", shape).save(tmp_path / "b.png")
    same = look(tmp_path / "a.png").digest == look(tmp_path / "b.png").digest
    assert same == (shape == (4, 6))


def test_the_cache_saves_decoding(pictures, decoded):
    first = look_at(pictures, pictures[0].parent)
    assert sorted(decoded) == pictures
    assert list(first) == pictures
    assert [one.width for one in first.values()] == [5, 6, 7]
    decoded.clear()
    assert look_at(pictures, pictures[0].parent) == first
    assert decoded == []


def test_a_changed_file_is_decoded_again(pictures, decoded):
    before = look_at(pictures, pictures[0].parent)
    Image.new("RGB", (9, 9)).save(pictures[1])
    stamp = pictures[2].stat()
    os.utime(pictures[2], ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    decoded.clear()
    after = look_at(pictures, pictures[0].parent)
    assert sorted(decoded) == pictures[1:]
    assert after[pictures[1]].width == 9
    assert after[pictures[0]] == before[pictures[0]]
    assert after[pictures[2]] == before[pictures[2]]


def test_each_number_of_channels_is_remembered_for_itself(pictures, decoded):
    folder = pictures[0].parent
    rgb, grey = look_at(pictures, folder), look_at(pictures, folder, 1)
    assert len(decoded) == 2 * len(pictures)
    assert grey[pictures[1]].digest != rgb[pictures[1]].digest
    assert "has 3 channel(s), 4 wanted" in look_at(pictures, folder, 4)[pictures[0]].problem
    assert (look_at(pictures, folder), look_at(pictures, folder, 1)) == (rgb, grey)
    assert len(decoded) == 3 * len(pictures)


def test_looking_at_some_keeps_what_is_known_of_others(pictures, decoded):
    look_at(pictures[:2], pictures[0].parent)
    look_at(pictures[2:], pictures[0].parent)
    decoded.clear()
    look_at(pictures, pictures[0].parent)
    assert decoded == []


def test_what_cannot_be_read_is_told_each_time(pictures, decoded):
    pictures[0].write_bytes(pictures[0].read_bytes()[:40])
    pictures[1].unlink()
    for _ in range(2):
        decoded.clear()
        looks = look_at(pictures, pictures[0].parent)
        assert str(pictures[0]) in looks[pictures[0]].problem
        assert "no such file" in looks[pictures[1]].problem
        assert looks[pictures[2]].problem == ""
    assert sorted(decoded) == pictures[:2]


def test_an_interrupted_look_keeps_what_was_decoded(pictures, decoded, monkeypatch):
    bar = picture_cache.tqdm

    def stopped(seen, *args, **options):
        for number, one in enumerate(bar(seen, *args, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(picture_cache, "tqdm", stopped)
    with pytest.raises(KeyboardInterrupt):
        look_at(pictures, pictures[0].parent)
    monkeypatch.setattr(picture_cache, "tqdm", bar)
    decoded.clear()
    look_at(pictures, pictures[0].parent)
    assert decoded == pictures[2:]


def test_files_that_are_gone_leave_the_cache(pictures, cache):
    look_at(pictures[:2], pictures[0].parent)
    pictures[0].unlink()
    look_at(pictures[2:], pictures[0].parent)
    (file,) = cache.iterdir()
    kept = json.loads(file.read_text(encoding="utf-8"))["pictures"]
    assert sorted(kept) == [str(path) for path in pictures[1:]]


def test_a_lower_pixel_limit_holds_for_known_pictures_too(pictures, monkeypatch):
    look_at(pictures, pictures[0].parent)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)  # refused from twice as many on: 4x6
    looks = look_at(pictures, pictures[0].parent)
    assert ["--max-pixels" in one.problem for one in looks.values()] == [False, True, True]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"rule": 1}', "[" * 100_000, '{"rule": RULE, "pictures": []}',
     '{"rule": RULE, "pictures": {"PATH": 5}}', '{"rule": RULE, "pictures": {"PATH": ["a"]}}',
     '{"rule": "another", "pictures": {"PATH": [SIZE, TIME, 1, 1, "x"]}}'],
    ids=lambda content: content[:40] or "empty",
)  # fmt: skip
def test_a_broken_cache_is_ignored(pictures, cache, content):
    wanted = look_at(pictures, pictures[0].parent)
    (file,) = cache.iterdir()
    stamp = pictures[0].stat()
    for name, value in {
        "RULE": json.dumps(picture_cache.READING_RULE),
        "PATH": str(pictures[0]),
        "SIZE": str(stamp.st_size),
        "TIME": str(stamp.st_mtime_ns),
    }.items():
        content = content.replace(name, value)
    file.write_text(content, encoding="utf-8")
    assert look_at(pictures, pictures[0].parent) == wanted


def test_a_cache_that_cannot_be_written_is_no_problem(pictures, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert look_at(pictures, pictures[0].parent)[pictures[0]].width == 5


def test_one_file_per_data_set_and_no_remains(pictures, cache, tmp_path):
    look_at(pictures, pictures[0].parent)
    look_at(pictures, pictures[0].parent)
    look_at(pictures, tmp_path)
    assert len(list(cache.iterdir())) == 2


def test_no_pictures(tmp_path):
    assert look_at([], tmp_path) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="the XDG specification is for other systems")
@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_the_cache_is_in_the_home_folder_by_default(monkeypatch, tmp_path, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "maskrcnn-finetune"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "maskrcnn-finetune"
