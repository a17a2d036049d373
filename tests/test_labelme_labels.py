"""Predictions as labelme files: what labelme's loader asks of them, and what our reader finds."""

from __future__ import annotations

import base64
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.formats.labelme import read_labelme
from utils.data.images import load_image
from utils.data.records import encode_mask, instance_masks
from utils.prediction.found_picture import FoundPicture, Picture
from utils.prediction.labelme_labels import write_labelme
from utils.prediction.pixels import PixelArray

CLASSES = ("cell", "一 thing")
HEIGHT, WIDTH = 60, 80
y, x = np.mgrid[:HEIGHT, :WIDTH]
KINDS = {"polygon", "rectangle", "circle", "linestrip", "point", "line", "mask", "points"}


def disc(centre_x, centre_y, radius) -> np.ndarray:
    return (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2


def box(x1, y1, x2, y2) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y1:y2, x1:x2] = True
    return mask


OBJECTS = {
    "disc": disc(40, 30, 20),
    "small disc": disc(40.5, 30, 5.8),
    "turned box": (abs(x - 40 + (y - 30) / 3) < 14) & (abs(y - 30 - (x - 40) / 3) < 9),
    "bar": box(3, 20, 78, 22),
    "at the border": disc(0, 0, 25),
    "whole picture": box(0, 0, WIDTH, HEIGHT),
    "ring": disc(40, 30, 20) & ~disc(42, 31, 9),
    "two parts": disc(20, 30, 12) | box(50, 10, 70, 40),
    "two parts, one with a hole": disc(20, 30, 12) | box(50, 10, 70, 40) & ~box(55, 15, 60, 20),
    "parts that touch by a corner": box(10, 10, 22, 22) | box(22, 22, 34, 34),
}  # fmt: skip


def found_in(picture: Picture, *objects: tuple[int, np.ndarray, float]) -> FoundPicture:
    prediction = Prediction(
        boxes=torch.zeros(len(objects), 4),  # which labelme files have none of
        labels=torch.tensor([label for label, _, _ in objects], dtype=torch.int64),
        scores=torch.tensor([score for _, _, score in objects], dtype=torch.float64),
        masks=[encode_mask(mask) for _, mask, _ in objects],
    )
    return FoundPicture(picture, prediction, CLASSES)


def saved_picture(path: Path) -> Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(array).save(path)
    stem = path.with_suffix("").name
    return Picture(path.name, stem, PixelArray(array), path)


