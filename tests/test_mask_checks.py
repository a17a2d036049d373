"""Masks that were blurred, that are binary, or that hide several objects under one number."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFilter

from utils.data.formats.id_masks import read_id_masks
from utils.data.records import instance_masks
from utils.doctor.findings import Kind
from utils.doctor.mask_checks import check_masks, is_binary, separate_parts, stray_objects


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


def jpeg(ids):
    file = BytesIO()
    Image.fromarray(ids).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def disc(radius, value, size=(120, 90)):
    rows, columns = np.mgrid[: size[1], : size[0]]
    inside = (columns - size[0] / 2) ** 2 + (rows - size[1] / 2) ** 2 < radius**2
    return inside.astype(np.uint8) * value


GOOD = ids_of((1, 5, 5, 40, 40), (2, 50, 5, 90, 60))
MANY = ids_of(*[(i + 1, 6 * (i % 20), 6 * (i // 20), 6 * (i % 20) + 4, 6 * (i // 20) + 4)
                for i in range(200)])  # fmt: skip


def kinds(data):
    return {finding.kind for finding in check_masks("all", data)}


def test_good_masks(tmp_path):
    data = write(tmp_path, [GOOD, GOOD * 0, MANY])
    assert len(data.images[2].instances) == 200
    assert kinds(data) == set()


@pytest.mark.parametrize("blurred", [
    jpeg(disc(35, 200)),
    np.asarray(Image.fromarray(disc(35, 255)).filter(ImageFilter.GaussianBlur(2))),
    np.asarray(Image.fromarray(disc(70, 200, (240, 180))).resize((120, 90), 1)),
])  # fmt: skip
def test_a_blurred_mask(tmp_path, blurred):
    data = write(tmp_path, [GOOD, blurred])
    (finding,) = [f for f in check_masks("all", data) if f.kind == Kind.BLURRED.title]
    assert finding.severity == "error"
    assert finding.where == str(data.images[1].path)
    assert f"of the {len(np.unique(blurred)) - 1} numbers" in finding.what
    assert stray_objects(data.images[0]) == set()
    stray = stray_objects(data.images[1])
    kept = [i for i in range(len(data.images[1].instances)) if i not in stray]
    largest = max(kept, key=lambda i: data.images[1].instances[i].area)
    kept_pixels = instance_masks(data.images[1])[largest].astype(bool)
    assert kept_pixels.sum() > 0.3 * (blurred > 100).sum()


@pytest.mark.parametrize(("specks", "side", "stray"), [(20, 2, 20), (19, 2, 0), (20, 3, 0)])
def test_few_or_larger_specks_are_objects(tmp_path, specks, side, stray):
    ids = ids_of(*[(n + 1, 4 * n, 0, 4 * n + side, side) for n in range(specks)],
                 (99, 0, 20, 60, 60))  # fmt: skip
    assert len(stray_objects(write(tmp_path, [ids]).images[0])) == stray


@pytest.mark.parametrize("value", [1, 255])
def test_binary_masks(tmp_path, value):
    two = ids_of((value, 5, 5, 40, 40), (value, 50, 5, 90, 60))
    data = write(tmp_path, [two, GOOD * 0])
    assert is_binary(data)
    (finding,) = check_masks("all", data)
    assert finding.kind == Kind.BINARY.title
    assert "one number only" in finding.what
    assert "1 of 1 objects" in finding.what


def test_one_object_in_every_image_is_not_binary(tmp_path):
    data = write(tmp_path, [ids_of((1, 5, 5, 40, 40)), ids_of((255, 5, 5, 40, 40)), GOOD * 0])
    assert not is_binary(data)
    assert kinds(data) == set()


def test_masks_of_classes(tmp_path):
    data = write(tmp_path, [ids_of((1, 0, 0, 9, 9), (1, 20, 0, 30, 9), (2, 50, 0, 60, 9),
                                   (2, 70, 0, 80, 9))])  # fmt: skip
    (finding,) = check_masks("all", data)
    assert finding.kind == Kind.BINARY.title
    assert "masks of classes" in finding.what
    assert not is_binary(data)


def test_a_partly_hidden_object_is_a_note(tmp_path):
    hidden = ids_of((1, 5, 5, 40, 40), (2, 50, 5, 90, 60), (3, 100, 5, 110, 60))
    hidden[20:24, 50:90] = 0
    (finding,) = check_masks("all", write(tmp_path, [hidden]))
    assert (finding.kind, finding.severity) == (Kind.PARTS.title, "note")
    assert "object 2 " in finding.where
    assert "in 2 parts" in finding.what


@pytest.mark.parametrize(("side", "count"), [(3, 1), (4, 2)])
def test_crumbs_are_no_parts(tmp_path, side, count):
    ids = ids_of((1, 5, 5, 40, 40), (1, 60, 60, 60 + side, 60 + side))
    record = write(tmp_path, [ids]).images[0]
    parts = separate_parts(record.instances[0], record)
    assert len(parts) == count
    assert sorted(part.area for part in parts)[-1] >= 35 * 35
    if count == 2:
        assert sum(part.area for part in parts) == (ids > 0).sum()
        assert {part.bbox for part in parts} == {(5, 5, 35, 35), (60, 60, 4, 4)}


@pytest.mark.parametrize(("mode", "found"), [(None, False), ("I;16", True), ("P", True)])
def test_unusual_modes_are_noted(tmp_path, mode, found):
    data = write(tmp_path, [GOOD], mode)
    assert kinds(data) == ({Kind.MASK_MODE.title} if found else set())


def test_other_formats_have_no_masks(tmp_path):
    two = ids_of((1, 5, 5, 40, 40), (1, 50, 5, 90, 60))
    data = replace(write(tmp_path, [two]), format="coco")
    assert kinds(data) == set()
    assert not is_binary(data)
