"""Each cause of AP 0 put into right predictions, and scenes of which nothing can be said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.records import ImageRecord, Instance, RecordSet, encode_mask
from utils.evaluation.zero_ap import why_zero

HEIGHT, WIDTH = 90, 130
CLASSES = ("cat", "dog", "hen")


def l_shape(x, y, width, height) -> np.ndarray:
    """An outline without symmetry, whose two bars are alike in size."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width // 5] = True
    mask[y : y + height // 5, x : x + width] = True
    return mask


def drawn(images=12, classes=CLASSES, seed=0) -> RecordSet:
    """Two objects in the upper right of each image, at places and sizes of their own."""
    rng = np.random.default_rng(seed)
    records = []
    for n in range(1, images + 1):
        instances = [
            Instance.from_mask(
                1 + (n + right) % len(classes),
                l_shape(rng.integers(66, 78) + 32 * right, rng.integers(0, 16),
                        rng.integers(10, 20), rng.integers(14, 28)),
            )
            for right in (0, 1)
        ]  # fmt: skip
        records.append(ImageRecord(n, Path(f"root/{n}.png"), WIDTH, HEIGHT, tuple(instances)))
    return RecordSet(Path("root"), "drawn", tuple(classes), tuple(records))


def found(instances, scores=None, boxes=None) -> Prediction:
    corners = [(x, y, x + w, y + h) for x, y, w, h in (i.bbox for i in instances)]
    return Prediction(
        boxes=torch.tensor(corners if boxes is None else boxes).float().reshape(-1, 4),
        labels=torch.tensor([i.label for i in instances], dtype=torch.int64),
        scores=torch.tensor(scores or [0.9] * len(instances)),
        masks=[i.segmentation for i in instances],
    )


def perfect(data) -> dict[int, Prediction]:
    return {record.image_id: found(record.instances) for record in data.images}


def with_boxes(data, change):
    """``change``: (x1, y1, x2, y2) of a right box to the predicted one."""
    predictions = perfect(data)
    for prediction in predictions.values():
        prediction["boxes"] = torch.tensor(
            [[float(side) for side in change(*box)] for box in prediction["boxes"].tolist()]
        ).float()
    return predictions


def with_masks(data, change):
    """``change``: a right mask, cut to its box, to the predicted mask in the box."""
    predictions = perfect(data)
    for record in data.images:
        masks = []
        for instance in record.instances:
            x, y, w, h = map(int, instance.bbox)
            mask = coco_mask.decode(instance.segmentation).astype(bool)
            mask[y : y + h, x : x + w] = change(mask[y : y + h, x : x + w])
            masks.append(encode_mask(mask))
        predictions[record.image_id]["masks"] = masks
    return predictions


def with_labels(data, names):
    predictions = perfect(data)
    for prediction in predictions.values():
        prediction["labels"] = torch.tensor([names[n] for n in prediction["labels"].tolist()])
    return predictions


def only(sentences) -> str:
    assert len(sentences) == 1, sentences
    return sentences[0]


# Nothing to be said


@pytest.mark.parametrize("images", [0, 3])
def test_no_objects(images):
    empty = tuple(replace(record, instances=()) for record in drawn(images).images)
    data = replace(drawn(), images=empty)
    assert why_zero(data, {}) == []
    assert why_zero(data, perfect(drawn(images))) == []


def test_only_crowds():
    crowds = tuple(
        replace(r, instances=tuple(replace(i, iscrowd=1) for i in r.instances))
        for r in drawn().images
    )
    for predictions in ({}, perfect(drawn())):
        assert why_zero(replace(drawn(), images=crowds), predictions) == []


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_fair_detector(share):
    """A share of the objects is found, the rest of the detections are anywhere."""
    data, other = drawn(40), drawn(40, seed=1)
    rng = np.random.default_rng(5)
    predictions = {
        here.image_id: found(
            [a if rng.random() < share else b
             for a, b in zip(here.instances, there.instances, strict=True)]
        )
        for here, there in zip(data.images, other.images, strict=True)
    }  # fmt: skip
    assert why_zero(data, predictions) == []


def test_too_few_to_say_anything():
    data = drawn(2)
    assert why_zero(data, with_labels(data, {1: 2, 2: 1, 3: 3})) == []
    assert why_zero(data, with_boxes(data, lambda x1, y1, x2, y2: (y1, x1, y2, x2))) == []


def test_most_follow_no_rule():
    """A mistake with too few of the boxes, and masks of which too many fit."""
    data = drawn(30)
    exchanged = with_boxes(data, BOX_CHANGES["x and y are exchanged"])
    nowhere = with_boxes(data, lambda *box: (0, HEIGHT - 5, 5, HEIGHT))
    predictions = {n: (exchanged if n % 5 < 2 else nowhere)[n] for n in exchanged}
    assert only(why_zero(data, predictions)).startswith("the boxes are poor")

    mirrored = with_masks(data, lambda crop: crop[:, ::-1])
    few = {n: perfect(data)[n] if n < 3 else mirrored[n] for n in range(1, 9)}
    assert why_zero(data, few) == []


# Nothing predicted, or of other images


@pytest.mark.parametrize("predictions", [{}, {1: found([])}, {n: found([]) for n in range(1, 13)}])
def test_nothing_predicted(predictions):
    sentence = only(why_zero(drawn(), predictions))
    assert sentence.startswith("next to nothing was predicted: 0 detections in 12 images with 24 ")


def test_other_image_ids():
    data = drawn()
    predictions = {100 + n: prediction for n, prediction in perfect(data).items()}
    sentence = only(why_zero(data, predictions))
    assert sentence.startswith("0 of the 12 image ids of the predictions are among the 12 of the")
    assert sentence.endswith("the lowest is 101, that of the data 1")


def test_masks_of_another_size():
    data, predictions = drawn(), perfect(drawn())
    for prediction in predictions.values():
        prediction["masks"] = [encode_mask(np.ones((20, 30), bool))] * 2
    sentence = only(why_zero(data, predictions))
    assert sentence.startswith("24 of 24 masks do not have the size of their image")
    assert "30 x 20 px in an image of 130 x 90" in sentence


# Classes


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({1: 2, 2: 3, 3: 4}, "labels are shifted: 1 too high for 24 of 24 detections"),
        ({1: 0, 2: 1, 3: 2}, "labels are shifted: 1 too low for 24 of 24 detections"),
        ({1: 2, 2: 3, 3: 1},
         "classes are exchanged: cat is called dog; dog is called hen; hen is called cat (24 of"),
        ({1: 2, 2: 1, 3: 3}, "classes are exchanged: cat is called dog; dog is called cat (16 of"),
        ({1: 1, 2: 1, 3: 3}, "classes are mistaken: dog is called cat (8 of 8 "),
    ],
)  # fmt: skip
def test_labels(names, wanted):
    *before, last = why_zero(drawn(), with_labels(drawn(), names))
    assert last.startswith(wanted)
    strange = [label for label in names.values() if not 1 <= label <= 3]
    assert len(before) == len(strange)
    for label, sentence in zip(strange, before, strict=True):
        assert sentence == (
            f"8 of 24 detections have labels that the data does not have ({label}; it has 1 to 3)"
        )