def check(path: Path) -> dict:
    """What labelme's loader asks of a file; gives the content."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert {"version", "flags", "shapes", "imagePath", "imageData"} <= content.keys()
    assert isinstance(content["version"], str)
    assert isinstance(content["flags"], dict)
    assert content["imageData"] is None  # so the picture is read from the file that is named
    assert "\\" not in content["imagePath"]
    with Image.open(path.parent / content["imagePath"]) as picture:
        turned = picture.getexif().get(0x0112, 1) >= 5
        size = picture.size[::-1] if turned else picture.size
    assert (content["imageWidth"], content["imageHeight"]) == size
    for shape in content["shapes"]:
        assert isinstance(shape["label"], str)
        assert shape["shape_type"] in KINDS
        assert shape["group_id"] is None or type(shape["group_id"]) is int
        assert isinstance(shape["flags"], dict)
        assert isinstance(shape["description"], str)
        assert all(len(point) == 2 for point in shape["points"])
        if shape["shape_type"] == "mask":
            (x1, y1), (x2, y2) = shape["points"]
            with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as mask:
                assert mask.size == (x2 - x1 + 1, y2 - y1 + 1)
        else:
            assert shape["mask"] is None
            assert shape["shape_type"] == "polygon"
            assert len(shape["points"]) >= 3
    return content


def iou(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one != 0, other != 0
    return (one & other).sum() / (one | other).sum()


def test_a_picture_in_which_nothing_was_found(tmp_path):
    picture = saved_picture(tmp_path / "a.png")
    assert write_labelme(found_in(picture), tmp_path, beside=True)
    assert check(tmp_path / "a.json")["shapes"] == []
    (tmp_path / "label_names.txt").write_text("cell\n")
    (record,) = read_labelme(tmp_path).images
    assert record.instances == ()


@pytest.mark.parametrize("name", OBJECTS)
def test_our_reader_finds_the_objects_again(name, tmp_path):
    mask = OBJECTS[name]
    picture = saved_picture(tmp_path / "a.png")
    write_labelme(found_in(picture, (2, mask, 0.93456), (1, box(1, 1, 5, 9), 0.5)), tmp_path, True)

    content = check(tmp_path / "a.json")
    assert {shape["description"] for shape in content["shapes"]} == {"score 0.935", "score 0.500"}
    data = read_labelme(tmp_path)
    (record,) = data.images
    assert [data.classes[one.label - 1] for one in record.instances] == ["一 thing", "cell"]
    first, second = instance_masks(record)
    assert iou(first, mask) >= 0.95
    assert np.array_equal(second, box(1, 1, 5, 9))
    corners = sum(len(shape["points"]) for shape in content["shapes"])
    assert corners < 60  # few enough to be dragged


def test_a_hole_is_kept_pixel_by_pixel(tmp_path):
    mask = OBJECTS["two parts, one with a hole"]
    write_labelme(found_in(saved_picture(tmp_path / "a.png"), (1, mask, 0.9)), tmp_path, True)
    (shape,) = check(tmp_path / "a.json")["shapes"]
    assert (shape["shape_type"], shape["group_id"]) == ("mask", None)
    (record,) = read_labelme(tmp_path).images
    assert np.array_equal(instance_masks(record)[0], mask)


def test_parts_of_an_object_share_a_group_that_others_have_not(tmp_path):
    objects = [(1, OBJECTS["two parts"], 0.9), (1, OBJECTS["disc"], 0.8), (1, OBJECTS["bar"], 0.7),
               (1, OBJECTS["parts that touch by a corner"], 0.6)]  # fmt: skip
    write_labelme(found_in(saved_picture(tmp_path / "a.png"), *objects), tmp_path, True)
    groups = [shape["group_id"] for shape in check(tmp_path / "a.json")["shapes"]]
    assert groups == [1, 1, None, None, 4, 4]
    (record,) = read_labelme(tmp_path).images
    assert len(record.instances) == 4


def test_an_object_without_a_pixel_is_left_out_and_the_others_keep_their_scores(tmp_path):
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    objects = [(1, nothing, 0.9), (2, box(3, 3, 9, 9), 0.8)]
    write_labelme(found_in(saved_picture(tmp_path / "a.png"), *objects), tmp_path, True)
    (shape,) = check(tmp_path / "a.json")["shapes"]
    assert (shape["label"], shape["description"]) == ("一 thing", "score 0.800")


@pytest.mark.parametrize("name", ["a.png", "deep/er/b c.jpg", "图 像/一.2.jpeg", "ö/x.tif"])
def test_mirrored_files_lead_to_their_picture(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where pictures and folder are named from
    picture = saved_picture(Path("photos") / name)
    stem = Path(name).with_suffix("").as_posix()
    picture = Picture(name, stem, picture.pixels, picture.path)
    assert write_labelme(found_in(picture, (1, OBJECTS["disc"], 0.9)), Path("run/labelme"), False)

    path = tmp_path / "run" / "labelme" / f"{stem}.json"
    named = path.parent / check(path)["imagePath"]
    assert named.resolve() == (tmp_path / "photos" / name).resolve()
    files = [p for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert files == [path]  # the picture is not copied, nothing else is left


def test_a_folder_behind_a_link(tmp_path):
    picture = saved_picture(tmp_path / "photos" / "a.png")
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    write_labelme(found_in(picture), tmp_path / "link", False)
    check(tmp_path / "far" / "away" / "a.json")


@pytest.mark.parametrize("name", ["a.png", "b c.jpg", "一.2.jpeg"])
def test_beside_the_picture_under_its_name(name, tmp_path):
    picture = saved_picture(tmp_path / name)
    picture = Picture(f"x/{name}", "x/other-2", picture.pixels, picture.path)
    assert write_labelme(found_in(picture), tmp_path / "run", True)
    content = check(tmp_path / f"{name.rpartition('.')[0]}.json")
    assert content["imagePath"] == name
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("is_array", [False, True])
def test_what_is_no_picture_file_is_saved_as_one(beside, is_array, tmp_path):
    array = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    path = tmp_path / "data" / "7.npy" if is_array else None
    picture = Picture("clip.mp4/7.png", "clip.mp4/7.2", PixelArray(array), path)
    write_labelme(found_in(picture, (1, OBJECTS["ring"], 0.9)), tmp_path / "labelme", beside)

    folder = tmp_path / "labelme" / "clip.mp4"
    assert check(folder / "7.2.json")["imagePath"] == "7.2.png"
    assert np.array_equal(load_image(folder / "7.2.png"), array)
    (record,) = read_labelme(folder).images
    assert np.array_equal(instance_masks(record)[0], OBJECTS["ring"])


@pytest.mark.parametrize("beside", [False, True])
def test_a_picture_whose_name_json_cannot_hold_is_saved_under_another(beside, tmp_path):
    picture = saved_picture(tmp_path / os.fsdecode(b"a\xff.png"))
    picture = Picture("a_.png", "a_", picture.pixels, picture.path)
    write_labelme(found_in(picture, (1, OBJECTS["disc"], 0.9)), tmp_path / "labelme", beside)
    assert check(tmp_path / "labelme" / "a_.json")["imagePath"] == "a_.png"


def test_a_photo_turned_by_exif_has_its_upright_coordinates(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    lying = Image.fromarray(np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    lying.save(tmp_path / "a.jpg", exif=exif)
    upright = load_image(tmp_path / "a.jpg")
    assert upright.shape[:2] == (HEIGHT, WIDTH)
    picture = Picture("a.jpg", "a", PixelArray(upright), tmp_path / "a.jpg")
    write_labelme(found_in(picture, (1, OBJECTS["bar"], 0.9)), tmp_path, True)

    check(tmp_path / "a.json")
    (record,) = read_labelme(tmp_path).images
    assert iou(instance_masks(record)[0], OBJECTS["bar"]) >= 0.95


def test_pixels_of_a_picture_file_are_not_touched_and_objects_not_blown_up(tmp_path):
    class Unread:
        height = width = 20_000

        def __getattr__(self, name):
            raise AssertionError(name)

    height = width = 20_000
    # A 100 x 100 square. As an array of the picture it would take 0.4 GB.
    before = 10_000 * height + 5_000
    runs = [before, *[100, height - 100] * 99, 100]
    rle = encode_runs([*runs, height * width - sum(runs)], height, width)
    (tmp_path / "a.tif").touch()
    picture = Picture("a.tif", "a", Unread(), tmp_path / "a.tif")
    found = found_in(picture, (1, np.ones((2, 2)), 0.9))
    found.prediction["masks"][:] = [rle]
    assert write_labelme(found, tmp_path / "labelme", False)
    (shape,) = json.loads((tmp_path / "labelme" / "a.json").read_text())["shapes"]
    assert np.ptp(shape["points"], axis=0).tolist() == [100, 100]


def encode_runs(runs: list[int], height: int, width: int) -> dict:
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode()}


def saved_in_labelme(text: str) -> str:
    """What labelme makes of a file that is opened and saved: its version, its numbers."""
    content = json.loads(text)
    for shape in content["shapes"]:
        shape["points"] = [[float(x), float(y)] for x, y in shape["points"]]
    content["version"] = "6.3.1"
    return json.dumps(content, ensure_ascii=False, indent=2)


def with_a_corner_moved(text: str) -> str:
    content = json.loads(text)
    content["shapes"][0]["points"][0][0] += 1
    return json.dumps(content)


def with_a_flag(text: str) -> str:
    return json.dumps({**json.loads(text), "flags": {"checked": True}})


def of_another_tool(text: str) -> str:
    content = json.loads(text)
    return json.dumps({key: content[key] for key in content if not key.startswith("predicted")})


HUMAN = [saved_in_labelme, with_a_corner_moved, with_a_flag, of_another_tool, lambda text: "",
         lambda text: "[]", lambda text: text[:-9], lambda text: '{"predicted_sha256": 1}',
         lambda text: '["predicted_image", "predicted_sha256"]']  # fmt: skip


@pytest.mark.parametrize("edit", HUMAN)
@pytest.mark.parametrize("beside", [False, True])
def test_a_file_of_a_person_stays(edit, beside, tmp_path):
    picture = saved_picture(tmp_path / "a.png")
    folder = tmp_path if beside else tmp_path / "labelme"
    path = folder / "a.json"
    assert write_labelme(found_in(picture, (1, OBJECTS["disc"], 0.9)), folder, beside)
    text = edit(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")

    assert not write_labelme(found_in(picture, (2, OBJECTS["bar"], 0.8)), folder, beside)
    assert path.read_text(encoding="utf-8") == text


def test_a_link_of_a_person_stays_though_it_leads_nowhere(tmp_path):
    picture = saved_picture(tmp_path / "a.png")
    (tmp_path / "a.json").symlink_to(tmp_path / "gone.json")
    assert not write_labelme(found_in(picture), tmp_path, True)
    assert (tmp_path / "a.json").readlink() == tmp_path / "gone.json"


@pytest.mark.parametrize("beside", [False, True])
def test_a_file_that_nobody_touched_is_replaced(beside, tmp_path):
    picture = saved_picture(tmp_path / "a.png")
    path = tmp_path / "a.json"
    for mask, label in ((OBJECTS["ring"], 1), (OBJECTS["bar"], 2), (OBJECTS["bar"], 2)):
        assert write_labelme(found_in(picture, (label, mask, 0.9)), tmp_path, beside)
        # Copied by other means: layout and order of keys do not matter.
        path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=1))
    (shape,) = check(path)["shapes"]
    assert shape["label"] == "一 thing"


def test_two_pictures_of_one_name_do_not_take_the_file_from_each_other(tmp_path):
    one, other = saved_picture(tmp_path / "a.jpg"), saved_picture(tmp_path / "a.png")
    assert write_labelme(found_in(one), tmp_path, True)
    assert not write_labelme(found_in(other), tmp_path, True)
    assert check(tmp_path / "a.json")["imagePath"] == "a.jpg"
    assert write_labelme(found_in(one), tmp_path, True)


def test_threads_write_into_one_folder(tmp_path):
    pictures = [saved_picture(tmp_path / f"{n}.png") for n in range(60)]
    found = [found_in(p, (1, OBJECTS["ring"], n / 60)) for n, p in enumerate(pictures)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda one: write_labelme(one, tmp_path / "labelme", False), found))
    for n in range(60):
        (shape,) = check(tmp_path / "labelme" / f"{n}.json")["shapes"]
        assert shape["description"] == f"score {n / 60:.3f}"
    assert len(list((tmp_path / "labelme").iterdir())) == 60


def test_what_cannot_be_written_is_named(tmp_path):
    picture = saved_picture(tmp_path / "a.png")
    (tmp_path / "labelme").touch()
    with pytest.raises(FileExistsError) as raised:
        write_labelme(found_in(picture), tmp_path / "labelme", False)
    assert raised.value.filename == str(tmp_path / "labelme")
