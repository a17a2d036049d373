"""Which object, and which class, each pixel of a picture belongs to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from found_scene import found_picture, noise, random_masks
from PIL import Image

from nets.contract import Prediction
from nets.mask_paste import encode_crop
from utils.data.formats.id_masks import read_id_masks
from utils.data.images import load_ids
from utils.data.records import instance_masks
from utils.drawing import instance_colour
from utils.prediction import id_pictures
from utils.prediction.id_pictures import class_ids, instance_ids
from utils.prediction.picture_files import save_picture


def naive(masks, numbers) -> np.ndarray:
    """Pixel by pixel, the first mask that holds it."""
    height, width = masks[0].shape
    result = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            holders = [number for mask, number in zip(masks, numbers, strict=True) if mask[y, x]]
            result[y, x] = holders[0] if holders else 0
    return result


def read_back(picture: Image.Image, path) -> np.ndarray:
    save_picture(picture, path)
    return load_ids(path)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 100), (100, 2), (40, 60)])
def test_nothing_found_is_background_everywhere(height, width, tmp_path):
    found = found_picture(noise(height, width), [])
    for picture in (instance_ids(found), class_ids(found)):
        assert picture.size == (width, height)
        assert not read_back(picture, tmp_path / "a.png").any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 100), (100, 2), (30, 41)])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_pixel_is_the_best_objects(height, width, seed, tmp_path):
    masks = random_masks(height, width, 9, seed)
    labels = [2, 1, 2, 2, 1, 1, 2, 1, 1]
    found = found_picture(noise(height, width), masks, labels)
    ids, classes = instance_ids(found), class_ids(found)
    assert (ids.mode, classes.mode) == ("I;16", "P")
    assert np.array_equal(read_back(ids, tmp_path / "i.png"), naive(masks, range(1, 10)))
    assert np.array_equal(read_back(classes, tmp_path / "c.png"), naive(masks, labels))


def test_objects_without_pixels_keep_their_number(tmp_path):
    empty, full = np.zeros((5, 6)), np.ones((5, 6))
    found = found_picture(noise(5, 6), [empty, full])
    assert (read_back(instance_ids(found), tmp_path / "a.png") == 2).all()


def test_the_files_have_the_bits_they_are_told_to_have(tmp_path):
    found = found_picture(noise(5, 6), [np.ones((5, 6))])
    for picture, bits, kind in ((instance_ids(found), 16, 0), (class_ids(found), 8, 3)):
        save_picture(picture, tmp_path / "a.png")
        header = (tmp_path / "a.png").read_bytes()[24:26]  # PNG: bit depth, colour type
        assert tuple(header) == (bits, kind)


def test_id_pictures_are_a_data_set_of_id_masks(tmp_path):
    """A run's ids beside its pictures can be trained on as they are."""
    masks = [mask for mask in random_masks(40, 50, 6, seed=3) if mask.any()]
    image = noise(40, 50)
    found = found_picture(image, masks)
    save_picture(Image.fromarray(image), tmp_path / "images" / "a.png")
    save_picture(instance_ids(found), tmp_path / "masks" / "a.png")
    (record,) = read_id_masks(tmp_path).images
    ids = naive(masks, range(1, len(masks) + 1))
    shown = [n for n in range(1, len(masks) + 1) if (ids == n).any()]
    assert len(record.instances) == len(shown) > 2
    for mask, number in zip(instance_masks(record), shown, strict=True):
        assert np.array_equal(mask, ids == number)


def test_each_class_has_a_colour_of_its_own():
    masks = [np.zeros((3, 3), bool), np.zeros((3, 3), bool)]
    masks[0][0], masks[1][1] = True, True
    colours = np.asarray(class_ids(found_picture(noise(3, 3), masks, [2, 1])).convert("RGB"))
    assert (colours[0] == instance_colour(1)).all()
    assert (colours[1] == instance_colour(0)).all()
    assert not colours[2].any()


@pytest.mark.parametrize(("count", "mode"), [(1, "P"), (255, "P"), (256, "I;16"), (300, "I;16")])
def test_many_classes_need_more_bits(count, mode, tmp_path):
    names = tuple(f"class {n}" for n in range(count))
    picture = class_ids(found_picture(noise(2, 2), [np.ones((2, 2))], [count], names))
    assert picture.mode == mode
    assert (read_back(picture, tmp_path / "a.png") == count).all()


def test_more_objects_than_numbers_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(id_pictures, "MOST_IDS", 3)
    masks = np.eye(5, dtype=bool)[:, None]
    found = found_picture(noise(1, 5), masks)
    with pytest.warns(UserWarning, match=r"a\.png: .* 5 objects; the best 3"):
        picture = instance_ids(found)
    assert read_back(picture, tmp_path / "a.png").tolist() == [[1, 2, 3, 0, 0]]


def test_the_largest_number_is_not_wrapped(tmp_path):
    found = found_picture(noise(1, 3), [np.ones((1, 3))])
    rle = encode_crop(np.ones((1, 1), np.uint8), 0, 0, 1, 3)
    count = 65_535
    prediction = Prediction(
        boxes=torch.zeros(count, 4), labels=torch.ones(count, dtype=torch.int64),
        scores=torch.zeros(count), masks=[rle] * (count - 1) + [found.prediction["masks"][0]],
    )  # fmt: skip
    many = replace(found, prediction=prediction)
    assert read_back(instance_ids(many), tmp_path / "a.png").tolist() == [[1, 65_535, 65_535]]