def test_images_without_objects_or_detections():
    data = drawn()
    predictions = with_labels(data, {1: 2, 2: 3, 3: 1})
    predictions[1] = found([])
    del predictions[2]
    bare = replace(data.images[2], instances=())
    data = replace(data, images=(*data.images[:2], bare, *data.images[3:]))
    assert "(18 of 18 detections" in only(why_zero(data, predictions))


def test_one_class_counted_from_two():
    data = drawn(classes=("cat",))
    strange, shifted = why_zero(data, with_labels(data, {1: 2}))
    assert strange.startswith("24 of 24 detections have labels that the data does not have (2; ")
    assert shifted.startswith("labels are shifted: 1 too high for 24 of 24 ")


def test_classes_at_random():
    data = drawn(40)
    predictions = perfect(data)
    rng = np.random.default_rng(0)
    for prediction in predictions.values():
        right = prediction["labels"].numpy()
        prediction["labels"] = torch.from_numpy((right + rng.integers(1, 3, 2) - 1) % 3 + 1)
    sentence = only(why_zero(data, predictions))
    assert sentence.startswith("80 of the 80 surest boxes fit an object, 0 of them with its class")


def test_a_class_that_is_never_predicted():
    data, predictions = drawn(), perfect(drawn())
    for prediction in predictions.values():
        keep = torch.nonzero(prediction["labels"] != 2).flatten().tolist()
        for name in ("boxes", "labels", "scores"):
            prediction[name] = prediction[name][keep]
        prediction["masks"] = [prediction["masks"][n] for n in keep]
    wanted = "no detection has the class dog, of which there are 8"
    assert only(why_zero(data, predictions)) == wanted


