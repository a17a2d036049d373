"""Repair: what can be told to be wrong goes, the rest stays as it is, and nothing is written."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from utils.data.formats.id_masks import read_id_masks
from utils.data.records import Instance, instance_masks
from utils.doctor.examination import examine, look_at_all
from utils.doctor.network_view import NetworkView
from utils.doctor.repair import repaired

VIEW = NetworkView(320, 640, (1, 1000))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(drawn_pennfudan):
    return read_id_masks(drawn_pennfudan)


def repair(**parts):
    copies, done = repaired(parts, look_at_all(parts))
    assert [f for f in examine(copies, (), VIEW) if f.severity == "error"] == []
    return copies, done


def stems(data):
    return [record.path.stem for record in data.images]


def with_objects(data, number, objects):
    images = list(data.images)
    images[number] = replace(images[number], instances=tuple(objects))
    return replace(data, images=tuple(images))


def test_good_data_stays_as_it_is(data):
    copies, done = repair(all=data)
    assert copies == {"all": data}
    assert done == []


def test_broken_pictures_are_left_out(data):
    data.images[0].path.write_bytes(b"text")
    Image.new("RGB", (9, 9)).save(data.images[2].path)
    copies, done = repair(all=data)
    assert stems(copies["all"]) == ["empty", "one_oval", "two_boxes", "two_kinds"]
    (text,) = done
    assert text.startswith("all: 2 image(s) left out: unreadable or of another size, first ")
    assert text.endswith("crowded.png")


def the_same_picture(data, source, target):
    data.images[target].path.write_bytes(data.images[source].path.read_bytes())
    images = list(data.images)
    size = {"width": images[source].width, "height": images[source].height}
    images[target] = replace(images[target], **size, instances=())
    return replace(data, images=tuple(images))


def test_of_equal_pictures_the_one_with_most_objects_stays(data):
    copies, done = repair(all=the_same_picture(data, 4, 0))
    assert "two_boxes" in stems(copies["all"])
    assert "crowded" not in stems(copies["all"])
    assert len(copies["all"].images) == 5
    assert "the same picture is there twice" in done[0]


def test_of_equal_pictures_the_held_out_one_stays(data):
    data = the_same_picture(data, 4, 0)  # the one without objects is held out
    names = [data.name_of(record) for record in data.images]
    copies, done = repair(train=data.subset(names[1:]), val=data.subset(names[:1]))
    assert stems(copies["val"]) == ["crowded"]
    assert "two_boxes" not in stems(copies["train"])
    assert len(copies["train"].images) == 4
    assert done[0].startswith("train: 1 image(s)")


def test_empty_and_repeated_objects_go(data):
    one, two = data.images[4].instances
    nothing = Instance.from_mask(1, np.zeros((96, 88)))
    copies, done = repair(all=with_objects(data, 4, [one, nothing, two, one]))
    assert copies["all"] == data
    assert [text.split(",")[0] for text in done] == [
        "all: 1 object(s) without pixels dropped",
        "all: 1 repeated object(s) dropped",
    ]


def test_images_with_blurred_masks_are_left_out(data):
    record = data.images[4]
    stray = []
    for i in range(30):
        mask = np.zeros((96, 88), np.uint8)
        mask[3 * i : 3 * i + 2, 84] = 1
        stray.append(Instance.from_mask(1, mask))
    copies, done = repair(all=with_objects(data, 4, [*stray, *record.instances]))
    assert copies["all"].images == (*data.images[:4], *data.images[5:])
    assert done == [f"all: 1 image(s) left out: their id masks are blurred, first {record.path}"]


def test_parts_of_binary_masks_become_objects(data):
    merged = [
        replace(record, instances=(Instance.from_mask(1, instance_masks(record).any(axis=0)),))
        if record.instances else record
        for record in data.images
    ]  # fmt: skip
    binary = replace(data, images=tuple(merged))
    copies, done = repair(all=binary)
    boxes = copies["all"].images[4]
    assert {one.bbox for one in boxes.instances} == {one.bbox for one in data.images[4].instances}
    assert len(boxes.instances) == 2
    for before, after in zip(binary.images, copies["all"].images, strict=True):
        union = instance_masks(after).any(axis=0)
        assert np.array_equal(union, instance_masks(before).any(axis=0))
    (text,) = done
    assert text.startswith("all: 3 object(s) of binary masks split into 7, every separate part is ")
    assert text.endswith(str(data.images[0].path))


def one_object(record, *boxes):
    mask = np.zeros((record.height, record.width), np.uint8)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = 1
    return replace(record, instances=(Instance.from_mask(1, mask),))


PIECES = [(4, 4, 20, 20), (40, 40, 18, 18), (40, 2, 3, 3), (8, 50, 3, 3)]


def test_no_pixel_of_a_split_object_is_lost(data):
    binary = replace(data, images=tuple(one_object(record, *PIECES) for record in data.images))
    copies, _ = repair(all=binary)
    for before, after in zip(binary.images, copies["all"].images, strict=True):
        assert len(after.instances) == 2
        assert sum(one.area for one in after.instances) == before.instances[0].area
        assert np.array_equal(instance_masks(after).any(axis=0), instance_masks(before)[0])


def test_a_lesion_in_each_image_is_not_split(data):
    images = [one_object(record, *PIECES[: 4 if n == 0 else 1])
              for n, record in enumerate(data.images)]  # fmt: skip
    data = replace(data, images=tuple(images))
    assert repair(all=data) == ({"all": data}, [])


def test_masks_are_binary_in_all_parts_or_in_none(data):
    names = data.names()
    train, val = data.subset(names[:3]), data.subset(names[3:])
    val = replace(val, images=tuple(one_object(record, *PIECES) for record in val.images))
    assert repair(train=train, val=val) == ({"train": train, "val": val}, [])


def test_masks_with_several_numbers_are_not_parted(data):
    merged = Instance.from_mask(1, instance_masks(data.images[4]).any(axis=0))
    data = with_objects(data, 4, [merged])
    assert repair(all=data) == ({"all": data}, [])
