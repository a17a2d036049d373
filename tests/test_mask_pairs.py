"""Images and masks by their names: who belongs together, and what is said of the lonely."""

import numpy as np
import pytest
from PIL import Image

from utils.data.formats.mask_pairs import load_mask, pair
from utils.data.records import DataError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_nothing_to_pair(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="images: no images here"):
        pair(tmp_path / "images", [tmp_path / "masks"])
    touch(tmp_path, "images/a.jpg")
    with pytest.raises(DataError, match="masks: no masks here"):
        pair(tmp_path / "images", [tmp_path / "masks"], all_labelled=False)


def test_pairs_of_one_mask_each(tmp_path):
    touch(tmp_path, "images/b.jpg", "images/deep/a.PNG", "masks/b_mask.png", "masks/deep/a.tif")
    touch(tmp_path, "masks/notes.txt")
    found = pair(tmp_path / "images", [tmp_path / "masks"])
    assert [(i.stem, [m.name for m in i.masks], i.class_mask) for i in found.images] == [
        ("b", ["b_mask.png"], None),
        ("deep/a", ["a.tif"], None),
    ]
    assert (found.problems, found.unlabelled) == ({}, [])


def test_several_mask_folders_and_class_masks(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "m/1/a.png", "m/2/a.png", "m/2/b.png")
    touch(tmp_path, "classes/a_mask.png", "classes/b.png")
    found = pair(tmp_path / "images", [tmp_path / "m/1", tmp_path / "m/2"], tmp_path / "classes")
    shown = [(i.masks, i.class_mask.name) for i in found.images]
    assert shown == [
        ((tmp_path / "m/1/a.png", tmp_path / "m/2/a.png"), "a_mask.png"),
        ((tmp_path / "m/2/b.png",), "b.png"),
    ]


def test_every_lonely_file_is_one_problem(tmp_path):
    touch(tmp_path, *(f"images/{n}.jpg" for n in "abcde"), "images/e.png")
    touch(tmp_path, *(f"m/{n}" for n in ("a.png", "c.png", "d.jpeg", "e.png", "f.png")))
    touch(tmp_path, *(f"c/{n}.png" for n in "abdeg"))
    found = pair(tmp_path / "images", [tmp_path / "m"], tmp_path / "c")
    assert [image.stem for image in found.images] == ["a"]
    assert found.problems.keys() == set("bcdefg")
    images, masks = tmp_path / "images", tmp_path / "m"
    assert found.problems["b"].startswith(f"{images / 'b.jpg'}: has no mask in {masks}; add b.png")
    assert "c.jpg has an id mask but no class mask in" in found.problems["c"]
    assert "d.jpeg: JPEG blurs the ids" in found.problems["d"]
    assert "e.png and " in found.problems["e"]
    assert "have the same name" in found.problems["e"]
    assert f"f.png: has no image in {images}" in found.problems["f"]
    assert f"{tmp_path / 'c' / 'g.png'}: has no image" in found.problems["g"]


def test_a_set_that_is_labelled_in_part(tmp_path):
    touch(tmp_path, *(f"images/{n}.jpg" for n in "abc"), "m/b.png", "m/z.png")
    touch(tmp_path, *(f"c/{n}.png" for n in "abx"))
    found = pair(tmp_path / "images", [tmp_path / "m"], tmp_path / "c", all_labelled=False)
    assert [image.stem for image in found.images] == ["b"]
    assert [path.name for path in found.unlabelled] == ["a.jpg", "c.jpg"]
    assert found.problems.keys() == {"z"}


def test_a_mask_is_of_its_images_size(tmp_path):
    ids = np.uint16([[0, 300, 2], [0, 0, 1]])
    Image.fromarray(ids).save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png", (3, 2), tmp_path / "i.png"), ids)
    with pytest.raises(DataError, match=r"m\.png: the mask is 3x2 pixels, its image i\.png is 2x3"):
        load_mask(tmp_path / "m.png", (2, 3), tmp_path / "i.png")
