"""The id-mask reader: pairing by name, ids of any kind, refusals that name the file."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from utils.data.formats.id_masks import read_id_masks
from utils.data.records import DataError, instance_masks

PALETTE = [(37 * i) % 256 for i in range(768)]


def write_pair(root, name, ids, mask_name=None, image_size=None, folders=("PNGImages", "PedMasks")):
    images, masks = root / folders[0], root / folders[1]
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(exist_ok=True)
    height, width = ids.shape
    Image.new("RGB", image_size or (width, height)).save(images / f"{name}.png")
    Image.fromarray(ids).save(masks / (mask_name or f"{name}_mask.png"))


def blank(width=8, height=6):
    return np.zeros((height, width), np.uint8)


def test_image_without_objects_is_kept(tmp_path):
    write_pair(tmp_path, "nobody", blank())
    data = read_id_masks(tmp_path)
    assert data.images[0].instances == ()
    assert (data.images[0].width, data.images[0].height) == (8, 6)
    assert instance_masks(data.images[0]).shape == (0, 6, 8)


def test_drawn_set_is_read_as_drawn(drawn_pennfudan):
    data = read_id_masks(drawn_pennfudan)
    assert data.classes == ("person",)
    assert [r.path.stem for r in data.images] == sorted(r.path.stem for r in data.images)
    assert [r.image_id for r in data.images] == [1, 2, 3, 4, 5, 6]
    assert [len(r.instances) for r in data.images] == [3, 0, 1, 1, 2, 2]
    for record in data.images:
        with Image.open(record.path) as picture:
            assert picture.size == (record.width, record.height)
        with Image.open(drawn_pennfudan / "PedMasks" / f"{record.path.stem}_mask.png") as mask:
            ids = np.asarray(mask)
        found = instance_masks(record)
        for number, one in zip(np.unique(ids[ids > 0]), found, strict=True):
            assert np.array_equal(one, ids == number)


@pytest.mark.parametrize("kind", ["8 bit", "16 bit", "palette"])
def test_ids_may_have_gaps_and_any_depth(tmp_path, kind):
    ids = np.uint16([[0, 3, 3, 0], [7, 7, 0, 255]])
    if kind == "16 bit":
        ids[1, 3] = 300
    write_pair(tmp_path, "one", ids if kind == "16 bit" else ids.astype(np.uint8))
    if kind == "palette":
        picture = Image.fromarray(ids.astype(np.uint8))
        picture.putpalette(PALETTE)
        picture.save(tmp_path / "PedMasks" / "one_mask.png")
    instances = read_id_masks(tmp_path).images[0].instances
    assert [i.area for i in instances] == [2, 2, 1]
    assert [i.bbox for i in instances] == [(1, 0, 2, 1), (0, 1, 2, 1), (3, 1, 1, 1)]


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)),
                  elements=st.sampled_from([0, 0, 1, 3, 255, 256, 65535])))  # fmt: skip
def test_any_mask_comes_back_from_its_records(tmp_path_factory, ids):
    root = tmp_path_factory.mktemp("any")
    write_pair(root, "one", ids)
    record = read_id_masks(root).images[0]
    rebuilt = np.zeros_like(ids)
    numbers = np.unique(ids[ids > 0])
    for number, mask in zip(numbers, instance_masks(record), strict=True):
        assert not rebuilt[mask == 1].any()
        rebuilt[mask == 1] = number
    assert np.array_equal(rebuilt, ids)


def test_pairs_are_made_by_name_not_by_order(tmp_path):
    # "a_mask.png" < "a2_mask.png" is false although "a.png" < "a2.png" is true.
    for name, width in [("a", 4), ("a2", 5), ("a-1", 6)]:
        ids = blank(width)
        ids[0, :width] = 1
        write_pair(tmp_path, name, ids)
    data = read_id_masks(tmp_path)
    assert {r.path.stem: r.instances[0].area for r in data.images} == {"a": 4, "a2": 5, "a-1": 6}


@pytest.mark.parametrize("name", ["with space", "图像 1 é", "dots.in.name", "UPPER"])
def test_odd_names_are_read(tmp_path, name):
    write_pair(tmp_path, name, blank())
    upper = tmp_path / "PNGImages" / f"{name}.PNG"
    (tmp_path / "PNGImages" / f"{name}.png").rename(upper)
    data = read_id_masks(tmp_path)
    assert data.names() == (f"PNGImages/{name}.PNG",)


def test_images_and_masks_folders_work_without_the_suffix(tmp_path):
    write_pair(tmp_path, "one", blank(), mask_name="one.png", folders=("images", "masks"))
    data = read_id_masks(tmp_path)
    assert data.classes == ("object",)
    assert len(data.images) == 1


def test_rotated_photo_matches_its_upright_mask(tmp_path):
    write_pair(tmp_path, "photo", blank(width=8, height=6))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 8)).save(tmp_path / "PNGImages" / "photo.png", exif=exif)
    record = read_id_masks(tmp_path).images[0]
    assert (record.width, record.height) == (8, 6)


def without_folders(root):
    return r"PNGImages/ \+ PedMasks/"


def without_pictures(root):
    (root / "PNGImages").mkdir()
    (root / "PedMasks").mkdir()
    return "no images here"


def without_mask(root):
    write_pair(root, "one", blank())
    write_pair(root, "two", blank())
    (root / "PedMasks" / "two_mask.png").unlink()
    return r"two\.png: has no mask"


def without_image(root):
    write_pair(root, "one", blank())
    write_pair(root, "two", blank())
    (root / "PNGImages" / "two.png").unlink()
    return r"two_mask\.png: has no image"


def with_two_of_one_name(root):
    write_pair(root, "one", blank())
    Image.new("RGB", (8, 6)).save(root / "PNGImages" / "one.jpg")
    return r"one\.(png|jpg) and .*one\.(jpg|png) have the same name"


def with_mask_of_another_size(root):
    write_pair(root, "one", blank(8, 6), image_size=(6, 8))
    return r"one_mask\.png: the mask is 8x6 .*one\.png is 6x8"


def with_colour_mask(root):
    write_pair(root, "one", blank())
    Image.new("RGB", (8, 6)).save(root / "PedMasks" / "one_mask.png")
    return r"one_mask\.png.*this picture is RGB"


def with_damaged(folder, name):
    def damage(root):
        ids = np.random.default_rng(0).integers(0, 9, (30, 40)).astype(np.uint8)
        write_pair(root, "one", ids)
        Image.fromarray(ids.repeat(3).reshape(30, 40, 3)).save(root / "PNGImages" / "one.png")
        path = root / folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return f"{path.stem}.*cut short"

    return damage


@pytest.mark.parametrize(
    "spoil",
    [
        without_folders,
        without_pictures,
        without_mask,
        without_image,
        with_two_of_one_name,
        with_mask_of_another_size,
        with_colour_mask,
        pytest.param(with_damaged("PNGImages", "one.png"), id="half an image"),
        pytest.param(with_damaged("PedMasks", "one_mask.png"), id="half a mask"),
    ],
)
def test_wrong_folder_is_refused_by_name(tmp_path, spoil):
    with pytest.raises(DataError, match=spoil(tmp_path)):
        read_id_masks(tmp_path)


def test_long_list_of_lonely_files_is_cut_with_its_count(tmp_path):
    for i in range(13):
        write_pair(tmp_path, f"n{i}", blank())
        (tmp_path / "PedMasks" / f"n{i}_mask.png").unlink()
    with pytest.raises(DataError, match=r"and 3 more") as caught:
        read_id_masks(tmp_path)
    assert str(caught.value).count("has no mask") == 10


def test_real_set_matches_its_own_annotation_files(pennfudan_root):
    data = read_id_masks(pennfudan_root)
    assert len(data.images) == 170
    corner_errors = []
    for record in data.images:
        text = (pennfudan_root / "Annotation" / f"{record.path.stem}.txt").read_text("latin-1")
        written = re.findall(r"Bounding box .*\((\d+), (\d+)\) - \((\d+), (\d+)\)", text)
        boxes = np.array([instance.bbox for instance in record.instances])
        corners = np.hstack([boxes[:, :2] + 1, boxes[:, :2] + boxes[:, 2:]])  # theirs count from 1
        corner_errors += list(abs(corners - np.array(written, float)).max(axis=1))
    assert len(corner_errors) == 423
    assert np.count_nonzero(corner_errors) < 20  # a few of theirs were drawn a pixel or two off
    assert max(corner_errors) <= 6


def test_folders_below_are_read_and_paired_by_their_path(tmp_path):
    for part, value in (("a", 1), ("b", 2)):
        for folder in ("images", "masks"):
            (tmp_path / folder / part).mkdir(parents=True)
        Image.new("RGB", (9, 7)).save(tmp_path / "images" / part / "x.png")
        mask = Image.new("L", (9, 7))
        mask.paste(value, (0, 0, value, value))
        mask.save(tmp_path / "masks" / part / "x_mask.png")
    data = read_id_masks(tmp_path)

    assert data.names() == ("images/a/x.png", "images/b/x.png")
    assert [record.instances[0].area for record in data.images] == [1, 4]


def test_all_broken_files_are_named_at_once(drawn_pennfudan):
    images = sorted((drawn_pennfudan / "PNGImages").iterdir())
    masks = sorted((drawn_pennfudan / "PedMasks").iterdir())
    images[0].write_bytes(b"")
    masks[2].write_text("no picture")
    with pytest.raises(DataError, match=r"2 problem\(s\) in 6 image\(s\)") as caught:
        read_id_masks(drawn_pennfudan)
    assert str(images[0]) in str(caught.value)
    assert str(masks[2]) in str(caught.value)
