"""predictions.json: a COCO data set that pycocotools opens, whole or as it was before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from utils.data.records import encode_mask
from utils.prediction.journal import Record
from utils.prediction.predictions_json import write_predictions

CLASSES = ("cat", "狗")


def found(label, x, score) -> dict:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, x : x + 3] = 1
    return {
        "category_id": label, "bbox": [x, 4.0, 3.0, 5.0], "area": 15.0, "score": score,
        "iscrowd": 0, "segmentation": encode_mask(mask),
    }  # fmt: skip


def record(name, *objects, **fields) -> Record:
    return Record(name=name, stem="s", stamp=[1], width=30, height=20, objects=objects, **fields)


def test_no_pictures_are_a_valid_data_set(tmp_path, capsys):
    write_predictions(tmp_path / "p.json", CLASSES, list)
    coco = COCO(str(tmp_path / "p.json"))
    assert (coco.getImgIds(), coco.getAnnIds(), coco.getCatIds()) == ([], [], [1, 2])
    coco.info()
    assert "description: objects found by predict.py" in capsys.readouterr().out


def test_pycocotools_reads_what_was_found(tmp_path):
    records = [
        record("图/b.png", found(2, 1, 0.9), found(1, 10, 0.5), turn=3, measurements=[{}, {}]),
        record("empty.png"),
        record("v/0.png", found(1, 20, 0.25), video="v", frame=7, seconds=0.28),
    ]
    write_predictions(tmp_path / "p.json", CLASSES, lambda: iter(records))
    coco = COCO(str(tmp_path / "p.json"))
    assert coco.dataset["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "狗"}]
    size = {"width": 30, "height": 20}
    assert coco.dataset["images"] == [
        {"id": 1, "file_name": "图/b.png", **size},
        {"id": 2, "file_name": "empty.png", **size},
        {"id": 3, "file_name": "v/0.png", **size, "video": "v", "frame": 7, "seconds": 0.28},
    ]
    places = [(1, 1, records[0]), (2, 1, records[0]), (3, 3, records[2])]
    assert [(a["id"], a["image_id"]) for a in coco.dataset["annotations"]] == [
        place[:2] for place in places
    ]
    given = [one for record in records for one in record["objects"]]
    for annotation, one in zip(coco.dataset["annotations"], given, strict=True):
        assert {name: annotation[name] for name in one} == one
        mask = coco.annToMask(annotation)
        assert mask.sum() == 15
        assert mask[4:9, int(one["bbox"][0]) :][:, :3].all()


def test_an_error_half_way_leaves_the_file_as_it_was(tmp_path):
    write_predictions(tmp_path / "p.json", CLASSES, lambda: [record("a.png")])
    before = (tmp_path / "p.json").read_bytes()

    def broken():
        yield record("b.png", found(1, 1, 0.5))
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error") as error:
        write_predictions(tmp_path / "p.json", CLASSES, broken)
    assert error.value.filename == str(tmp_path / "p.json")
    assert (tmp_path / "p.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_records_are_looked_at_one_at_a_time(tmp_path):
    """Never more than one is in memory, however many there are."""
    alive = []

    class Counted(dict):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            alive.append(1)

        def __del__(self):
            alive.pop()

    most = []

    def records():
        for number in range(50):
            yield Counted(record(f"{number}.png"))
            most.append(len(alive))

    write_predictions(tmp_path / "p.json", CLASSES, records)
    assert len(json.loads(Path(tmp_path / "p.json").read_text())["images"]) == 50
    assert max(most) <= 2
