"""Which files a run makes of each picture, and what it notes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from found_scene import found_picture, noise
from PIL import Image
from pycocotools import mask as coco_mask

from utils.prediction.config import PredictConfig
from utils.prediction.outputs import Outputs, record_of, shown_name

EVERYTHING = PredictConfig(
    id_masks=True, class_masks=True, splash=True, crops=True, cutouts=True, labelme="mirrored",
    measurements=True,
)  # fmt: skip


def two_objects(name="sub/a.jpg", height=40, width=60):
    masks = np.zeros((2, height, width), bool)
    masks[0, 20:32, 3:13] = masks[1, 5:15, 30:50] = True
    return found_picture(noise(height, width), masks, [2, 1], name=name)


def files(folder) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_by_default_a_picture_has_its_overlay_alone(tmp_path):
    Outputs(tmp_path, PredictConfig()).write_all(two_objects())
    assert files(tmp_path) == ["overlays/sub/a.jpg"]


def test_a_run_may_want_no_files(tmp_path):
    record = Outputs(tmp_path, PredictConfig(overlays=False)).write_all(two_objects())
    assert files(tmp_path) == []
    assert len(record["objects"]) == 2


def test_a_frame_of_a_video_has_all_but_its_overlay(tmp_path):
    Outputs(tmp_path, PredictConfig(splash=True)).write(two_objects("clip.mp4/000012.png"))
    assert files(tmp_path) == ["splash/clip.mp4/000012.png"]


def test_every_kind_has_a_folder_of_its_own_that_mirrors_the_sources(tmp_path):
    Outputs(tmp_path, EVERYTHING).write_all(two_objects())
    names = files(tmp_path)
    assert "labelme/sub/a.json" in names
    assert [name for name in names if not name.startswith("labelme")] == [
        "classes/sub/a.png",
        "crops/sub/a/001_dog_0.98.jpg",
        "crops/sub/a/002_cat_0.97.jpg",
        "cutouts/sub/a/001_dog_0.98.png",
        "cutouts/sub/a/002_cat_0.97.png",
        "ids/sub/a.png",
        "overlays/sub/a.jpg",
        "splash/sub/a.jpg",
    ]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 150), (150, 3), (40, 60)])
def test_pictures_with_nothing_have_the_same_files_but_none_per_object(tmp_path, height, width):
    found = found_picture(noise(height, width), [], name="a.png")
    record = Outputs(tmp_path, replace(EVERYTHING, labelme="")).write_all(found)
    assert files(tmp_path) == ["classes/a.png", "ids/a.png", "overlays/a.png", "splash/a.png"]
    for name in files(tmp_path):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (width, height)
    assert record["objects"] == record["measurements"] == []


@pytest.mark.parametrize(
    ("name", "shown", "format"),
    [
        ("a.png", "a.png", "PNG"),
        ("a.JPG", "a.jpg", "JPEG"),
        ("sub/a.jpeg", "sub/a.jpg", "JPEG"),
        ("图像 b.tiff", "图像 b.png", "PNG"),
        ("a.b.webp", "a.b.png", "PNG"),
    ],
)
def test_pictures_to_look_at_are_jpegs_of_jpegs(tmp_path, name, shown, format):
    found = two_objects(name)
    assert shown_name(found) == shown
    Outputs(tmp_path, PredictConfig()).write_all(found)
    with Image.open(tmp_path / "overlays" / shown) as picture:
        assert (picture.format, picture.size, picture.mode) == (format, (60, 40), "RGB")


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_pictures_of_any_channels_have_every_picture(tmp_path, channels):
    found = found_picture(noise(30, 40, channels), [np.ones((30, 40))], name="a.tif")
    Outputs(tmp_path, replace(EVERYTHING, labelme="", measurements=False)).write_all(found)
    assert len(files(tmp_path)) == 6


def test_a_record_is_plain_values_of_coco():
    found = two_objects()
    record = record_of(found)
    assert json.loads(json.dumps(record)) == record
    assert (record["name"], record["stem"], record["stamp"]) == (
        "sub/a.jpg",
        "sub/a",
        ["sub/a.jpg"],
    )
    assert (record["width"], record["height"]) == (60, 40)
    assert "measurements" not in record
    first, second = record["objects"]
    assert (first["category_id"], second["category_id"]) == (2, 1)
    assert first["bbox"] == [3, 20, 10, 12]
    assert second["bbox"] == [30, 5, 20, 10]
    assert (first["area"], second["area"]) == (120, 200)
    assert first["score"] == pytest.approx(0.98)
    assert coco_mask.decode(first["segmentation"])[20:32, 3:13].all()
    assert "track_id" not in first


def test_a_record_of_nothing():
    record = record_of(found_picture(noise(2, 3), []))
    assert record["objects"] == []
    assert (record["width"], record["height"]) == (3, 2)


def test_a_record_holds_tracks_and_measurements_if_there_are_any():
    record = record_of(replace(two_objects(), tracks=(7, 3)), measured=True)
    assert [item["track_id"] for item in record["objects"]] == [7, 3]
    assert len(record["measurements"]) == 2


def test_a_full_disk_names_the_file(tmp_path):
    (tmp_path / "overlays" / "sub").mkdir(parents=True)
    (tmp_path / "overlays" / "sub" / ".a.jpg.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        Outputs(tmp_path, PredictConfig()).write_all(two_objects())
    assert caught.value.filename == str(tmp_path / "overlays" / "sub" / "a.jpg")


def test_outputs_do_not_change_the_picture(tmp_path):
    found = two_objects()
    before = found.picture.pixels.array.copy()
    Outputs(tmp_path, replace(EVERYTHING, labelme="")).write_all(found)
    assert np.array_equal(found.picture.pixels.array, before)
