"""Detections of other tools: what is read, matched by name, left out and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nets.contract import Prediction
from utils.data.formats.coco import read_coco
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, encode_mask
from utils.evaluation.coco_evaluator import CocoEvaluator
from utils.evaluation.predictions_file import read_predictions
from utils.prediction.found_picture import FoundPicture, Picture
from utils.prediction.outputs import record_of
from utils.prediction.pixels import PixelArray
from utils.prediction.predictions_json import write_predictions

HEIGHT, WIDTH = 48, 64
NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def block(x, y, w, h) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = 1
    return mask


def labelled(*names, classes=("cat", "dog"), objects=()) -> RecordSet:
    """Images of these names, each with the objects (label, mask)."""
    instances = tuple(Instance.from_mask(label, mask) for label, mask in objects)
    records = tuple(
        ImageRecord(n, Path("root") / name, WIDTH, HEIGHT, instances)
        for n, name in enumerate(names, 1)
    )
    return RecordSet(Path("root"), "drawn", classes, records)


def entry(**fields):
    """One detection in a list of results, with fields replaced; None takes one away."""
    usual = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [4, 6, 10, 8]}
    return {name: value for name, value in (usual | fields).items() if value is not None}


def data_set(entries, names=("a.png",), classes=("cat", "dog"), **image):
    return {
        "images": [{"id": n, "file_name": name, **image} for n, name in enumerate(names, 1)],
        "categories": [{"id": 10 * n, "name": name} for n, name in enumerate(classes, 1)],
        "annotations": entries,
    }


@pytest.fixture
def read(tmp_path):
    """Read a content as if it was in a file, against labels of an image or of those given."""

    def read_content(content, data=None, source=""):
        path = tmp_path / "found.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return read_predictions(path, data or labelled("a.png"), source)

    return read_content


# -- what is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [[], data_set([])])
def test_no_detections_are_nothing_found_in_every_image(read, content):
    found = read(content, labelled("a.png", "b.png"))
    assert list(found.of_image) == [1, 2]
    assert found.has_masks
    for prediction in found.of_image.values():
        assert prediction["boxes"].shape == (0, 4)
        assert prediction["masks"] == []
        dtypes = [prediction[name].dtype for name in ("boxes", "labels", "scores")]
        assert dtypes == [torch.float32, torch.int64, torch.float32]


def test_scores_fall_and_equals_stay_in_order(read):
    scores = [(0.25, 1), (0.75, 2), (0.5, 1), (0.75, 1)]
    found = read([entry(score=score, category_id=label) for score, label in scores]).of_image[1]
    assert found["scores"].tolist() == [0.75, 0.75, 0.5, 0.25]
    assert found["labels"].tolist() == [2, 1, 1, 1]


MASK = block(4, 6, 10, 8)
POLYGON = [[4, 6, 14, 6, 14, 14, 4, 14]]
RUNS = [len(run) for run in np.split(MASK.T.ravel(), np.flatnonzero(np.diff(MASK.T.ravel())) + 1)]
OUTLINES = {
    "compressed": encode_mask(MASK),
    "runs": {"size": [HEIGHT, WIDTH], "counts": RUNS},
    "polygons": POLYGON,
    "one bare polygon": POLYGON[0],
}


@pytest.mark.parametrize("outline", OUTLINES.values(), ids=list(OUTLINES))
@pytest.mark.parametrize("box", [None, [], [1, 2, 30, 20]])
def test_masks_of_every_kind_with_and_without_a_box(read, outline, box):
    found = read([entry(bbox=box, segmentation=outline)])
    prediction = found.of_image[1]
    assert found.has_masks
    np.testing.assert_array_equal(coco_mask.decode(prediction["masks"][0]), MASK)
    assert prediction["boxes"].tolist() == [[1, 2, 31, 22] if box else [4, 6, 14, 14]]


def test_boxes_alone_have_no_masks_to_judge(read):
    found = read([entry()])
    assert not found.has_masks
    assert found.of_image[1]["boxes"].tolist() == [[4, 6, 14, 14]]
    mask = coco_mask.decode(found.of_image[1]["masks"][0])
    assert (mask.shape, mask.sum()) == ((HEIGHT, WIDTH), 0)


def test_a_detection_without_pixels_stays_a_detection(read):
    outside = [[200, 200, 220, 200, 220, 220]]
    entries = [entry(score=0.9, segmentation=outside), entry(segmentation=POLYGON), entry(score=0)]
    found = read(entries)
    assert [int(coco_mask.area(mask)) for mask in found.of_image[1]["masks"]] == [0, 80, 0]
    assert found.notes[1] == "1 of 3 detections have no mask and find none"


def test_scores_that_are_rounded_over_one_are_one(read):
    assert read([entry(score=1.0000001)]).of_image[1]["scores"].tolist() == [1.0]


# -- the same numbers as pycocotools ---------------------------------------------------------------


def drawn_case(tmp_path):
    """A COCO data set on disk with ids of its own, and results of both classes for it."""
    rng = np.random.default_rng(5)
    image_ids, category_ids = [0, 7, 12, 44], [3, 90]  # an id of 0 makes the reader count anew
    truth = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in image_ids
        ],
        "categories": [{"id": i, "name": f"class {i}"} for i in category_ids],
        "annotations": [],
    }
    results = []
    for i in image_ids:
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{i}.png")
        for _ in range(6):
            x, y, w, h = (int(rng.integers(low, high)) for low, high in
                          ((0, 30), (0, 20), (8, 30), (8, 24)))  # fmt: skip
            category = category_ids[rng.integers(2)]
            mask = block(x, y, w, h)
            truth["annotations"].append({
                "id": len(truth["annotations"]) + 1, "image_id": i, "category_id": category,
                "bbox": [x, y, w, h], "area": int(mask.sum()), "iscrowd": 0,
                "segmentation": encode_mask(mask),
            })  # fmt: skip
            for _ in range(2):
                moved = np.roll(mask, rng.integers(-3, 4, 2), (0, 1))
                results.append({
                    "image_id": i, "category_id": category, "score": round(float(rng.random()), 1),
                    "bbox": coco_mask.toBbox(encode_mask(moved)).tolist(),
                    "segmentation": encode_mask(moved),
                })  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(truth), "utf-8")
    return results


def by_pycocotools(folder, results, kind):
    truth = COCO(str(folder / "labels.json"))
    if kind == "segm":  # else pycocotools sorts masks in sizes by their boxes
        results = [{k: v for k, v in one.items() if k != "bbox"} for one in results]
    evaluation = COCOeval(truth, truth.loadRes(results), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    named = zip(NAMES, evaluation.stats.tolist(), strict=False)
    return {f"{kind}/{name}": value for name, value in named if value > -1}


def evaluated(data, found):
    evaluator = CocoEvaluator(data)
    for image_id, prediction in found.of_image.items():
        evaluator.process(image_id, prediction)
    return evaluator.evaluate()


@pytest.mark.parametrize("as_data_set", [False, True])
def test_ap_is_that_of_pycocotools_on_the_same_file(tmp_path, as_data_set):
    results = drawn_case(tmp_path)
    content = results
    if as_data_set:
        truth = json.loads((tmp_path / "labels.json").read_text("utf-8"))
        content = {**truth, "annotations": results}
    (tmp_path / "found").mkdir()
    path = tmp_path / "found" / "results.json"
    path.write_text(json.dumps(content), "utf-8")
    data = read_coco(tmp_path)
    found = read_predictions(path, data, tmp_path)
    assert found.notes == ()
    metrics = evaluated(data, found)
    for kind in ("bbox", "segm"):
        wanted = by_pycocotools(tmp_path, results, kind)
        assert 0.1 < wanted[f"{kind}/AP"] < 0.9
        assert {name: metrics[name] for name in wanted} == pytest.approx(wanted, abs=1e-9)


def test_labels_scored_as_detections_are_perfect(tmp_path, read):
    data = labelled("a.png", "b.png", objects=[(1, block(2, 2, 20, 20)), (2, block(30, 5, 9, 9))])
    entries = [
        entry(image_id=n, category_id=10 * one.label, bbox=one.bbox, segmentation=one.segmentation)
        for n in (1, 2)
        for one in data.images[0].instances
    ]
    metrics = evaluated(data, read(data_set(entries, ["a.png", "b.png"]), data))
    assert metrics["segm/AP"] == metrics["bbox/AP"] == 1


def test_what_predict_writes_is_read_as_it_was(tmp_path):
    prediction = Prediction(
        boxes=torch.tensor([[4.0, 6, 14, 14], [1, 2, 31, 22]]),
        labels=torch.tensor([2, 1]),
        scores=torch.tensor([0.9, 0.3]),
        masks=[encode_mask(MASK), encode_mask(block(1, 2, 30, 20))],
    )
    pixels = PixelArray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    picture = Picture("sub/b.png", "sub/b", pixels)
    record = record_of(FoundPicture(picture, prediction, ("cat", "dog")))
    write_predictions(tmp_path / "predictions.json", ("cat", "dog"), lambda: [record])
    data = labelled("a.png", "deep/sub/b.png")
    found = read_predictions(tmp_path / "predictions.json", data, "")
    for name in ("boxes", "labels", "scores"):
        torch.testing.assert_close(found.of_image[2][name], prediction[name], rtol=0, atol=0)
    assert found.of_image[2]["masks"] == prediction["masks"]
    assert found.notes[0].startswith("1 of 2 labelled images are not listed")


def test_a_list_has_the_ids_of_its_part_of_a_coco_set(tmp_path, read):
    """Ids are those of the file that lists the labelled images, of several in the folder."""
    places = {}
    for part, image_id, category in (("train", 1, 1), ("val", 9, 5)):
        (tmp_path / f"{part}2017").mkdir()
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"{part}2017" / f"{part}.png")
        content = {
            "images": [{"id": image_id, "file_name": f"{part}.png"}],
            "categories": [{"id": 2, "name": "dog"}, {"id": category, "name": "cat"}],
            "annotations": [{"id": 1, "image_id": image_id, "category_id": category,
                             "segmentation": POLYGON}],
        }  # fmt: skip
        places[part] = tmp_path / "annotations" / f"instances_{part}2017.json"
        places[part].parent.mkdir(exist_ok=True)
        places[part].write_text(json.dumps(content), "utf-8")
    data = read_coco(places["val"])
    assert data.classes == ("dog", "cat")
    content = [entry(image_id=9, category_id=5)]
    for source in (tmp_path, places["val"]):
        assert read(content, data, source).of_image[9]["labels"].tolist() == [2]
    with pytest.raises(DataError, match="no COCO file here lists the labelled images"):
        read(content, data, places["train"])


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there", "wanted"),
    [
        (["a.png"], ["a.png"], {1: 1}),
        (["a.png"], ["sub/a.png"], {1: 1}),
        (["/elsewhere/sub/a.png"], ["a.png"], {1: 1}),
        (["C:\\data\\sub\\a.png"], ["sub/a.png", "other/a.png"], {1: 1}),
        (["x/a.png", "sub/a.png"], ["sub/a.png"], {2: 1}),  # the second agrees in more
        (["x/a.png", "y/a.png", "sub/a.png"], ["sub/a.png"], {3: 1}),
        (["a.png", "x/a.png"], ["a.png"], {1: 1}),  # the first is the very name
        (["a.png", "b.png"], ["x/a.png", "y/a.png", "b.png"], {2: 3}),  # a.png may be either
        (["a.png", "sub/a.png"], ["a.png", "sub/a.png"], {1: 1, 2: 2}),
        (["sub/a.png", "a.png"], ["a.png", "sub/a.png"], {1: 2, 2: 1}),
        (["a.jpg", "b.png"], ["a.png", "b.png"], {2: 2}),
    ],
)
def test_images_are_matched_by_the_ends_of_their_names(read, here, there, wanted):
    entries = [entry(image_id=n, category_id=10, score=n / 10) for n, _ in enumerate(here, start=1)]
    found = read(data_set(entries, here), labelled(*there)).of_image
    got = {
        round(10 * score): image_id
        for image_id, prediction in found.items()
        for score in prediction["scores"].tolist()
    }
    assert got == wanted


def test_two_names_for_one_image_are_refused(read):
    with pytest.raises(DataError, match=r"1 labelled.*two names here \('x/a.png' and 'y/a.png'\)"):
        read(data_set([], ["x/a.png", "y/a.png"]))


def test_a_list_may_name_its_images(read):
    data = labelled("sub/a.png", "b.png", "12.png")
    names = ["b", "a.png", 3]
    entries = [entry(image_id=name, score=n / 10) for n, name in enumerate(names)]
    entries.append(entry(image_id=1, file_name="12.png", score=0.9))  # the name counts
    found = read(entries, data).of_image
    scores = {i: [round(s, 1) for s in one["scores"].tolist()] for i, one in found.items()}
    assert scores == {1: [0.1], 2: [0.0], 3: [0.9, 0.2]}


def test_classes_are_matched_by_name(read):
    entries = [entry(category_id=10), entry(category_id=20, score=0.4), entry(category_id=30)]
    found = read(data_set(entries, classes=("dog", "cat", "bird")))
    assert found.of_image[1]["labels"].tolist() == [2, 1]
    assert found.notes[0] == (
        "1 of 3 detections left out: of classes that the labels do not have (bird)"
    )


def test_one_class_is_the_other_whatever_the_names(read):
    found = read(
        data_set([entry(category_id=10)], classes=("cell",)), labelled("a.png", classes=("x",))
    )
    assert found.of_image[1]["labels"].tolist() == [1]
    assert found.notes[0] == "class 'cell' is taken for the labels' 'x'"
    with pytest.raises(
        DataError, match=r"none of its classes.*Here: cell. In the labels: cat, dog"
    ):
        read(data_set([], classes=("cell",)))


def test_a_class_that_is_the_background_is_left_out(read):
    entries = [entry(category_id=10), entry(category_id=20)]
    found = read(data_set(entries, classes=("background", "dog")))
    assert found.of_image[1]["labels"].tolist() == [2]


# -- notes -----------------------------------------------------------------------------------------


def test_images_that_are_not_labelled_are_counted(read):
    found = read([entry(), entry(image_id=8), entry(image_id=8), entry(image_id=9.0)])
    assert len(found.of_image[1]["scores"]) == 1
    assert found.notes[1] == (
        "3 of 4 detections left out: in 2 image(s) that the labels do not have, first 8"
    )


def test_what_counted_ids_are_taken_for_is_told(read):
    note = read([entry()]).notes[0]
    assert note.startswith("the labels (drawn) have no ids of their own: category ids are taken")
    assert "for 1 cat, 2 dog; " in note
    assert note.endswith("1 for a.png")
    with pytest.raises(DataError, match=r"count from 0.*1 cat, 2 dog.*add 1"):
        read([entry(), entry(category_id=0)])


def test_repeats_stay_and_are_told(read):
    found = read([entry(), entry(), entry(score=0.4), entry(bbox=[4, 6, 10, 9]), entry()])
    assert len(found.of_image[1]["scores"]) == 5
    assert found.notes[1].startswith("2 of 5 detections have class, score and box of another")


def test_boxes_that_reach_out_are_told(read):
    boxes = [[0, 0, WIDTH + 1, HEIGHT + 1], [30, 20, 50, 40], [60, 2, 3, 3]]
    notes = read([entry(bbox=box) for box in boxes]).notes
    assert notes[1].startswith("1 of 3 boxes reach out of their image")


def test_polygon_parts_that_cannot_be_drawn_are_told(read):
    found = read([entry(segmentation=[*POLYGON, [1, 2, 3, 4]])])
    assert int(coco_mask.area(found.of_image[1]["masks"][0])) == 80
    assert "1 polygon part(s)" in found.notes[1]
    assert "entry 0 of" in found.notes[1]


# -- what is refused -------------------------------------------------------------------------------

WRONG = {
    "empty file": ("", "cannot be read as JSON"),
    "cut short": ('[{"image_id": 1, "cat', r"cannot be read as JSON.*cut short, write it again"),
    "nested": ("[" * 100_000, "cannot be read as JSON"),
    "a number": (3, "holds 3, must be a list of detections"),
    "no lists": ({}, "has no list 'annotations'"),
    "no images": ({"annotations": []}, "has no list 'images'"),
    "labels": (data_set([entry(score=None, category_id=10)]), "are labels and no detections"),
    "no object": ([entry(), 5], "entry 1: 'entry' is 5, must be an object"),
    "no score": ([entry(), entry(score=None)], "entry 1: 'score' is None, must be a number"),
    "score in words": ([entry(score="high")], "'score' is 'high', must be a number"),
    "score true": ([entry(score=True)], "'score' is True, must be a number"),
    "NaN score": ([entry(score=float("nan"))], "entry 0: 'score' is nan, must be a number"),
    "percentages": ([entry(score=85)], "'score' is 85, must lie in 0..1; divide percentages"),
    "logits": ([entry(score=-0.1)], r"'score' is -0.1.*1/\(1\+exp\(-x\)\)"),
    "no image id": ([entry(image_id=None)], "'image_id' is None"),
    "no category": ([entry(category_id=None)], "'category_id' is None"),
    "category by name": ([entry(category_id="cat")], "'category_id' is 'cat'"),
    "nothing to judge": ([entry(bbox=None)], "'bbox' is None, must be there, or a 'segmentation'"),
    "three numbers": ([entry(bbox=[1, 2, 3])], "must be four numbers: x, y, width, height"),
    "infinite box": ([entry(bbox=[1, 2, 3, float("inf")])], "must be four numbers"),
    "negative size": ([entry(bbox=[9, 9, -3, 5])], r"'bbox' is \[9, 9, -3, 5\].*below 0"),
    "unknown images": ([entry(image_id=8)], r"none of its images.*Here: 8. In the labels: 1"),
    "unknown names": (data_set([], ["z.png"]), r"Here: z.png. In the labels: a.png"),
    "unknown categories": ([entry(category_id=5)], r"category ids.*Here: 5. In the labels: 1, 2"),
    "mask of another size": (
        [entry(), entry(segmentation=encode_mask(np.ones((12, 16))))],
        r"entry 1: the mask is of size \[12, 16\] .*a\.png of \[48, 64\]",
    ),
    "image of another size": (
        data_set([], width=32, height=24), "image 'a.png' is 32x24 here and 64x48 in the labels",
    ),
    "broken run lengths": (
        [entry(segmentation={"size": [HEIGHT, WIDTH], "counts": [1, 2]})],
        "must be run lengths with the sum 3072",
    ),
    "no size": ([entry(segmentation={"counts": [1]})], "'segmentation.size' is None"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=list(WRONG))
def test_wrong_files_are_refused(read, content, message):
    with pytest.raises(DataError, match=message) as error:
        read(content)
    assert "found.json" in str(error.value)


def test_all_wrong_entries_are_told_at_once(read):
    with pytest.raises(DataError, match="3 problem") as error:
        read([entry(score=2), entry(), entry(bbox=None), entry(image_id=None)])
    assert len(error.value.problems) == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.json: cannot be read"):
        read_predictions(tmp_path / "nowhere.json", labelled("a.png"), "")


def test_what_may_have_been_left_out_is_told(read):
    two = labelled("a.png", "b.png")
    notes = read([entry(score=0.35), entry(score=0.9)], two).notes
    assert any(note.startswith("no score is below 0.35") for note in notes)
    assert "1 of the 2 images have no detection in the file" in notes
    assert not any("no score" in note for note in read([entry(score=0.05)]).notes)


def test_detections_for_another_reading_of_the_data(read):
    """Of the second image alone, with classes counted otherwise."""
    found = read([entry(score=0.9), entry(image_id=2, score=0.8)], labelled("a.png", "b.png"))
    second = replace(labelled("b.png").images[0], image_id=2)
    data = replace(labelled("b.png", classes=("bird", "cat", "dog")), images=(second,))
    mapped = found.for_data(("cat", "dog"), data)
    assert list(mapped.of_image) == [2]
    assert mapped.of_image[2]["labels"].tolist() == [2]
    assert mapped.of_image[2]["scores"].tolist() == found.of_image[2]["scores"].tolist()
    none = found.for_data(("cat", "dog"), replace(data, classes=("bird", "fish")))
    assert not len(none.of_image[2]["labels"])
    one = found.for_data(("thing",), replace(data, classes=("cell",)))
    assert one.of_image[2]["labels"].tolist() == [1]
