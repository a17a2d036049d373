"""The same drawn scenes in every format are the same data, in every folder layout."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torchvision.ops import masks_to_boxes

from my_dataset import READERS, read_data
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, encode_mask, instance_masks
from utils.data_parts import find_parts
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.open_data import open_training_data
from utils.open_judged_data import open_evaluation_data

CLASSES = ("cell", "lesion")
SIDE = 120


def scene(number):
    """Polygons of a scene as (class, xy numbers), which do not overlap; every third scene has no
    object."""
    rng = np.random.default_rng(number)
    if number % 3 == 2:
        return []
    objects = []
    for cell in rng.permutation(4)[: rng.integers(1, 4)]:
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        x, y = (30, 90)[cell % 2] + rng.uniform(-4, 4), (30, 90)[cell // 2] + rng.uniform(-4, 4)
        radius = rng.uniform(12, 25, 9)
        points = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1).round(2)
        objects.append((CLASSES[int(rng.integers(2))], points.ravel().tolist()))
    return objects


def filled(points):
    """The pixels of a polygon."""
    return coco_mask.decode(coco_mask.frPyObjects([points], SIDE, SIDE)[0])


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


def write_id_masks(folder, numbers):
    """All objects of an image in one mask, their classes in a table."""
    rows = ["mask,id,class"]
    (folder / "masks").mkdir(parents=True)
    for number in numbers:
        name = draw_picture(folder / "images", number)
        ids = np.zeros((SIDE, SIDE), np.uint16)
        for n, (label, points) in enumerate(scene(number)):
            ids[filled(points) > 0] = 7 + 300 * n
            rows.append(f"{name},{7 + 300 * n},{label}")
        Image.fromarray(ids).save(folder / "masks" / name)
    (folder / "mask_classes.csv").write_text("\n".join(rows), encoding="utf-8")


def write_yolo(folder, numbers):
    write_yolo_part(folder / "images" / "train", folder / "labels" / "train", numbers)
    text = "path: .\ntrain: images/train\nnames: [cell, lesion]\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def write_yolo_part(images, labels, numbers):
    labels.mkdir(parents=True)
    for number in numbers:
        name = draw_picture(images, number)
        rows = [
            " ".join([str(CLASSES.index(label)), *(f"{value / SIDE:.6f}" for value in points)])
            for label, points in scene(number)
        ]
        (labels / name.replace(".png", ".txt")).write_text("\n".join(rows), encoding="utf-8")


WRITERS = {
    "id-masks": write_id_masks,
    "coco": lambda folder, numbers: write_coco(folder / "images", numbers, folder / "all.json"),
    "labelme": lambda folder, numbers: write_labelme(folder, numbers, folder),
    "via": write_via,
    "yolo": write_yolo,
}


@pytest.fixture(scope="module")
def thirty_scenes(tmp_path_factory):
    """The same thirty scenes in every format, read with nothing said but the folder."""
    data = {}
    for format, write in WRITERS.items():
        folder = tmp_path_factory.mktemp(format) / "data"
        write(folder, range(30))
        data[format] = read_data(folder)
    return data


def number_of(record):
    return int(record.path.stem.split()[1])


def test_every_reader_is_held_against_the_others():
    assert set(WRITERS) == set(READERS)


@pytest.mark.parametrize("format", WRITERS)
def test_every_format_gives_the_drawn_objects(format, thirty_scenes):
    data = thirty_scenes[format]
    assert (data.format, data.classes) == (format, CLASSES)
    assert len(data.images) == 30
    for record in data.images:
        wanted = scene(number_of(record))
        assert [CLASSES[i.label - 1] for i in record.instances] == [label for label, _ in wanted]
        masks = instance_masks(record)
        assert [i.area for i in record.instances] == masks.sum((1, 2)).tolist()
        for mask, expected in zip(masks, [filled(points) for _, points in wanted], strict=True):
            overlap = (mask & expected).sum() / (mask | expected).sum()
            # YOLO's numbers are rounded shares of the side, which moves a pixel now and then.
            assert overlap >= (0.98 if format == "yolo" else 1)


def detections(record, classes):
    """What some weights might find: objects shifted by chance, some missed, some imagined."""
    rng = np.random.default_rng(number_of(record))
    masks, labels = [], []
    for label, points in scene(number_of(record)):
        if rng.random() < 0.8:
            masks.append(np.roll(filled(points), rng.integers(-4, 5, 2), axis=(0, 1)))
            labels.append(classes.index(label) + 1)
    masks.append(np.eye(SIDE, dtype=np.uint8))
    labels.append(1)
    order = np.sort(rng.random(len(masks)))[::-1]
    boxes = masks_to_boxes(torch.from_numpy(np.array(masks))) + torch.tensor([0, 0, 1, 1])
    return {
        "boxes": boxes.float(),
        "labels": torch.tensor(labels),
        "scores": torch.tensor(order.copy()).float(),
        "masks": [encode_mask(mask) for mask in masks],
    }


def test_every_format_gives_the_same_ap(thirty_scenes):
    metrics = {}
    for format, data in thirty_scenes.items():
        evaluator = CocoEvaluator(data)
        for record in data.images:
            evaluator.process(record.image_id, detections(record, data.classes))
        metrics[format] = evaluator.evaluate()
    assert 0.2 < metrics["coco"]["segm/AP"] < 0.9
    for format, found in metrics.items():
        tolerance = 0.005 if format == "yolo" else 1e-12
        assert found == pytest.approx(metrics["coco"], abs=tolerance), format


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


def roboflow_yolo(root):
    for part, numbers in (("train", range(4)), ("valid", range(10, 12)), ("test", range(20, 21))):
        write_yolo_part(root / part / "images", root / part / "labels", numbers)
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    (root / "data.yaml").write_text(text + "nc: 2\nnames: ['cell', 'lesion']\n")


def test_a_data_yaml_divides_its_set(tmp_path):
    roboflow_yolo(tmp_path / "data")
    assert find_parts(tmp_path / "data") == {}
    notes = open_training_data(str(tmp_path / "data")).notes
    assert any("4 images to train on, 2 held out" in note for note in notes)
    pooled = open_training_data(str(tmp_path / "data"), folds=3, fold=1)
    assert (len(pooled.train), len(pooled.val)) == (4, 2)
    names = {name.split("/")[0] for name in (*pooled.split.train, *pooled.split.val)}
    assert names == {"train", "valid"}


@pytest.mark.parametrize("layout", [balloon, roboflow, roboflow_yolo, coco_2017, labelme_pairs])
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
    assert find_parts(tmp_path) == {}


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
