"""Splits: seeded, complete, without overlap, and refused for other data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.data.records import DataError, ImageRecord, RecordSet
from utils.data.splits import Split, held_out_count, make_split, read_split


def data_of(count, root=Path("root")):
    images = tuple(ImageRecord(i + 1, root / f"{i:03d}.png", 8, 8) for i in range(count))
    return RecordSet(root, "drawn", ("thing",), images)


@pytest.mark.parametrize(
    ("images", "held_out"),
    [(2, 1), (3, 1), (5, 1), (10, 2), (100, 20), (169, 34), (170, 50), (171, 34), (1000, 200)],
)
def test_a_fifth_is_held_out_and_50_of_170(images, held_out):
    assert held_out_count(images) == held_out
    split = make_split(data_of(images), seed=0)
    assert (len(split.train), len(split.val)) == (images - held_out, held_out)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_split_is_refused(count):
    with pytest.raises(DataError, match=rf"root: {count} image\(s\); at least 2"):
        make_split(data_of(count), seed=0)


@given(st.integers(2, 60), st.integers(0, 2**40))
def test_sides_cover_all_images_and_share_none(count, seed):
    data = data_of(count)
    split = make_split(data, seed)
    assert sorted(split.train + split.val) == list(data.names())
    assert split.train
    assert split.val


def test_seed_decides_the_split_and_image_order_does_not():
    data = data_of(40)
    split = make_split(data, seed=3)
    assert make_split(replace(data, images=data.images[::-1]), seed=3) == split
    assert make_split(data, seed=4).val != split.val


def test_split_is_the_same_on_every_machine():
    assert make_split(data_of(20), seed=0).val == ("001.png", "008.png", "012.png", "013.png")


def test_split_survives_its_file(tmp_path):
    data = data_of(10)
    split = make_split(data, seed=7)
    path = tmp_path / "split.json"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text(json.dumps(split.to_dict()), encoding=encoding)
        assert read_split(path, data) == split


def test_changed_data_is_refused(tmp_path):
    data = data_of(10)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(make_split(data, seed=0).to_dict()), encoding="utf-8")
    with pytest.raises(DataError, match=r"split\.json: was drawn from other data than root"):
        read_split(path, data_of(11))


GOOD = {"train": ["a"], "val": ["b"], "seed": 1, "data_fingerprint": "f"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "null",
        *(json.dumps({k: v for k, v in GOOD.items() if k != field}) for field in GOOD),
        json.dumps({**GOOD, "seed": "one"}),
        json.dumps({**GOOD, "val": 3}),
    ],
)
def test_unreadable_split_file_is_named(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"split\.json: not a readable split file"):
        read_split(path, data_of(2))


def test_missing_split_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: not a readable split file"):
        read_split(tmp_path / "gone.json", data_of(2))


def test_missing_field_is_named():
    with pytest.raises(DataError, match="data_fingerprint"):
        Split.from_dict({"train": [], "val": [], "seed": 0})
