"""The same drawn scenes in every format are the same data, in every folder layout."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from my_dataset import READERS, ReadOptions, read_data
from utils.data.records import DataError, instance_masks, to_rle
from utils.open_data import find_parts, open_evaluation_data, open_training_data

CLASSES = ("cell", "lesion")
SIDE = 60


def scene(number):
    """Polygons of a scene as (class, xy numbers); every third scene has no object."""
    rng = np.random.default_rng(number)
    if number % 3 == 2:
        return []
    objects = []
    for _ in range(int(rng.integers(1, 4))):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        x, y = rng.uniform(22, 38, 2)
        radius = rng.uniform(8, 20, 9)
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1).round(2)
        objects.append((CLASSES[int(rng.integers(2))], points.ravel().tolist()))
    return objects


def draw_picture(folder, number):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, SIDE), (number, 90, 60)).save(folder / f"scene {number}.png")
    return f"scene {number}.png"


def write_coco(images, numbers, path):
    content = {"images": [], "annotations": [],
               "categories": [{"id": 7, "name": "cell"}, {"id": 90, "name": "lesion"}]}  # fmt: skip
    for number in numbers:
        name = draw_picture(images, number)
        content["images"].append({"id": number + 5, "file_name": name})
        for label, points in scene(number):
            content["annotations"].append(
                {"id": len(content["annotations"]), "image_id": number + 5,
                 "category_id": {"cell": 7, "lesion": 90}[label], "segmentation": [points]}
            )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_labelme(images, numbers, jsons):
    jsons.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        name = draw_picture(images, number)
        shapes = [
            {"label": label, "points": np.reshape(points, (-1, 2)).tolist(),
             "shape_type": "polygon", "group_id": None}
            for label, points in scene(number)
        ]  # fmt: skip
        content = {"version": "5.0", "shapes": shapes, "imagePath": name, "imageData": None}
        (jsons / f"scene {number}.json").write_text(json.dumps(content), encoding="utf-8")


def write_via(folder, numbers):
    content = {}
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        name = draw_picture(folder, number)
        regions = [
            {"shape_attributes": {"name": "polygon", "all_points_x": points[::2],
                                  "all_points_y": points[1::2]},
             "region_attributes": {"class": label}}
            for label, points in scene(number)
        ]  # fmt: skip
        content[name] = {"filename": name, "size": 1, "regions": regions, "file_attributes": {}}
    (folder / "via_region_data.json").write_text(json.dumps(content), encoding="utf-8")


def write(format, folder, numbers):
    if format == "coco":
        write_coco(folder / "images", numbers, folder / "annotations" / "all.json")
    elif format == "labelme":
        write_labelme(folder, numbers, folder)
    else:
        write_via(folder, numbers)


@pytest.mark.parametrize("format", ["coco", "labelme", "via"])
def test_every_format_gives_the_drawn_objects(format, tmp_path):
    write(format, tmp_path / "data", range(30))
    data = read_data(tmp_path / "data")

    assert (data.format, data.classes) == (format, CLASSES)
    assert len(data.images) == 30
    for record in data.images:
        wanted = scene(int(record.path.stem.split()[1]))
        rles = [coco_mask.frPyObjects([points], SIDE, SIDE)[0] for _, points in wanted]
        masks = coco_mask.decode(rles).transpose(2, 0, 1) if rles else np.zeros((0, SIDE, SIDE))
        assert [CLASSES[i.label - 1] for i in record.instances] == [label for label, _ in wanted]
        assert np.array_equal(instance_masks(record), masks)
        assert [i.area for i in record.instances] == masks.sum((1, 2)).tolist()


def test_id_masks_of_the_same_scenes_are_the_same_outlines(tmp_path):
    write("coco", tmp_path / "coco", range(6))
    (tmp_path / "ids" / "masks").mkdir(parents=True)
    for record in read_data(tmp_path / "coco").images:
        draw_picture(tmp_path / "ids" / "images", int(record.path.stem.split()[1]))
        ids = np.zeros((SIDE, SIDE), np.uint8)
        for number, instance in enumerate(record.instances[:1], start=1):
            ids[coco_mask.decode(to_rle(instance.segmentation, SIDE, SIDE)) > 0] = number
        Image.fromarray(ids).save(tmp_path / "ids" / "masks" / f"{record.path.stem}.png")
    ids, coco = read_data(tmp_path / "ids"), read_data(tmp_path / "coco")
    by_name = {record.path.name: record for record in coco.images}
    for record in ids.images:
        first = instance_masks(by_name[record.path.name])[:1]
        assert np.array_equal(instance_masks(record), first)


def balloon(root):
    for part, numbers in (("train", range(4)), ("val", range(10, 12))):
        write_via(root / part, numbers)


def roboflow(root):
    for part, numbers in (("train", range(4)), ("valid", range(10, 12)), ("test", range(20, 21))):
        write_coco(root / part, numbers, root / part / "_annotations.coco.json")


def coco_2017(root):
    for part, numbers in (("train", range(4)), ("val", range(10, 12))):
        path = root / "annotations" / f"instances_{part}2017.json"
        write_coco(root / f"{part}2017", numbers, path)


def labelme_pairs(root):
    for part, numbers in (("train", range(4)), ("test", range(10, 12))):
        write_labelme(root / part, numbers, root / f"{part}_json")


@pytest.mark.parametrize("layout", [balloon, roboflow, coco_2017, labelme_pairs])
def test_data_that_comes_in_parts_is_trained_and_judged_by_its_parts(layout, tmp_path):
    layout(tmp_path / "data")
    data = open_training_data(str(tmp_path / "data"))

    assert (len(data.train), len(data.val)) == (4, 2)
    assert data.train.data.classes == CLASSES
    description = json.loads(json.dumps(data.description()))
    judged = open_evaluation_data(description, CLASSES)
    assert judged.data.fingerprint() == data.val.data.fingerprint()
    assert len(open_evaluation_data(description, CLASSES, part="train")) == 4


def test_an_only_part_is_no_pair(tmp_path):
    write_via(tmp_path / "train", range(3))
    assert find_parts(tmp_path) is None


def test_images_of_a_coco_file_can_lie_elsewhere(tmp_path):
    write_coco(tmp_path / "pictures", range(6), tmp_path / "labels" / "all.json")
    data = open_training_data(str(tmp_path / "labels"), options=ReadOptions(tmp_path / "pictures"))

    assert len(data.train) + len(data.val) == 6
    assert len(open_evaluation_data(data.description(), CLASSES)) == len(data.val)
    write_labelme(tmp_path / "lm", range(2), tmp_path / "lm")
    with pytest.raises(DataError, match="no use for --images"):
        read_data(tmp_path / "lm", options=ReadOptions(tmp_path / "pictures"))


def test_every_reader_refuses_an_empty_folder(tmp_path):
    for name, reader in READERS.items():
        assert not reader.recognises(tmp_path), name
        with pytest.raises(DataError):
            read_data(tmp_path, name)
