"""Which folder or file is which part of a data set, and reading all of them."""

import json

import pytest
from PIL import Image
from test_formats import balloon, coco_2017, roboflow_yolo, write_coco, write_via

from utils.data.read_options import ReadOptions
from utils.data.records import DataError
from utils.data_parts import TEST, TRAIN, VAL, WHOLE, find_parts, places_of, read_parts

COCO = json.dumps({"images": [], "annotations": [], "categories": []})


def annotations(root, *names):
    (root / "annotations").mkdir(parents=True)
    for name in names:
        (root / "annotations" / name).write_text(COCO, encoding="utf-8")
    return root


def names(parts):
    return {part: path.name for part, path in parts.items()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("train.json", "val.json"), {TRAIN: "train.json", VAL: "val.json"}),
        (("a_train.json", "a_test.json"), {TRAIN: "a_train.json", VAL: "a_test.json"}),
        (
            ("captions_train2017.json", "captions_val2017.json", "instances_train2017.json",
             "instances_val2017.json", "person_keypoints_train2017.json"),
            {TRAIN: "instances_train2017.json", VAL: "instances_val2017.json"},
        ),
        (
            ("train.json", "valid.json", "test.json"),
            {TRAIN: "train.json", VAL: "valid.json", TEST: "test.json"},
        ),
        (("trainval.json", "test.json"), {}),
        (("trainval.json",), {}),
        (("train_val.json",), {}),
        (("train_val.json", "test.json"), {TRAIN: "train_val.json", VAL: "test.json"}),
        (("train_a.json", "train_b.json", "val.json"), {}),
        (("retrained.json", "evaluation.json"), {}),
    ],
)  # fmt: skip
def test_coco_files_by_the_words_in_their_names(tmp_path, files, expected):
    assert names(find_parts(annotations(tmp_path, *files))) == expected


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "val"), {TRAIN: "train", VAL: "val"}),
        (("Train", "Valid"), {TRAIN: "Train", VAL: "Valid"}),
        (("train", "validation", "val"), {TRAIN: "train", VAL: "val"}),
        (("train", "test"), {TRAIN: "train", VAL: "test"}),
        (("train", "val", "test"), {TRAIN: "train", VAL: "val", TEST: "test"}),
        (("train",), {}),
        (("val", "test"), {}),
    ],
)
def test_folders_by_their_names(tmp_path, folders, expected):
    for folder in folders:
        write_via(tmp_path / folder, range(1))
    (tmp_path / "training").mkdir()
    assert names(find_parts(tmp_path)) == expected


def test_a_folder_that_no_reader_knows_is_no_part(tmp_path):
    write_via(tmp_path / "train", range(1))
    (tmp_path / "val").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "val" / "a.png")
    assert find_parts(tmp_path) == {}


def test_the_format_that_is_wanted_counts(tmp_path):
    balloon(tmp_path)
    assert find_parts(tmp_path, "via") == find_parts(tmp_path) != {}
    assert find_parts(tmp_path, "coco") == {}


def test_a_data_yaml_is_for_its_own_format(tmp_path):
    roboflow_yolo(tmp_path)
    assert find_parts(tmp_path) == {}
    for part in ("train", "valid"):
        write_coco(tmp_path / part, range(2), tmp_path / part / "_annotations.coco.json")
    assert names(find_parts(tmp_path, "coco")) == {TRAIN: "train", VAL: "valid"}


def test_places_are_what_is_given_or_found(tmp_path):
    balloon(tmp_path)
    train, val = tmp_path / "train", tmp_path / "val"
    assert places_of(tmp_path) == {TRAIN: train, VAL: val}
    assert places_of(train) == {WHOLE: train}
    assert places_of(train, val) == {TRAIN: train, VAL: val}
    with pytest.raises(DataError, match="is the training data"):
        places_of(train, train / ".." / "train")


def test_parts_are_read_in_the_classes_of_the_first(tmp_path):
    coco_2017(tmp_path)
    parts = read_parts(places_of(tmp_path))
    assert [len(data.images) for data in parts.values()] == [4, 2]
    path = tmp_path / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["categories"][0]["name"] = "dog"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="class 'dog' is not one of cell, lesion"):
        read_parts(places_of(tmp_path))
    problems = []
    assert list(read_parts(places_of(tmp_path), problems=problems)) == [TRAIN]
    assert len(problems) == 1


def test_images_are_those_of_the_first_part(tmp_path):
    for part in ("a", "b"):
        write_coco(tmp_path / f"pictures_{part}", range(3), tmp_path / part / f"{part}.json")
    for path in (tmp_path / "pictures_b").iterdir():
        path.rename(tmp_path / "b" / path.name)
    places = places_of(tmp_path / "a", tmp_path / "b")
    parts = read_parts(places, options=ReadOptions(tmp_path / "pictures_a"))
    assert [data.root.name for data in parts.values()] == ["pictures_a", "b"]


def test_id_masks_of_one_class_have_no_name_of_their_own(tmp_path, drawn_pennfudan):
    write_coco(tmp_path / "coco", range(3), tmp_path / "coco" / "a.json")
    content = json.loads((tmp_path / "coco" / "a.json").read_text(encoding="utf-8"))
    content["categories"] = [{"id": 7, "name": "cell"}, {"id": 90, "name": "cell"}]
    (tmp_path / "coco" / "a.json").write_text(json.dumps(content), encoding="utf-8")
    parts = read_parts(places_of(tmp_path / "coco", drawn_pennfudan))
    assert [data.classes for data in parts.values()] == [("cell",), ("cell",)]
