"""``check_target`` names the image, the field and the fault of every wrong target."""

import pytest
import torch

from nets.contract import CompactMasks, TargetError, above, are_shown, check_target

HEIGHT, WIDTH, CLASSES = 12, 16, 3


def good_target(count=2):
    boxes = torch.tensor([[0, 0, 16, 12], [3, 4, 4, 5]], dtype=torch.float32)[:count]
    masks = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    return {
        "boxes": boxes,
        "labels": torch.arange(1, count + 1),
        "masks": masks,
        "image_id": 1,
        "area": masks.sum((1, 2)).float(),
        "iscrowd": torch.zeros(count, dtype=torch.int64),
    }


def check(target):
    check_target(target, HEIGHT, WIDTH, CLASSES, "photos/a.jpg")


def box(*numbers):
    return torch.tensor([[0.0, 0, 16, 12], [float(n) for n in numbers]])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_right_target_passes(count):
    check(good_target(count))


M = good_target()["masks"]
NAN, INF = float("nan"), float("inf")
FAULTS = {
    "boxes (0,)": (0, "boxes", torch.zeros(0), r"is float32 \(0,\), must be float32 \(0, 4\)"),
    "masks (0,)": (0, "masks", torch.zeros(0, dtype=torch.uint8), r"must be uint8 \(0, 12, 16\)"),
    "masks (0, 1, 1)": (0, "masks", torch.zeros(0, 1, 1, dtype=torch.uint8), r"\(0, 1, 1\)"),
    "labels float": (0, "labels", torch.zeros(0), "is float32"),
    "boxes int": (2, "boxes", box(3, 4, 4, 5).long(), "is int64"),
    "boxes one too many": (2, "boxes", torch.zeros(3, 4), r"\(3, 4\), must be float32 \(2, 4\)"),
    "boxes of 5 numbers": (2, "boxes", torch.zeros(2, 5), r"\(2, 5\)"),
    "labels int32": (2, "labels", torch.ones(2, dtype=torch.int32), "is int32"),
    "labels 2-D": (2, "labels", torch.ones(2, 1, dtype=torch.int64), r"\(2, 1\)"),
    "masks bool": (2, "masks", M.bool(), "is bool"),
    "masks turned": (2, "masks", M.transpose(1, 2), r"\(2, 16, 12\), must be uint8 \(2, 12, 16\)"),
    "masks one too many": (2, "masks", torch.cat([M, M[:1]]), r"\(3, 12, 16\)"),
    "area int": (2, "area", torch.ones(2, dtype=torch.int64), "is int64"),
    "area too long": (2, "area", torch.ones(3), r"\(3,\)"),
    "iscrowd uint8": (2, "iscrowd", torch.zeros(2, dtype=torch.uint8), "is uint8"),
    "box NaN": (2, "boxes", box(3, NAN, 4, 5), "not finite"),
    "box infinite": (2, "boxes", box(3, 4, INF, 5), "not finite"),
    "box without width": (2, "boxes", box(3, 4, 3, 5), "without width or height"),
    "box without height": (2, "boxes", box(3, 4, 4, 4), "without width or height"),
    "box inverted": (2, "boxes", box(5, 4, 3, 5), "without width or height"),
    "box left of image": (2, "boxes", box(-1, 4, 4, 5), "outside the 16x12 image"),
    "box above image": (2, "boxes", box(3, -0.5, 4, 5), "outside"),
    "box right of image": (2, "boxes", box(3, 4, 16.5, 5), "outside"),
    "box below image": (2, "boxes", box(3, 4, 4, 13), "outside"),
    "label 0": (2, "labels", torch.tensor([0, 1]), r"must lie in 1\.\.2, found \[0, 1\]"),
    "label K + 1": (2, "labels", torch.tensor([1, 3]), r"must lie in 1\.\.2, found \[1, 3\]"),
    "label negative": (2, "labels", torch.tensor([1, -1]), r"found \[-1, 1\]"),
    "mask 255": (2, "masks", M * 255, "must be 0 or 1, found 255"),
    "mask without a pixel": (2, "masks", M * torch.tensor([1, 0]).view(2, 1, 1).to(M), "a pixel"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_target_is_refused(fault):
    count, field, value, problem = FAULTS[fault]
    with pytest.raises(TargetError, match=rf"^photos/a\.jpg: target '{field}' .*{problem}"):
        check(good_target(count) | {field: value})


@pytest.mark.parametrize("field", sorted(good_target()))
def test_missing_field_is_named(field):
    target = good_target()
    del target[field]
    with pytest.raises(TargetError, match=rf"^photos/a\.jpg: target '{field}' is missing"):
        check(target)


def compact(crops, size=(HEIGHT, WIDTH)):
    tensors = [torch.tensor(crop, dtype=torch.uint8) for crop in crops]
    return CompactMasks.from_crops(tensors, [(3, 4)] * len(crops), size)


def test_compact_masks_pass():
    check(good_target() | {"masks": compact([[[1, 1]], [[0], [1]]])})
    check(good_target(0) | {"masks": compact([])})


@pytest.mark.parametrize(
    ("masks", "problem"),
    [
        (compact([[[1]]]), r"\(1, 12, 16\), must be uint8 \(2, 12, 16\)"),
        (compact([[[1]], [[1]]], (16, 12)), r"\(2, 16, 12\)"),
        (compact([[[1]], [[255]]]), "must be 0 or 1, found 255"),
        (compact([[[1]], [[0, 0]]]), "without a pixel"),
        (compact([[[1]], [[]]]), "without a pixel"),
    ],
)
def test_faults_of_compact_masks_are_named(masks, problem):
    with pytest.raises(TargetError, match=f"photos/a.jpg: target 'masks' .*{problem}"):
        check(good_target() | {"masks": masks})


def test_scores_count_from_the_threshold_of_their_class_on():
    # The two float32 scores next to each other around 0.7 are told apart.
    below = torch.tensor(0.7).nextafter(torch.tensor(0.0))
    scores = torch.stack([torch.tensor(0.7), below, torch.tensor(0.2), torch.tensor(0.2)])
    labels = torch.tensor([1, 1, 2, 3])
    thresholds = (float(scores[0]), 0.2, float("inf"))
    prediction = {
        "boxes": torch.zeros(4, 4), "labels": labels, "scores": scores,
        "masks": [{"counts": str(at)} for at in range(4)],
    }  # fmt: skip

    # As a double, the threshold 0.2 lies below the float32 score that is nearest to it.
    assert are_shown(scores, labels, thresholds).tolist() == [True, False, True, False]
    assert are_shown(scores, labels, (0.0, float(scores[2]) + 1e-9, 0)).tolist() == [
        True, True, False, True,
    ]  # fmt: skip
    assert [mask["counts"] for mask in above(prediction, thresholds)["masks"]] == ["0", "2"]
    assert are_shown(torch.zeros(0), labels[:0], thresholds).tolist() == []
