"""Which images a command works on: splits, separate folders, moved and changed data."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

import utils.data_parts
import utils.open_data
import utils.open_judged_data
from my_dataset import read_data
from utils.config import TrainConfig
from utils.data.epoch_batches import SampleKey
from utils.data.records import DataError
from utils.data.splits import make_folds, make_split
from utils.data.transforms import AUGMENTATIONS
from utils.open_data import cache_size, open_configured, open_training_data
from utils.open_judged_data import open_evaluation_data


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
    Image.new("L", (9, 9), 1).save(root / "PedMasks" / "a.png")
    data = open_training_data(str(root), val_data=other)
    assert (len(data.train), len(data.val)) == (1, 6)
    assert data.val.data.classes == data.train.data.classes == ("person",)
    description = data.description()
    for given in ("", str(other)):
        assert names(open_evaluation_data(description, ("person",), data=given)) == names(data.val)
    assert names(open_evaluation_data(description, ("person",), part="train")) == {
        "PNGImages/a.png"
    }
    with pytest.raises(DataError, match="two folders; name one with --data"):
        open_evaluation_data(description, ("person",), part="all")
    Image.new("L", (64, 72)).save(other / "masks" / "one_box_mask.png")
    with pytest.raises(DataError, match="labels differ"):
        open_evaluation_data(description, ("person",))


def test_training_data_cannot_be_validated_on(drawn_pennfudan):
    with pytest.raises(DataError, match="is the training data"):
        open_training_data(str(drawn_pennfudan), val_data=drawn_pennfudan / "PNGImages" / "..")


def test_shapes_need_no_folder():
    data = open_training_data("shapes", epoch_scenes=3)
    assert (len(data.train), len(data.val)) == (3, 50)
    found = open_evaluation_data(data.description(), data.train.data.classes)  # fmt: skip
    assert names(found) == set(data.split.val)
    with pytest.raises(DataError, match="draws its training scenes fresh"):
        open_evaluation_data(data.description(), (), part="train")
    renamed = open_evaluation_data(data.description(), ("box", "ball", "hat"))
    assert renamed.data.classes == ("box", "ball", "hat")
    with pytest.raises(DataError, match="the weights person"):
        open_evaluation_data({}, ("person",), data="shapes")


def test_a_folder_called_shapes_is_not_the_built_in_set(drawn_pennfudan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn_pennfudan.rename("shapes")
    description = open_training_data("./shapes").description()
    assert len(open_evaluation_data(description, ("person",), part="all")) == 6


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/.", "{}//"])
@pytest.mark.parametrize(("part", "count"), [("auto", 1), ("val", 1), ("train", 5), ("all", 6)])
def test_parts_of_the_models_own_data(drawn_pennfudan, spelling, part, count):
    root = spelling.format(drawn_pennfudan)
    data = open_training_data(root)
    description = json.loads(json.dumps(data.description()))
    found = open_evaluation_data(description, ("person",), part=part)
    assert len(found) == count
    if count < 6:
        assert names(found) == names(data.train if part == "train" else data.val)


def test_moved_data_keeps_its_split(drawn_pennfudan, tmp_path):
    data = open_training_data(str(drawn_pennfudan))
    drawn_pennfudan.rename(tmp_path / "moved")
    description = data.description()
    found = open_evaluation_data(description, ("person",), data=str(tmp_path / "moved"))
    assert names(found) == names(data.val)


@pytest.mark.parametrize("part", ["auto", "val", "train"])
def test_changed_data_is_refused(drawn_pennfudan, part):
    data = open_training_data(str(drawn_pennfudan))
    description = data.description()
    Image.new("L", (64, 72)).save(drawn_pennfudan / "PedMasks" / "one_box_mask.png")
    for given in ("", str(drawn_pennfudan)):
        with pytest.raises(DataError, match=r"not the data that was split.*--split all"):
            open_evaluation_data(description, ("person",), data=given, part=part)
    assert len(open_evaluation_data(description, ("person",), part="all")) == 6


def test_other_data_is_used_whole(drawn_pennfudan, tmp_path):
    description = open_training_data(str(drawn_pennfudan)).description()
    for folder, suffix in (("images", ""), ("masks", "")):
        (tmp_path / "other" / folder).mkdir(parents=True)
        Image.new("L", (9, 9)).save(tmp_path / "other" / folder / f"new{suffix}.png")
    found = open_evaluation_data(description, ("person",), data=str(tmp_path / "other"))
    assert (len(found), found.data.classes) == (1, ("person",))


def test_own_data_follows_new_names(drawn_pennfudan):
    description = open_training_data(str(drawn_pennfudan), classes=("walker",)).description()
    found = open_evaluation_data(description, ("figure",))
    assert (len(found), found.data.classes) == (1, ("figure",))


def test_weights_without_data_need_a_folder(drawn_pennfudan):
    with pytest.raises(DataError, match="names no data set; give labelled data with --data"):
        open_evaluation_data({}, ("person",))
    found = open_evaluation_data({}, ("walker",), data=str(drawn_pennfudan))
    assert len(found) == 6
    assert found.data.classes == ("walker",)


def test_class_the_model_does_not_know_is_named(drawn_pennfudan):
    with pytest.raises(DataError, match="class 'person' is not one of cat, dog"):
        open_evaluation_data({}, ("cat", "dog"), data=str(drawn_pennfudan))


def test_real_set_trains_on_120_and_holds_out_50(pennfudan_root):
    data = open_training_data(str(pennfudan_root))
    assert (len(data.train), len(data.val)) == (120, 50)
    for dataset in (data.train, data.val):
        image, target = dataset[0]
        assert image.shape[-2:] == target["masks"].shape[-2:]
        assert len(target["labels"]) > 0


def test_training_images_without_any_object_are_refused(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in "abc":
            Image.new("L", (9, 9)).save(tmp_path / folder / f"{name}.png")
    with pytest.raises(DataError, match="hold no object"):
        open_training_data(str(tmp_path))


# -- groups, folds and what a data set says itself -------------------------------------------------


def test_a_fold_is_trained_tested_and_written(drawn_pennfudan, tmp_path):
    wanted = make_folds(read_data(drawn_pennfudan), 4, 3)
    for fold in (1, 2, 3):
        data = open_training_data(str(drawn_pennfudan), folds=3, fold=fold, seed=4)
        assert data.split == wanted[fold - 1]
        assert names(data.val) == set(wanted[fold - 1].val)
        assert data.notes == (f"fold {fold} of 3 is held out",)
        description = json.loads(json.dumps(data.description()))
        assert names(open_evaluation_data(description, ("person",))) == names(data.val)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(data.split.to_dict()), encoding="utf-8")
    again = open_training_data(str(drawn_pennfudan), split_file=path)
    assert again.split == data.split
    assert again.notes == data.notes


def test_groups_stay_on_one_side(drawn_pennfudan):
    group = r"(one|two|crowded|empty)[^/]*$"
    data = open_training_data(str(drawn_pennfudan), group_by=group)
    assert data.split == make_split(read_data(drawn_pennfudan), 0, group)
    for kind in ("one", "two"):
        sides = [sum(kind in name for name in names(d)) for d in (data.train, data.val)]
        assert sorted(sides) == [0, 2]
    assert data.notes[0].startswith("4 groups by --group-by (one|")
    with pytest.raises(DataError, match="finds no group in 1 of 6"):
        open_training_data(str(drawn_pennfudan), group_by="one|two|crowded")


def draw_ids(root, *stems):
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for size, stem in enumerate(stems, start=9):
        Image.new("RGB", (size, 9)).save(root / "images" / f"{stem}.png")
        Image.new("L", (size, 9), 1).save(root / "masks" / f"{stem}.png")


def test_folds_divide_the_training_part_alone(tmp_path):
    draw_ids(tmp_path / "train", "p1_a", "p1_b", "p2_a", "p2_b")
    draw_ids(tmp_path / "val", "z")
    plain = open_training_data(str(tmp_path))
    assert (len(plain.train), len(plain.val), plain.notes) == (4, 1, ())
    for flags in ({"folds": 2, "fold": 1}, {"group_by": r"p\d"}):
        data = open_training_data(str(tmp_path), **flags)
        assert names(data.train) | names(data.val) == names(plain.train)
        assert data.notes[0] == (
            f"{tmp_path / 'val'} is left alone: {tmp_path / 'train'} is divided"
        )
        assert names(open_evaluation_data(data.description(), ("object",))) == names(data.val)


def test_parts_may_have_files_of_the_same_name(tmp_path):
    draw_ids(tmp_path / "train", "a", "b")
    draw_ids(tmp_path / "val", "a", "b", "c")
    description = open_training_data(str(tmp_path)).description()
    assert len(open_evaluation_data(description, ("object",))) == 3
    assert len(open_evaluation_data(description, ("object",), part="train")) == 2


@pytest.fixture
def own_split_set(drawn_pennfudan, monkeypatch):
    """A folder whose reader says which images to train on; one is in neither part."""
    records = read_data(drawn_pennfudan)
    own = replace(records, given_split=(records.names()[:3], records.names()[3:5]))
    for module in (utils.data_parts, utils.open_judged_data):
        monkeypatch.setattr(module, "read_data", lambda *_, **__: own)
    return drawn_pennfudan, own


def test_a_sets_own_split_is_used(own_split_set):
    root, own = own_split_set
    data = open_training_data(str(root))
    assert (data.split.train, data.split.val) == own.given_split
    assert data.notes == (
        "split as the data set's own files say: 3 images to train on, 2 held out; 1 in neither are "
        "left out",
    )
    assert names(open_evaluation_data(data.description(), ("person",))) == set(own.given_split[1])


def test_images_are_pooled_where_a_flag_says_what_is_held_out(own_split_set, tmp_path):
    root, own = own_split_set
    (tmp_path / "s.json").write_text(json.dumps(make_split(own, 5).to_dict()), encoding="utf-8")
    for flags in (
        {"folds": 2, "fold": 2}, {"group_by": "[a-z_]+[.]"}, {"split_file": tmp_path / "s.json"},
    ):  # fmt: skip
        data = open_training_data(str(root), **flags)
        assert names(data.train) | names(data.val) == set(own.names())
        assert data.notes[-1] == (
            "all 6 images are pooled; what the data set's own files say (3 images to train on, 2 "
            "held out) is not used"
        )
    (tmp_path / "other").mkdir()
    data = open_training_data(str(root), val_data=tmp_path / "other")
    assert names(data.train) == set(own.names())
    assert "all 6 images are pooled" in data.notes[0]


def test_another_set_in_parts_is_judged_by_its_held_out_part(tmp_path, drawn_pennfudan):
    description = open_training_data(str(drawn_pennfudan)).description()
    draw_ids(tmp_path / "train", "a", "b", "d")
    draw_ids(tmp_path / "val", "c")

    def opened(part):
        data = open_evaluation_data(description, ("person",), data=str(tmp_path), part=part)
        return names(data)

    assert opened("auto") == opened("val") == {"images/c.png"}
    assert len(opened("train")) == 3
    with pytest.raises(DataError, match="are two sets; name one of them with --data"):
        opened("all")


def test_the_models_own_set_in_parts_may_be_named_whole(tmp_path):
    draw_ids(tmp_path / "train", "a", "b")
    draw_ids(tmp_path / "val", "c")
    description = open_training_data(str(tmp_path)).description()
    data = open_evaluation_data(description, ("object",), data=str(tmp_path))
    assert names(data) == {"images/c.png"}


def test_crowds_alone_are_nothing_to_learn(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "b.png")
    box = [[2, 2, 12, 2, 12, 12, 2, 12]]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": box, "iscrowd": 1}
            for n in (1, 2)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"no object to learn.*iscrowd"):
        open_training_data(str(tmp_path))


def test_problems_are_collected_and_their_images_left_out(drawn_pennfudan):
    (drawn_pennfudan / "PedMasks" / "empty_mask.png").unlink()
    (drawn_pennfudan / "PNGImages" / "one_box.png").write_bytes(b"no picture")
    problems = []
    data = open_training_data(str(drawn_pennfudan), problems=problems)
    assert len(data.train) + len(data.val) == 4
    assert ["empty" in problems[0] or "empty" in problems[1], len(problems)] == [True, 2]


def test_a_part_that_cannot_be_read_is_refused_with_all_problems(tmp_path):
    draw_ids(tmp_path / "train", "a", "b", "c")
    draw_ids(tmp_path / "val", "d")
    (tmp_path / "train" / "images" / "a.png").write_bytes(b"no picture")
    (tmp_path / "val" / "masks" / "mask_classes.csv").write_text("nothing", encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)2 problem\(s\).*a\.png.*mask_classes"):
        open_training_data(str(tmp_path), problems=[])


@pytest.mark.parametrize("data", ["shapes", "folder"])
@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_training_images_are_varied_and_held_out_ones_are_not(drawn_pennfudan, data, augment):
    source = str(drawn_pennfudan) if data == "folder" else data
    opened = open_training_data(source, augment=augment, epoch_scenes=4)
    assert opened.train.copy_paste == (0.5 if augment == "strong" else 0)
    assert opened.val.copy_paste == 0
    for side, varies in ((opened.train, augment != "none"), (opened.val, False)):
        images = [side.augmented(SampleKey(0, 0), seed)[0] for seed in range(6)]
        assert all(torch.equal(image, images[0]) for image in images) != varies


# -- classes that are not those of the weights -----------------------------------------------------


def draw_coco(root, classes, *images):
    """A COCO data set; an image is the labels of its objects, a negative label a crowd."""
    root.mkdir()
    annotations = []
    for number, labels in enumerate(images, 1):
        Image.new("RGB", (20, 20)).save(root / f"{number}.png")
        annotations += [
            {"image_id": number, "category_id": abs(label), "iscrowd": int(label < 0),
             "segmentation": [[2, 2, 12, 2, 12, 12]]}
            for label in labels
        ]  # fmt: skip
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n, _ in enumerate(images, 1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(classes, 1)],
        "annotations": [{"id": n, **one} for n, one in enumerate(annotations, 1)],
    }
    (root / "labels.json").write_text(json.dumps(content), encoding="utf-8")
    return str(root)


def labels_of(dataset):
    return [[one.label for one in record.instances] for record in dataset.data.images]


@pytest.mark.parametrize(
    ("own", "trained", "labels", "note"),
    [
        (("cat", "dog"), ("cat", "dog"), [[1, 2], [2]], None),
        (("cat", "dog"), ("dog", "cat"), [[2, 1], [1]], None),
        (("cat", "dog"), ("dog",), [[1], [1]],
         "judged: dog; unknown to the weights and left out: the labels' 'cat' (1 objects)"),
        (("bird", "dog"), ("cow", "cat", "dog"), [[3], [3]],
         "judged: dog; unknown to the weights and left out: the labels' 'bird' (1 objects); not in "
         "the labels: the weights' 'cow', 'cat'"),
        (("cat", "dog"), ("cow", "cat", "dog"), [[2, 3], [3]],
         "judged: cat, dog; not in the labels: the weights' 'cow'"),
    ],
)  # fmt: skip
def test_shared_classes_are_judged(tmp_path, own, trained, labels, note):
    data = draw_coco(tmp_path / "set", own, [1, 2], [2])
    found = open_evaluation_data({}, trained, data=data)
    assert found.data.classes == trained
    assert labels_of(found) == labels
    assert [text for text in found.data.notes if "judged" in text] == ([note] if note else [])


def test_only_objects_of_the_judged_part_are_counted(tmp_path):
    """The weights know one class less than their own data set, in which one image is held out."""
    data = draw_coco(tmp_path / "set", ("cat", "dog"), [1, 2], [1, 2, 2], [1], [1, 2, -2])
    description = open_training_data(data).description() | {"classes": ["cat"]}
    description["split"]["data_fingerprint"] = (
        read_data(data).with_classes(["cat"], only_shared=True).fingerprint()
    )
    description["split"] |= {"train": ["1.png", "2.png", "3.png"], "val": ["4.png"]}
    found = open_evaluation_data(description, ("cat",))
    assert labels_of(found) == [[1]]
    assert found.data.notes[-1].endswith("left out: the labels' 'dog' (1 objects)")


def test_no_class_in_common_is_refused_with_both_lists(tmp_path):
    data = draw_coco(tmp_path / "set", ("cat", "dog"), [1, 2])
    with pytest.raises(DataError, match="classes 'cat', 'dog' are not one of bird, cow; classes"):
        open_evaluation_data({}, ("bird", "cow"), data=data)


def test_one_class_is_taken_for_the_other_and_that_is_told(tmp_path):
    data = draw_coco(tmp_path / "set", ("cell",), [1], [1, 1])
    found = open_evaluation_data({}, ("nucleus",), data=data)
    assert labels_of(found) == [[1], [1, 1]]
    assert found.data.notes == ("the labels' one class 'cell' is taken for the weights' 'nucleus'",)


@pytest.mark.parametrize("images", [([], []), ([-1], []), ([2], [])])
def test_images_without_objects_are_judged_for_false_alarms_alone(tmp_path, images):
    """No objects, a crowd alone, or objects of a class that is left out."""
    data = draw_coco(tmp_path / "set", ("cat", "dog"), *images)
    found = open_evaluation_data({}, ("cat",), data=data)
    assert len(found) == 2
    assert found.data.notes[-1].startswith("the 2 images hold no object to find, so there is no AP")
    full = open_evaluation_data({}, ("cat",), data=draw_coco(tmp_path / "full", ("cat",), [1]))
    assert full.data.notes == ()


def test_an_empty_part_is_refused(drawn_pennfudan):
    description = open_training_data(str(drawn_pennfudan)).description()
    description["split"]["val"] = []
    with pytest.raises(DataError, match=r"no image to look at in this part \(val\).*--split"):
        open_evaluation_data(description, ("person",), part="val")


@pytest.mark.parametrize(("processes", "size"), [("1", 3 * 2**20), ("4", 3 * 2**18)])
def test_processes_of_a_machine_divide_the_cache(monkeypatch, processes, size):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert cache_size(3) == size
    assert cache_size(0) == 0


@pytest.mark.parametrize(("system", "size"), [("linux", 1000), ("darwin", 0), ("win32", 0)])
def test_the_cache_is_an_eighth_of_what_is_free_where_that_is_told(monkeypatch, system, size):
    monkeypatch.setattr(utils.open_data.sys, "platform", system)
    monkeypatch.setattr(utils.open_data, "free_host_memory", lambda: 8000)
    assert cache_size(-1) == size


@pytest.mark.parametrize(("megabytes", "kept"), [(1, 6), (0, 0)])
def test_both_sides_keep_their_pictures_in_one_cache(drawn_pennfudan, megabytes, kept):
    data = open_configured(TrainConfig(data=str(drawn_pennfudan), cache=megabytes))
    assert all(sample for side in (data.train, data.val, data.shortened(1).val) for sample in side)
    assert len(data.train.cache.kept) == len(data.val.cache.kept) == kept
