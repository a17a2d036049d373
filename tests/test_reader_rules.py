"""What holds for the readers of every format: links, classes that are none, outlines outside."""

import json

import numpy as np
import pytest
from PIL import Image

from utils.data.formats.coco import read_coco
from utils.data.formats.id_masks import read_id_masks
from utils.data.formats.labelme import read_labelme
from utils.data.formats.via import read_via
from utils.data.formats.yolo import read_yolo
from utils.data.label_map import NOT_CLASSES
from utils.data.records import DataError

WIDTH, HEIGHT = 40, 30
SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]
CUT = "1 outline(s) that reach outside their picture cut at the border, first in "


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def write_id_masks(root, objects):
    """Only the class of an object counts, each is a row of the mask."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in range(len(objects)):
        ids[number] = number + 1
    (root / "masks").mkdir()
    Image.fromarray(ids).save(root / "masks" / "a.png")
    rows = [f"{number},{name}" for number, (name, _) in enumerate(objects, start=1)]
    write(root / "mask_classes.csv", "\n".join(["id,class", *rows]))


def write_coco(root, objects):
    names = list(dict.fromkeys(name for name, _ in objects))
    things = [
        {"id": n, "image_id": 1, "category_id": names.index(name), "segmentation": [points]}
        for n, (name, points) in enumerate(objects)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(names)]
    images = [{"id": 1, "file_name": "a.png"}]
    write(root / "a.json", {"images": images, "annotations": things, "categories": categories})


def write_labelme(root, objects):
    shapes = [
        {"label": name, "points": np.reshape(points, (-1, 2)).tolist()} for name, points in objects
    ]
    write(root / "json" / "a.json", {"shapes": shapes, "imagePath": "a.png"})


def write_via(root, objects):
    regions = [
        {
            "shape_attributes": {
                "name": "polygon", "all_points_x": points[::2], "all_points_y": points[1::2]
            },
            "region_attributes": {"class": name},
        }
        for name, points in objects
    ]  # fmt: skip
    write(root / "via_region_data.json", {"a": {"filename": "a.png", "regions": regions}})


def write_yolo(root, objects):
    names = list(dict.fromkeys(name for name, _ in objects))
    shares = [(name, np.divide(points, (WIDTH, HEIGHT) * 4).tolist()) for name, points in objects]
    rows = [" ".join(map(str, (names.index(name), *points))) for name, points in shares]
    write(root / "labels" / "a.txt", "\n".join(rows))
    write(root / "data.yaml", f"train: images\nnames: {json.dumps(names)}")


FORMATS = {
    "id-masks": (write_id_masks, read_id_masks),
    "coco": (write_coco, read_coco),
    "labelme": (write_labelme, read_labelme),
    "via": (write_via, read_via),
    "yolo": (write_yolo, read_yolo),
}
every_format = pytest.mark.parametrize("format", FORMATS)


def draw(root, format, *objects):
    """A data set of one picture; an object is a class and a polygon of four points."""
    (root / "images").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / "a.png")
    FORMATS[format][0](root, objects or [("cat", SQUARE)])
    return FORMATS[format][1]


def move_and_link(path, target):
    path.rename(target)
    path.symlink_to(target)


@every_format
def test_links_that_stay_inside_are_followed(tmp_path, format):
    read = draw(tmp_path / "set", format)
    move_and_link(tmp_path / "set" / "images" / "a.png", tmp_path / "set" / "images" / "a.old")
    move_and_link(tmp_path / "set", tmp_path / "elsewhere")  # the data root itself may be a link
    assert len(read(tmp_path / "set").images[0].instances) == 1


@every_format
@pytest.mark.parametrize("linked", ["images/a.png", "images"])
def test_pictures_behind_links_that_lead_away_are_refused(tmp_path, format, linked):
    read = draw(tmp_path / "set", format)
    move_and_link(tmp_path / "set" / linked, tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"a\.png|'images', which is not a file inside"):
        read(tmp_path / "set")


@pytest.mark.parametrize("folder", ["masks", "class_masks"])
@pytest.mark.parametrize("linked", ["", "a.png"])
def test_masks_behind_links_that_lead_away_are_refused(tmp_path, folder, linked):
    read = draw(tmp_path / "set", "id-masks")
    (tmp_path / "set" / "mask_classes.csv").unlink()
    (tmp_path / "set" / "class_masks").mkdir()
    Image.new("L", (WIDTH, HEIGHT), 1).save(tmp_path / "set" / "class_masks" / "a.png")
    assert read(tmp_path / "set").classes == ("class_1",)
    move_and_link(tmp_path / "set" / folder / linked, tmp_path / "elsewhere")
    with pytest.raises(DataError, match=rf"{folder}/a\.png: is behind a link that leads out of"):
        read(tmp_path / "set")


@every_format
@pytest.mark.parametrize("name", NOT_CLASSES)
def test_the_background_is_no_class(tmp_path, format, name):
    objects = [(name, SQUARE), ("cat", SQUARE[2:] + SQUARE[:2]), ("dog", SQUARE)]
    data = draw(tmp_path / "set", format, *objects)(tmp_path / "set")
    assert data.classes == ("cat", "dog")
    assert [i.label for i in data.images[0].instances] == [1, 2]
    assert len(data.notes) == 1
    assert data.notes[0].startswith("1 ")
    assert repr(name) in data.notes[0]
    assert "left out, first in a" in data.notes[0]


@every_format
def test_the_background_alone_is_refused(tmp_path, format):
    read = draw(tmp_path / "set", format, ("_background_", SQUARE))
    with pytest.raises(DataError, match=r"no class but the background|no object in any"):
        read(tmp_path / "set")


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "id-masks"])
def test_outlines_that_reach_outside_are_noted(tmp_path, format):
    objects = [
        ("cat", [-0.9, -0.9, 40.9, -0.9, 40.9, 30.9, -0.9, 30.9]),  # within a pixel
        ("cat", [30, 10, 41.5, 10, 41.5, 20, 30, 20]),
        ("dog", SQUARE),
        ("dog", [45, 10, 55, 10, 55, 20, 45, 20]),
    ]
    data = draw(tmp_path / "one", format, *objects)(tmp_path / "one")
    assert [i.area for i in data.images[0].instances] == [WIDTH * HEIGHT, 100, 100]
    assert len(data.notes) == 2
    (note,) = (note for note in data.notes if note.startswith(CUT))
    where = {"coco": "annotations id 1", "labelme": "a.json shapes[1]", "via": "a.png",
             "yolo": "a.txt line 2"}[format]  # fmt: skip
    assert note == CUT + where
    assert any("1 object(s) without a pixel" in note for note in data.notes)
    for name, points in {
        "left": [-2, 10, 20, 10, 20, 20, -2, 20], "top": [10, -2, 20, -2, 20, 20, 10, 20],
        "bottom": [10, 10, 20, 10, 20, 32, 10, 32],
    }.items():  # fmt: skip
        (note,) = draw(tmp_path / name, format, ("cat", points))(tmp_path / name).notes
        assert note.startswith(CUT)
