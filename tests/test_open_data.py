"""Which images a command works on: splits, separate folders, moved and changed data."""

import json

import pytest
from PIL import Image

from utils.data.records import DataError
from utils.open_data import open_evaluation_data, open_training_data


def names(dataset):
    return set(dataset.data.names())


def test_folder_is_split_and_the_split_can_be_reused(drawn_pennfudan, tmp_path):
    data = open_training_data(str(drawn_pennfudan), seed=2)
    assert names(data.train) | names(data.val) == set(read_data(drawn_pennfudan).names())
    assert not names(data.train) & names(data.val)
    assert (len(data.train), len(data.val)) == (5, 1)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(data.split.to_dict()), encoding="utf-8")
    again = open_training_data(str(drawn_pennfudan), split_file=path, seed=99)
    assert names(again.val) == names(data.val)
    assert again.split == data.split


def test_separate_folder_is_validated_on_whole(drawn_pennfudan, tmp_path):
    other = tmp_path / "other"
    (drawn_pennfudan / "PNGImages").rename(drawn_pennfudan / "images")
    (drawn_pennfudan / "PedMasks").rename(drawn_pennfudan / "masks")
    drawn_pennfudan.rename(other)
    root = tmp_path / "own"
    for folder in ("PNGImages", "PedMasks"):
        (root / folder).mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(root / "PNGImages" / "a.png")
    Image.new("L", (9, 9)).save(root / "PedMasks" / "a.png")
    data = open_training_data(str(root), val_data=other)
    assert (len(data.train), len(data.val)) == (1, 6)
    assert data.val.data.classes == data.train.data.classes == ("person",)
    found = open_evaluation_data(data.description(str(root)), ("person",), "", "auto", "auto")
    assert names(found) == names(data.val)


def test_shapes_need_no_folder():
    data = open_training_data("shapes", epoch_scenes=3)
    assert (len(data.train), len(data.val)) == (3, 50)
    found = open_evaluation_data(data.description("shapes"), data.train.data.classes, "", "auto",
                                 "auto")  # fmt: skip
    assert names(found) == set(data.split.val)
    with pytest.raises(DataError, match="draws its training scenes fresh"):
        open_evaluation_data(data.description("shapes"), (), "", "auto", "train")


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/.", "{}//"])
@pytest.mark.parametrize(("part", "count"), [("auto", 1), ("val", 1), ("train", 5), ("all", 6)])
def test_parts_of_the_models_own_data(drawn_pennfudan, spelling, part, count):
    root = spelling.format(drawn_pennfudan)
    data = open_training_data(root)
    description = json.loads(json.dumps(data.description(root)))
    found = open_evaluation_data(description, ("person",), "", "auto", part)
    assert len(found) == count
    if count < 6:
        assert names(found) == names(data.train if part == "train" else data.val)


def test_moved_data_keeps_its_split(drawn_pennfudan, tmp_path):
    data = open_training_data(str(drawn_pennfudan))
    drawn_pennfudan.rename(tmp_path / "moved")
    description = data.description(str(drawn_pennfudan))
    found = open_evaluation_data(description, ("person",), str(tmp_path / "moved"), "auto", "auto")
    assert names(found) == names(data.val)


@pytest.mark.parametrize("part", ["auto", "val", "train"])
def test_changed_data_is_refused(drawn_pennfudan, part):
    data = open_training_data(str(drawn_pennfudan))
    description = data.description(str(drawn_pennfudan))
    Image.new("L", (64, 72)).save(drawn_pennfudan / "PedMasks" / "one_box_mask.png")
    with pytest.raises(DataError, match=r"not the data the split was drawn from.*--split all"):
        open_evaluation_data(description, ("person",), "", "auto", part)
    assert len(open_evaluation_data(description, ("person",), "", "auto", "all")) == 6


def test_weights_without_data_need_a_folder(drawn_pennfudan):
    with pytest.raises(DataError, match="names no data set; give one with --data"):
        open_evaluation_data({}, ("person",), "", "auto", "auto")
    found = open_evaluation_data({}, ("walker",), str(drawn_pennfudan), "auto", "auto")
    assert len(found) == 6
    assert found.data.classes == ("walker",)


def test_class_the_model_does_not_know_is_named(drawn_pennfudan):
    with pytest.raises(DataError, match="class 'person' is not one of cat, dog"):
        open_evaluation_data({}, ("cat", "dog"), str(drawn_pennfudan), "auto", "auto")


def test_real_set_trains_on_120_and_holds_out_50(pennfudan_root):
    data = open_training_data(str(pennfudan_root))
    assert (len(data.train), len(data.val)) == (120, 50)
    for dataset in (data.train, data.val):
        image, target = dataset[0]
        assert image.shape[-2:] == target["masks"].shape[-2:]
        assert len(target["labels"]) > 0