def test_a_class_that_is_poor():
    data, other = drawn(), drawn(seed=1)
    predictions = {
        here.image_id: found(
            [b if a.label == 2 else a for a, b in zip(here.instances, there.instances, strict=True)]
        )
        for here, there in zip(data.images, other.images, strict=True)
    }
    nearest = [
        float(coco_mask.iou([b.segmentation], [a.segmentation], [0])[0, 0])
        for here, there in zip(data.images, other.images, strict=True)
        for a, b in zip(here.instances, there.instances, strict=True)
        if a.label == 2
    ]
    assert only(why_zero(data, predictions)) == (
        "dog: the detection of this class nearest to each of the 8 objects overlaps it by mask "
        f"IoU {np.median(nearest):.2f} in the median, 0.5 would count"
    )


def test_an_unsure_detection_of_a_class_is_enough():
    """A class that is found at low scores only has an AP, though no sure detection has it."""
    data = drawn()
    predictions = perfect(data)
    for record in data.images:
        sure = [replace(i, label=1 + i.label % 3) for i in record.instances]
        predictions[record.image_id] = found([*sure, *record.instances], [0.9, 0.9, 0.2, 0.2])
    shown = why_zero(data, predictions)
    assert only(shown).startswith("classes are exchanged: cat is called dog")
    one = {1: 1, 2: 3, 3: 3}
    for record in data.images:
        sure = [replace(i, label=one[i.label]) for i in record.instances]
        predictions[record.image_id] = found([*sure, *record.instances], [0.9, 0.9, 0.2, 0.2])
    assert why_zero(data, predictions) == []


# Boxes


