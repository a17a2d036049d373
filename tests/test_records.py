"""Records: measuring outlines, merging polygons, relabelling, and the fingerprint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from utils.data.records import (
    DataError,
    ImageRecord,
    Instance,
    RecordSet,
    encode_mask,
    instance_masks,
    to_rle,
)

SQUARE = [2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]  # pixels x 2..5, y 1..4
RECTANGLE = [8.0, 3.0, 11.0, 3.0, 11.0, 9.0, 8.0, 9.0]  # pixels x 8..10, y 3..8
OVERLAPPING = [4.0, 3.0, 9.0, 3.0, 9.0, 6.0, 4.0, 6.0]
TRIANGLE = [0.5, 0.5, 11.3, 2.2, 4.7, 9.9]


def record(name, *instances, image_id=1, width=14, height=10):
    return ImageRecord(image_id, Path("root") / name, width, height, tuple(instances))


def instance(label=1, segmentation=None):
    return Instance.from_rle(label, to_rle(segmentation or [SQUARE], 10, 14))


def record_set(*images, classes=("cat", "dog")):
    return RecordSet(Path("root"), "drawn", tuple(classes), tuple(images))


masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@given(masks)
def test_mask_survives_its_run_lengths(mask):
    rle = encode_mask(mask)
    assert isinstance(rle["counts"], str)
    assert np.array_equal(coco_mask.decode(rle), mask)


@given(masks)
def test_instance_is_measured_from_its_pixels(mask):
    one = Instance.from_mask(2, mask * 200)
    rows, columns = np.nonzero(mask)
    assert one.area == len(rows)
    if len(rows):
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        assert one.bbox == (*low, high[0] - low[0], high[1] - low[1])
    else:
        assert one.bbox == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("parts", "area"),
    [
        ([SQUARE], 16),
        ([SQUARE, RECTANGLE], 34),
        ([SQUARE, SQUARE], 16),
        ([SQUARE, OVERLAPPING], 16 + 15 - 4),
        ([TRIANGLE], None),
        ([TRIANGLE, RECTANGLE, SQUARE], None),
    ],
)
def test_polygon_parts_are_merged_as_coco_merges_them(parts, area):
    coco = COCO()
    coco.imgs = {1: {"height": 10, "width": 14}}
    expected = coco.annToMask({"image_id": 1, "segmentation": parts})
    found = coco_mask.decode(to_rle(parts, 10, 14))
    assert np.array_equal(found, expected)
    if area is not None:
        assert found.sum() == area


def test_run_lengths_stay_as_they_are():
    rle = encode_mask(np.eye(4))
    assert to_rle(rle, 4, 4) == rle


def test_image_without_objects_has_no_masks():
    found = instance_masks(record("a.png"))
    assert found.shape == (0, 10, 14)
    assert found.dtype == np.uint8


def test_masks_come_in_the_order_of_the_objects():
    mask = np.zeros((10, 14), bool)
    mask[7:, :2] = True
    polygon = Instance(1, [SQUARE, RECTANGLE], (2, 1, 9, 8), 34)
    found = instance_masks(record("a.png", polygon, Instance.from_mask(1, mask)))
    assert found.shape == (2, 10, 14)
    assert found.dtype == np.uint8
    assert np.array_equal(found[1], mask)
    assert found[0, 1:5, 2:6].all()
    assert found[0, 3:9, 8:11].all()
    assert found[0].sum() == 34


def test_names_are_relative_with_forward_slashes_and_sorted():
    data = record_set(record("b/two.png"), record("b/one.png"), record("a.png"))
    assert data.names() == ("a.png", "b/one.png", "b/two.png")


def test_subset_keeps_the_order_given():
    data = record_set(record("a.png"), record("b.png"), record("c.png"))
    assert data.subset(()).images == ()
    assert [r.path.name for r in data.subset(("c.png", "a.png")).images] == ["c.png", "a.png"]


def test_subset_names_what_is_missing():
    with pytest.raises(DataError, match=r"2 image\(s\).*'x\.png'"):
        record_set(record("a.png")).subset(("a.png", "x.png", "y.png"))


@pytest.mark.parametrize(
    ("own", "wanted", "labels"),
    [
        (("cat", "dog"), ("cat", "dog"), [1, 2]),
        (("cat", "dog"), ("dog", "cat"), [2, 1]),
        (("cat", "dog"), ("bird", "cat", "fish", "dog"), [2, 4]),
        (("cat",), ("dog", "cat"), [2]),
    ],
)
def test_labels_follow_class_names(own, wanted, labels):
    objects = [instance(label) for label in range(1, len(own) + 1)]
    moved = record_set(record("a.png", *objects), classes=own).with_classes(wanted)
    assert moved.classes == wanted
    assert [i.label for i in moved.images[0].instances] == labels
    assert [i.segmentation for i in moved.images[0].instances] == [objects[0].segmentation] * len(
        own
    )


def test_the_only_class_takes_the_name_of_a_models_only_class():
    cats = record_set(record("a.png", instance(1)), classes=("cat",))
    moved = cats.with_classes(("person",), only_one=True)
    assert (moved.classes, moved.images) == (("person",), cats.images)
    with pytest.raises(DataError, match="class 'cat' is not one of person"):
        cats.with_classes(("person",))
    with pytest.raises(DataError, match="class 'cat' is not one of person, dog"):
        cats.with_classes(("person", "dog"), only_one=True)


def test_unknown_class_is_named():
    with pytest.raises(DataError, match=r"class 'dog' is not one of cat, person.*matched by name"):
        record_set(record("a.png")).with_classes(("cat", "person"))


def test_renaming_changes_names_only():
    data = record_set(record("a.png", instance(2)))
    assert data.renamed(()) == data
    renamed = data.renamed(["Katze", "Hund"])
    assert renamed.classes == ("Katze", "Hund")
    assert renamed.images == data.images


@pytest.mark.parametrize("names", [("one",), ("one", "two", "three")])
def test_wrong_number_of_names_is_refused(names):
    with pytest.raises(DataError, match=rf"has 2 class\(es\) \(cat, dog\).*names {len(names)}"):
        record_set(record("a.png")).renamed(names)


BASE = record_set(record("a.png", instance(1), instance(2)), record("b.png", image_id=2))
FIRST, SECOND = BASE.images
CHANGED = {
    "an image less": replace(BASE, images=(FIRST,)),
    "an object less": replace(BASE, images=(replace(FIRST, instances=FIRST.instances[:1]), SECOND)),
    "another label": replace(
        BASE, images=(replace(FIRST, instances=(instance(1), instance(1))), SECOND)
    ),
    "another outline": replace(
        BASE, images=(replace(FIRST, instances=(instance(1), instance(2, [TRIANGLE]))), SECOND)
    ),
    "another name": replace(BASE, images=(FIRST, replace(SECOND, path=Path("root/c.png")))),
    "another size": replace(BASE, images=(FIRST, replace(SECOND, width=15))),
    "objects in the other image": replace(
        BASE,
        images=(
            replace(FIRST, instances=()),
            replace(SECOND, instances=FIRST.instances),
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_fingerprint_tells_changed_labels(change):
    assert CHANGED[change].fingerprint() != BASE.fingerprint()


def test_fingerprint_ignores_order_numbering_and_place():
    moved = RecordSet(
        Path("elsewhere"),
        "drawn",
        BASE.classes,
        tuple(
            replace(r, image_id=9 - r.image_id, path=Path("elsewhere") / r.path.name)
            for r in reversed(BASE.images)
        ),
    )
    assert moved.fingerprint() == BASE.fingerprint()
