"""What predict.py leaves."""

from __future__ import annotations

import contextlib
import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from nets.contract import Prediction
from utils.data.records import encode_mask
from utils.prediction.outputs import PredictionWriter, overlay_name, overlay_names

CLASSES = ("cat", "dog")


def picture(height=40, width=60) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def prediction(*labels, height=40, width=60) -> Prediction:
    """One 10 x 12 object per label, side by side."""
    masks = []
    for n in range(len(labels)):
        mask = np.zeros((height, width), np.uint8)
        mask[20:32, 11 * n : 11 * n + 10] = 1
        masks.append(mask)
    count = len(labels)
    return Prediction(
        boxes=torch.tensor([[11.0 * n, 20, 11 * n + 10, 32] for n in range(count)]).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.tensor([0.9 - n / 8 for n in range(count)], dtype=torch.float64),
        masks=[encode_mask(mask) for mask in masks],
    )


def counts(folder) -> list[list[str]]:
    with open(folder / "counts.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_no_pictures_leave_empty_but_valid_files(tmp_path):
    assert PredictionWriter(tmp_path, CLASSES, []).finish() == {}
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert (content["images"], content["annotations"]) == ([], [])
    assert counts(tmp_path) == [["image", "cat", "dog", "total"], ["total", "0", "0", "0"]]


def test_predictions_open_with_pycocotools_and_hold_what_was_given(tmp_path):
    given = {"a.png": prediction(2, 1), "empty.png": prediction(), "图像 b.jpg": prediction(1)}
    writer = PredictionWriter(tmp_path, CLASSES, list(given))
    for number, found in enumerate(given.values()):
        writer.add(number, picture(), found)
    writer.finish()

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "predictions.json"))
    images = coco.loadImgs(coco.getImgIds())
    assert [(i["file_name"], i["width"], i["height"]) for i in images] == [
        (name, 60, 40) for name in given
    ]
    assert coco.loadCats([1, 2]) == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    ids = [annotation["id"] for annotation in coco.dataset["annotations"]]
    assert ids == [1, 2, 3]
    for image, found in zip(images, given.values(), strict=True):
        annotations = coco.imgToAnns[image["id"]]
        assert [a["category_id"] for a in annotations] == found["labels"].tolist()
        assert [a["score"] for a in annotations] == found["scores"].tolist()
        assert [a["segmentation"] for a in annotations] == found["masks"]
        for n, annotation in enumerate(annotations):
            assert annotation["bbox"] == [11 * n, 20, 10, 12]
            assert annotation["area"] == 120
            assert coco.annToMask(annotation).sum() == 120


def test_counts_are_by_image_and_class_with_totals(tmp_path):
    writer = PredictionWriter(tmp_path, CLASSES, ["a, b.png", "none.png", "c.png"])
    assert writer.add(0, picture(), prediction(2, 1, 1)) == {"cat": 2, "dog": 1}
    assert writer.add(1, picture(), prediction()) == {}
    assert writer.add(2, picture(), prediction(2)) == {"dog": 1}
    assert writer.finish() == {"cat": 2, "dog": 2}
    assert counts(tmp_path) == [
        ["image", "cat", "dog", "total"],
        ["a, b.png", "2", "1", "3"],
        ["none.png", "0", "0", "0"],
        ["c.png", "0", "1", "1"],
        ["total", "2", "2", "4"],
    ]


def test_overlays_have_the_original_size_and_folder(tmp_path):
    writer = PredictionWriter(tmp_path, CLASSES, ["sub/wide.png", "plain.png"])
    writer.add(0, picture(35, 90), prediction(1, height=35, width=90))
    writer.add(1, picture(), prediction())
    with Image.open(tmp_path / "sub" / "wide.png") as overlay:
        assert overlay.size == (90, 35)
        assert (np.asarray(overlay)[25, 5] != 100).any()
    with Image.open(tmp_path / "plain.png") as overlay:
        assert (np.asarray(overlay) == 100).all()


@pytest.mark.parametrize(
    ("name", "saved", "format"),
    [
        ("a.png", "a.png", "PNG"),
        ("a.JPG", "a.JPG", "JPEG"),
        ("sub/a.jpeg", "sub/a.jpeg", "JPEG"),
        ("a.tiff", "a.tiff.png", "PNG"),
        ("a.b.webp", "a.b.webp.png", "PNG"),
        ("none", "none.png", "PNG"),
    ],
)
def test_overlays_keep_their_name_or_become_png(tmp_path, name, saved, format):
    assert overlay_name(name) == saved
    PredictionWriter(tmp_path, CLASSES, [name]).add(0, picture(), prediction())
    with Image.open(tmp_path / saved) as overlay:
        assert overlay.format == format


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], []),
        (["a.png", "sub/a.png"], ["a.png", "sub/a.png"]),
        (["a.bmp", "a.bmp.png"], ["a.bmp.png", "_a.bmp.png"]),
        (["a.bmp.png", "a.bmp", "_a.bmp"], ["a.bmp.png", "_a.bmp.png", "__a.bmp.png"]),
    ],
)
def test_no_two_overlays_have_one_name(names, wanted):
    assert overlay_names(names) == wanted


def test_two_writers_leave_what_one_does(tmp_path):
    given = {"b.bmp": prediction(2, 1), "b.bmp.png": prediction(1), "a.png": prediction(2, 2)}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    alone = PredictionWriter(tmp_path / "one", CLASSES, list(given))
    first, second = (PredictionWriter(tmp_path / "two", CLASSES, list(given)) for _ in range(2))
    for number, found in enumerate(given.values()):
        alone.add(number, picture(), found)
    for writer, number in ((second, 1), (first, 2), (first, 0)):
        writer.add(number, picture(), list(given.values())[number])
    alone.finish()
    first.finish(second.predicted)
    left = {p.name: p.read_bytes() for p in (tmp_path / "one").iterdir()}
    assert {p.name: p.read_bytes() for p in (tmp_path / "two").iterdir()} == left
    assert len(left) == 5


def test_a_picture_that_is_missing_leaves_its_number_free(tmp_path):
    writer = PredictionWriter(tmp_path, CLASSES, ["a.png", "broken.png", "c.png"])
    for number in (0, 2):
        writer.add(number, picture(), prediction(1))
    writer.finish()
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert [(i["id"], i["file_name"]) for i in content["images"]] == [(1, "a.png"), (3, "c.png")]
    assert [(a["id"], a["image_id"]) for a in content["annotations"]] == [(1, 1), (2, 3)]
