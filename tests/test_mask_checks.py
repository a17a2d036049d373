"""Masks that were blurred, that are binary, or that hide several objects under one number."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from pycocotools import mask as coco_mask

from utils.data.formats.id_masks import read_id_masks
from utils.data.records import instance_masks
from utils.doctor.findings import Kind
from utils.doctor.mask_checks import check_masks, separate_objects


def ids_of(*boxes, size=(120, 90)):
    ids = np.zeros(size[::-1], np.uint8)
    for number, x1, y1, x2, y2 in boxes:
        ids[y1:y2, x1:x2] = number
    return ids


def write(root, masks, mode=None):
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i, ids in enumerate(masks):
        mask = ids if isinstance(ids, Image.Image) else Image.fromarray(ids)
        (mask.convert(mode) if mode else mask).save(root / "masks" / f"{i}.png")
        Image.new("RGB", mask.size, (i, 0, 0)).save(root / "images" / f"{i}.png")
    return read_id_masks(root)


GOOD = ids_of((1, 5, 5, 40, 40), (2, 50, 5, 90, 60))
MANY = ids_of(*[(i + 1, 6 * (i % 20), 6 * (i // 20), 6 * (i % 20) + 4, 6 * (i // 20) + 4)
                for i in range(200)])  # fmt: skip


def kinds(data):
    return {finding.kind for finding in check_masks({"all": data})}


def test_good_masks(tmp_path):
    data = write(tmp_path, [GOOD, GOOD * 0, MANY])
    assert len(data.images[2].instances) == 200
    assert kinds(data) == set()


def test_a_blurred_mask_is_named(tmp_path):
    disc = Image.new("L", (120, 90))
    ImageDraw.Draw(disc).ellipse((25, 10, 95, 80), fill=255)
    data = write(tmp_path, [GOOD, disc.filter(ImageFilter.GaussianBlur(2))])
    (finding,) = check_masks({"all": data})
    assert (finding.kind, finding.severity) == (Kind.BLURRED.title, "error")
    assert finding.where == str(tmp_path / "masks" / "1.png")
    assert f"of the {len(data.images[1].instances)} numbers in this mask" in finding.what
    (tmp_path / "masks" / "1.png").rename(tmp_path / "masks" / "other.png")
    (finding,) = check_masks({"all": data})
    assert finding.where == str(data.images[1].path)


TWO = [(1, 5, 5, 40, 40), (1, 50, 5, 90, 60)]


@pytest.mark.parametrize("value", [1, 255])
def test_binary_masks(tmp_path, value):
    data = write(tmp_path, [ids_of(*TWO) * np.uint8(value), GOOD * 0])
    (finding,) = check_masks({"all": data})
    assert finding.kind == Kind.BINARY.title
    assert "one number only" in finding.what
    assert "1 of 1 objects" in finding.what


@pytest.mark.parametrize(("single", "kind"), [(2, Kind.BINARY), (3, Kind.PARTS)])
def test_masks_are_binary_from_a_third_with_several_parts_on(tmp_path, single, kind):
    data = write(tmp_path, [ids_of(*TWO), *[ids_of(TWO[0])] * single, GOOD * 0])
    assert kinds(data) == {kind.title}
    names = data.names()
    parts = {"train": data.subset(names[1:]), "val": data.subset(names[:1])}
    assert {finding.kind for finding in check_masks(parts)} == {kind.title}


@pytest.mark.parametrize(("side", "kind"), [(11, Kind.PARTS), (12, Kind.BINARY)])
def test_a_tenth_of_the_largest_part_is_a_part_of_a_size(tmp_path, side, kind):
    lesion = ids_of((1, 5, 5, 40, 45), (1, 60, 60, 60 + side, 72))  # 1400 pixels, 132 or 144
    assert kinds(write(tmp_path, [lesion])) == {kind.title}


def test_one_object_in_every_image_is_not_binary(tmp_path):
    data = write(tmp_path, [ids_of((1, 5, 5, 40, 40)), ids_of((255, 5, 5, 40, 40)), GOOD * 0])
    assert kinds(data) == set()


def test_masks_of_classes(tmp_path):
    data = write(tmp_path, [ids_of((1, 0, 0, 9, 9), (1, 20, 0, 30, 9), (2, 50, 0, 60, 9),
                                   (2, 70, 0, 80, 9))])  # fmt: skip
    (finding,) = check_masks({"all": data})
    assert finding.kind == Kind.BINARY.title
    assert "masks of classes" in finding.what


def test_a_partly_hidden_object_is_a_note(tmp_path):
    hidden = ids_of((1, 5, 5, 40, 40), (2, 50, 5, 90, 60), (3, 100, 5, 110, 60))
    hidden[20:24, 50:90] = 0
    (finding,) = check_masks({"all": write(tmp_path, [hidden])})
    assert (finding.kind, finding.severity) == (Kind.PARTS.title, "note")
    assert "object 2 " in finding.where
    assert "in 2 parts" in finding.what


@pytest.mark.parametrize(("side", "count"), [(3, 1), (4, 2)])
def test_crumbs_are_no_parts(tmp_path, side, count):
    ids = ids_of((1, 5, 5, 40, 40), (1, 60, 60, 60 + side, 60 + side))
    record = write(tmp_path, [ids]).images[0]
    (parts,) = separate_objects(record)
    assert len(parts) == count
    assert sum(part.area for part in parts) == (ids > 0).sum()
    if count == 2:
        assert {part.bbox for part in parts} == {(5, 5, 35, 35), (60, 60, 4, 4)}


@pytest.mark.parametrize(("x", "y", "owner"), [(46, 30, 1), (44, 30, 0), (94, 88, 1), (5, 88, 0),
                                               (0, 0, 0)])  # fmt: skip
def test_a_crumb_belongs_to_the_nearest_part(tmp_path, x, y, owner):
    ids = ids_of(*TWO, (1, x, y, x + 1, y + 2))
    record = write(tmp_path, [ids]).images[0]
    (parts,) = separate_objects(record)
    masks = instance_masks(replace(record, instances=tuple(parts)))
    assert np.array_equal(masks.sum(axis=0), ids)
    order = np.argsort([part.bbox[0] for part in parts])
    assert [masks[i][y, x] for i in order] == [owner == 0, owner == 1]


def test_many_large_objects_are_looked_at_quickly(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_mask, "decode", lambda rle: pytest.fail("a whole mask was decoded"))
    assert len(separate_objects(write(tmp_path, [MANY]).images[0])) == 200


@pytest.mark.parametrize(("mode", "found"), [(None, False), ("I;16", True), ("P", True)])
def test_unusual_modes_are_noted(tmp_path, mode, found):
    data = write(tmp_path, [GOOD], mode)
    assert kinds(data) == ({Kind.MASK_MODE.title} if found else set())


def test_modes_are_those_of_the_folders_that_were_read(tmp_path):
    data = write(tmp_path, [GOOD], "P")
    for old, new in (("images", "JPEGImages"), ("masks", "SegmentationObject")):
        (tmp_path / old).rename(tmp_path / new)
    (tmp_path / "SegmentationClass").mkdir()
    Image.fromarray((GOOD > 0).astype(np.uint8)).convert("P").save(
        tmp_path / "SegmentationClass" / "0.png"
    )
    (tmp_path / "old_masks").mkdir()
    Image.fromarray(GOOD).convert("P").save(tmp_path / "old_masks" / "0.png")
    data = read_id_masks(tmp_path)
    (finding,) = check_masks({"all": data})
    assert finding.kind == Kind.MASK_MODE.title
    assert finding.what.startswith("2 palette mask(s)")


def test_other_formats_have_no_masks(tmp_path):
    two = ids_of((1, 5, 5, 40, 40), (1, 50, 5, 90, 60))
    data = replace(write(tmp_path, [two]), format="coco")
    assert kinds(data) == set()
