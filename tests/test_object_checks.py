"""Every mistake in objects and classes is found where it is, and nowhere else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.data.formats.coco import read_coco
from utils.data.formats.labelme import read_labelme
from utils.data.outlines import CUT
from utils.data.records import ImageRecord, Instance, RecordSet
from utils.doctor.findings import Kind
from utils.doctor.network_view import NetworkView
from utils.doctor.object_checks import (
    check_anchors,
    check_classes,
    check_notes,
    check_objects,
    class_counts,
    network_sizes,
    object_count,
    without_same_objects,
)

ROOT = Path("data")
VIEW = NetworkView(200, 400, (32, 128))


def box(x, y, width, height, label=1, iscrowd=0, size=(100, 100)):
    mask = np.zeros(size[::-1], np.uint8)
    mask[y : y + height, x : x + width] = 1
    return Instance.from_mask(label, mask, iscrowd)


def records(*instances, classes=("cat", "dog"), images=1, **fields):
    found = tuple(
        ImageRecord(i + 1, ROOT / f"{i}.png", 100, 100, tuple(instances)) for i in range(images)
    )
    return RecordSet(ROOT, "coco", classes, found, **fields)


def kinds(findings):
    return {finding.kind for finding in findings}


GOOD = box(10, 10, 20, 20)


@pytest.mark.parametrize(
    ("instance", "kind"),
    [
        (GOOD, None),
        (box(0, 0, 2, 2), None),
        (box(5, 5, 0, 0), Kind.NO_PIXELS),
        (box(5, 5, 1, 40), Kind.THIN),
        (box(5, 5, 40, 1), Kind.THIN),
        (box(5, 5, 1, 1), Kind.THIN),
        (box(5, 5, 1, 1, iscrowd=1), None),
    ],
)
def test_each_mistake_of_an_object(instance, kind):
    found = list(check_objects(records(GOOD, instance), VIEW))
    found = [finding for finding in found if finding.kind != Kind.DUPLICATE_OBJECT.title]
    assert [finding.kind for finding in found] == ([kind.title] if kind else [])
    if kind:
        assert found[0].where == f"{ROOT / '0.png'}: object 2 (cat)"


def test_an_object_under_one_pixel_to_the_network():
    big = replace(GOOD, bbox=(0, 0, 7, 900))
    record = ImageRecord(1, ROOT / "a.png", 4000, 4000, (big,))
    data = replace(records(), images=(record,))
    assert kinds(check_objects(data, NetworkView(400, 400))) == {Kind.SUBPIXEL.title}
    assert kinds(check_objects(data, NetworkView(800, 800))) == set()


def test_the_same_object_twice():
    same = [GOOD, box(50, 50, 20, 20), box(10, 10, 20, 20)]
    (finding,) = check_objects(records(*same), VIEW)
    assert finding.where.endswith("object 3 (cat)")
    assert finding.what == "is the same as object 1"
    other = [GOOD, box(10, 10, 20, 20, label=2), box(10, 10, 20, 20, iscrowd=1), box(10, 10, 20, 9)]
    assert list(check_objects(records(*other), VIEW)) == []
    assert without_same_objects(records(*same).images[0]) == tuple(same[:2])
    assert without_same_objects(records(*other).images[0]) == tuple(other)


def test_the_same_box_with_other_pixels_is_another_object():
    falling = np.eye(20, dtype=np.uint8)
    pair = [Instance.from_mask(1, falling), Instance.from_mask(1, falling[::-1])]
    assert pair[0].bbox == pair[1].bbox
    assert pair[0].area == pair[1].area
    record = ImageRecord(1, ROOT / "a.png", 20, 20, tuple(pair))
    data = replace(records(), images=(record,))
    assert Kind.DUPLICATE_OBJECT.title not in kinds(check_objects(data, VIEW))


def test_the_same_polygon_drawn_from_another_corner_is_the_same_object():
    one = Instance(1, [[10, 10, 30, 10, 30, 30, 10, 30]], (10, 10, 20, 20), 400)
    other = replace(one, segmentation=[[30, 10, 30, 30, 10, 30, 10, 10]])
    assert kinds(check_objects(records(one, other), VIEW)) == {Kind.DUPLICATE_OBJECT.title}


@pytest.mark.parametrize(("number", "kind"), [(0, Kind.NO_OBJECTS_OF_CLASS), (1, Kind.RARE_CLASS),
                                              (9, Kind.RARE_CLASS), (10, None)])  # fmt: skip
def test_classes_with_few_objects(number, kind):
    data = records(*[GOOD] * 12, *[box(1, 1, 9, 9, label=2)] * number)
    found = list(check_classes({"train": data}))
    assert [finding.kind for finding in found] == ([kind.title] if kind else [])
    assert all("'dog' (train)" in finding.where for finding in found)
    assert class_counts(data) == {"cat": 12, **({"dog": number} if number else {})}


def test_classes_that_cannot_be_judged():
    train = records(*[GOOD] * 10, *[box(1, 1, 9, 9, label=2)] * 10, classes=("a", "b", "c"))
    found = check_classes({"train": train, "val": records(GOOD, classes=("a", "b", "c"))})
    assert [(f.kind, f.where) for f in found] == [
        (Kind.NO_OBJECTS_OF_CLASS.title, "data: class 'c' (train)"),
        (Kind.NO_OBJECTS_OF_CLASS.title, "data: class 'b' (val)"),
    ]


@pytest.mark.parametrize(("crowds", "found"), [(0, False), (10, False), (11, True), (20, True)])
def test_mostly_crowd(crowds, found):
    objects = [box(10, 10, 20, 20, iscrowd=int(i < crowds)) for i in range(20)]
    data = records(*objects, classes=("cat",))
    assert (Kind.CROWD.title in kinds(check_classes({"train": data}))) == found
    assert class_counts(data)["cat"] == 20 - crowds
    assert object_count(data) == 20


@pytest.mark.parametrize(("first", "judged"), [("train", True), ("all", True), ("val", False),
                                               ("test", False)])  # fmt: skip
def test_classes_are_judged_by_the_training_part_alone(first, judged):
    found = check_classes({first: records(GOOD), "other": records(GOOD)})
    assert bool(list(found)) == judged


def test_no_objects_is_not_mostly_crowd():
    assert kinds(check_classes({"all": records()})) == {Kind.NO_OBJECTS_OF_CLASS.title}


@pytest.mark.parametrize(
    ("classes", "found"), [(("cat", "dog"), False), (("Person", "person "), True)]
)
def test_similar_class_names(classes, found):
    data = records(classes=classes)
    hits = [f for f in check_classes({"a": data, "b": data}) if f.kind == Kind.SIMILAR.title]
    assert len(hits) == found
    if found:
        assert "'Person', 'person '" in hits[0].what


def test_sizes_are_those_in_the_networks_input():
    data = records(box(0, 0, 16, 9), box(0, 0, 50, 50, label=2), box(0, 0, 9, 9, iscrowd=1))
    assert network_sizes(data, VIEW) == {"cat": [24.0], "dog": [100.0]}


@pytest.mark.parametrize(
    ("side", "number", "kind", "severity"),
    [
        (16, 20, None, ""),
        (15, 20, Kind.SMALL, "warning"),
        (15, 1, Kind.SMALL, "note"),
        (64, 20, None, ""),
        (65, 20, Kind.LARGE, "warning"),
        (65, 1, Kind.LARGE, "note"),
    ],
)
def test_objects_out_of_the_anchors_range(side, number, kind, severity):
    data = records(*[box(0, 0, side, side)] * number, *[box(0, 0, 30, 30)] * 19)
    found = list(check_anchors("train", data, VIEW))
    assert [(f.kind, f.severity) for f in found] == ([(kind.title, severity)] if kind else [])
    if kind:
        assert f"{number} of {number + 19} objects" in found[0].what


def test_what_readers_say_is_handed_on_once():
    notes = ("2 outline(s) with too few points left out, first in a.json", "9 marked iscrowd")
    data = records(notes=(*notes, f"3 {CUT}, first in b.json"))
    assert [(f.kind, f.where, f.what) for f in check_notes([data, data])] == [
        (Kind.READER.title, "data", notes[0]),
        (Kind.READER.title, "data", notes[1]),
        (Kind.OUTSIDE.title, "data", f"3 {CUT}, first in b.json"),
    ]
    other = replace(data, root=Path("held_out"))
    assert len(list(check_notes([data, other]))) == 6
    assert list(check_notes([records()])) == []


@pytest.mark.parametrize(("name", "extent", "corners"), [
    ("outside", (90, 40), [(80, 10), (120, 10), (120, 30), (80, 30)]),
    ("inside", (90, 40), [(80, 10), (90.5, 10), (90.5, 30), (80, 30)]),
])  # fmt: skip
def test_outlines_that_leave_their_picture_are_found_in_every_format(
    tmp_path, name, extent, corners
):
    Image.new("RGB", extent).save(tmp_path / "a.png")
    shape = {"label": "cat", "points": corners, "shape_type": "polygon"}
    labelme = {"imagePath": "a.png", "shapes": [shape]}
    (tmp_path / "a.json").write_text(json.dumps(labelme), encoding="utf-8")
    found = kinds(check_notes([read_labelme(tmp_path)]))
    (tmp_path / "a.json").unlink()
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1,
                         "segmentation": [[c for corner in corners for c in corner]]}],
    }  # fmt: skip
    (tmp_path / "all.json").write_text(json.dumps(coco), encoding="utf-8")
    assert found == kinds(check_notes([read_coco(tmp_path)]))
    assert found == ({Kind.OUTSIDE.title} if name == "outside" else set())