def turned(x1, y1, x2, y2):
    """A box of the picture turned clockwise, by turning its pixels."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    rows, columns = np.nonzero(np.rot90(mask, -1))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


W, H = WIDTH, HEIGHT
BOX_CHANGES = {
    "x and y are exchanged": lambda x1, y1, x2, y2: (y1, x1, y2, x2),
    "width and height stand in place": lambda x1, y1, x2, y2: (x1, y1, x2 - x1, y2 - y1),
    "they are shares of the image's": lambda x1, y1, x2, y2: (x1 / W, y1 / H, x2 / W, y2 / H),
    "mirrored left to right": lambda x1, y1, x2, y2: (W - x2, y1, W - x1, y2),
    "upside down": lambda x1, y1, x2, y2: (x1, H - y2, x2, H - y1),
    "turned by 180 degrees": lambda x1, y1, x2, y2: (W - x2, H - y2, W - x1, H - y1),
    "turned by 90 degrees clockwise": turned,
    "turned by 90 degrees counterclockwise": lambda x1, y1, x2, y2: (y1, W - x2, y2, W - x1),
    "of images 2.50 times as large": lambda *box: tuple(2.5 * side for side in box),
    "of images 0.30 times as large": lambda *box: tuple(0.3 * side for side in box),
}


@pytest.mark.parametrize("what", BOX_CHANGES)
def test_boxes(what):
    data = drawn()
    sentence = only(why_zero(data, with_boxes(data, BOX_CHANGES[what])))
    assert sentence.startswith("the boxes do not fit because ")
    assert what in sentence
    assert "with that undone 24 of the 24 surest fit an object" in sentence


def test_scale_of_unsteady_boxes():
    rng = np.random.default_rng(0)

    def change(x1, y1, x2, y2):
        return 3 * (np.array([x1, y1, x2, y2]) + rng.normal(0, 1, 4))

    data = drawn(30)
    sentence = only(why_zero(data, with_boxes(data, change)))
    factor = float(sentence.split("of images ")[1].split()[0])
    assert factor == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize(("step", "where"), [(1, "after"), (-1, "before")])
def test_the_next_image(step, where):
    data = drawn()
    images = list(data.images)
    moved = images[step:] + images[:step]
    predictions = {
        image.image_id: found(other.instances) for image, other in zip(images, moved, strict=True)
    }
    assert f"because they are those of the image {where} it" in only(why_zero(data, predictions))


def test_poor_boxes():
    data, other = drawn(30), drawn(30, seed=9)
    predictions = {record.image_id: found(record.instances) for record in other.images}
    sentence = only(why_zero(data, predictions))
    assert sentence.startswith("the boxes are poor: the 60 surest detections, as many as there are")


def test_only_the_surest_are_judged():
    """Right boxes with the lowest scores do not hide that the surest are poor."""
    data, other = drawn(30), drawn(30, seed=9)
    predictions = {
        here.image_id: found([*here.instances, *there.instances], [0.1, 0.1, 0.8, 0.9])
        for here, there in zip(data.images, other.images, strict=True)
    }
    assert only(why_zero(data, predictions)).startswith("the boxes are poor: the 60 surest")


def test_detections_on_a_crowd_do_not_count():
    data = drawn()
    crowd = Instance.from_mask(1, np.pad(np.ones((10, WIDTH), bool), ((80, 0), (0, 0))), 1)
    on_crowd = Instance.from_mask(1, np.pad(np.ones((8, 50), bool), ((80, 2), (0, WIDTH - 50))))
    images = tuple(
        replace(r, instances=(crowd, *(replace(i, bbox=i.bbox) for i in r.instances)))
        for r in data.images
        if all(i.bbox[1] + i.bbox[3] <= 80 for i in r.instances)
    )
    predictions = {
        r.image_id: found([on_crowd] * 2 + list(r.instances[1:]), [0.9] * 2 + [0.5] * 2)
        for r in images
    }
    assert len(images) > 5
    assert why_zero(replace(data, images=images), predictions) == []


# Masks


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda crop: crop[:, ::-1], "they are mirrored left to right in their boxes; with that"),
        (lambda crop: crop[::-1], "they are upside down in their boxes; with that undone 20 of 20"),
        (lambda crop: crop[::-1, ::-1], "they are turned by 180 degrees in their boxes"),
        (lambda crop: ~crop, "they are inverted in their boxes"),
        (lambda crop: crop & False, "24 masks are empty"),
        (lambda crop: crop | True, "their area is "),
    ],
)  # fmt: skip
def test_masks(change, wanted):
    data = drawn()
    sentence = only(why_zero(data, with_masks(data, change)))
    assert sentence.startswith("of 24 detections whose box and class are right, 0 have a mask that")
    assert wanted in sentence


def test_masks_that_are_shifted():
    data, predictions = drawn(), perfect(drawn())
    for prediction in predictions.values():
        prediction["masks"] = [
            encode_mask(np.roll(coco_mask.decode(rle), (30, -20), (0, 1)))
            for rle in prediction["masks"]
        ]
    assert "in the median they lie " in only(why_zero(data, predictions))
    moved = drawn()
    small = tuple(
        replace(r, instances=tuple(Instance.from_mask(i.label, l_shape(50, 10, 20, 24))
                                   for i in r.instances[:1]))
        for r in moved.images
    )  # fmt: skip
    predictions = perfect(replace(moved, images=small))
    for prediction in predictions.values():
        prediction["masks"] = [encode_mask(l_shape(30, 40, 20, 24))]
    sentence = only(why_zero(replace(moved, images=small), predictions))
    assert "12 do not lie in the middle of their boxes" in sentence
    assert "lie -20 px to the right and +30 px down" in sentence


def test_masks_of_one_class():
    data = drawn()
    predictions, mirrored = perfect(data), with_masks(data, lambda crop: crop[:, ::-1])
    for image_id, prediction in predictions.items():
        prediction["masks"] = [
            mirrored[image_id]["masks"][n] if label == 3 else prediction["masks"][n]
            for n, label in enumerate(prediction["labels"].tolist())
        ]
    sentence = only(why_zero(data, predictions))
    assert sentence.startswith("hen: of 8 detections whose box and class are right, 0 have a mask")
    assert "mirrored left to right" in sentence
