"""Thresholds per class, held against torchvision's one for all and against a naive loop."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import box_iou

from nets.class_thresholds import set_class_thresholds
from nets.mask_rcnn import build_model

SHAPES = [(60, 90), (80, 50)]
NEVER = 2.0


@pytest.fixture(scope="module")
def heads() -> RoIHeads:
    return build_model("maskrcnn_resnet18_fpn_small", 4).eval().roi_heads


def scene(counts=(50, 30), seed=0):
    """What the box head gives for so many proposals in two images, most of them overlapping."""
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *size: torch.rand(*size, generator=generator)  # noqa: E731
    proposals = []
    for count, (height, width) in zip(counts, SHAPES, strict=True):
        corner = rand(count, 2) * torch.tensor([width - 20, height - 20])
        proposals.append(torch.cat([corner, corner + 10 + 25 * rand(count, 2)], 1))
    total = sum(counts)
    return 4 * rand(total, 4) - 2, rand(total, 16) - 0.5, proposals, SHAPES


def with_thresholds(heads, *thresholds, nms=0.5, most=100):
    heads = copy.copy(heads)
    heads.nms_thresh, heads.detections_per_img = nms, most
    set_class_thresholds(heads, thresholds)
    return heads


def assert_equal(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            assert x.shape == y.shape
            assert torch.equal(x, y)


@pytest.mark.parametrize("counts", [(0, 0), (50, 0), (0, 30), (50, 30), (1200, 900)])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("most", [1, 20, 100])
def test_one_threshold_for_all_is_torchvisions(heads, counts, threshold, most):
    ours = with_thresholds(heads, threshold, threshold, threshold, most=most)
    theirs = copy.copy(heads)
    theirs.score_thresh, theirs.nms_thresh, theirs.detections_per_img = threshold, 0.5, most
    given = scene(counts)
    wanted = RoIHeads.postprocess_detections(theirs, *given)
    assert_equal(ours.postprocess_detections(*given), wanted)
    if sum(counts) > 1000 and threshold < 0.9:
        assert len(wanted[0][0]) == most


def naive(heads, thresholds, nms, most, given):
    """Class by class and box by box."""
    logits, codes, proposals, shapes = given
    scores = logits.softmax(-1)
    boxes = heads.box_coder.decode(codes, proposals)
    results, start = [], 0
    for image, (height, width) in zip(proposals, shapes, strict=True):
        kept = []
        for label, threshold in enumerate(thresholds, 1):
            mine = []
            for row in range(start, start + len(image)):
                x1, y1, x2, y2 = boxes[row, label].tolist()
                x1, x2 = (min(max(x, 0.0), float(width)) for x in (x1, x2))
                y1, y2 = (min(max(y, 0.0), float(height)) for y in (y1, y2))
                score = float(scores[row, label])
                if score >= threshold and x2 - x1 >= 1e-2 and y2 - y1 >= 1e-2:
                    mine.append((score, label, (x1, y1, x2, y2)))
            alive = []
            for one in sorted(mine, reverse=True):
                box = torch.tensor([one[2]])
                if all(box_iou(box, torch.tensor([other[2]])).item() <= nms for other in alive):
                    alive.append(one)
            kept += alive
        results.append(sorted(kept, reverse=True)[:most])
        start += len(image)
    return results


@pytest.mark.parametrize("thresholds", [(0.1, 0.5, 0.3), (NEVER, 0.2, NEVER), (0.4, NEVER, 0.0)])
@pytest.mark.parametrize(("nms", "most"), [(0.5, 100), (0.2, 7), (0.0, 100), (1.0, 1000)])
def test_each_class_has_its_own(heads, thresholds, nms, most):
    given = scene((25, 18), seed=3)
    found = with_thresholds(heads, *thresholds, nms=nms, most=most).postprocess_detections(*given)
    wanted = naive(heads, thresholds, nms, most, given)
    assert any(len(one) > 3 for one in wanted)
    for boxes, scores, labels, image in zip(*found, wanted, strict=True):
        assert labels.tolist() == [label for _, label, _ in image]
        assert_close(scores.tolist(), [score for score, _, _ in image])
        assert_close(boxes.tolist(), [list(box) for _, _, box in image], atol=1e-4, rtol=1e-5)


def test_a_class_that_is_not_wanted_takes_no_place(heads):
    logits, codes, proposals, shapes = scene()
    logits[:, 1] += 4  # class 1 is surest everywhere
    most = 5
    everything = with_thresholds(heads, 0.01, 0.01, 0.01, most=most)
    assert set(
        everything.postprocess_detections(logits, codes, proposals, shapes)[2][0].tolist()
    ) == {1}
    without = with_thresholds(heads, NEVER, 0.01, 0.01, most=most)
    for labels in without.postprocess_detections(logits, codes, proposals, shapes)[2]:
        assert len(labels) == most
        assert 1 not in labels


def test_a_score_at_the_threshold_stays_and_a_hair_below_it_goes(heads):
    logits, codes, proposals, shapes = scene((1, 0))
    score = float(logits.softmax(-1)[0, 2])
    above = float(torch.tensor(score).nextafter(torch.tensor(1.0)))
    for threshold, kept in ((score, 1), (0.75 * score + 0.25 * above, 0), (above, 0)):
        ours = with_thresholds(heads, NEVER, threshold, NEVER)
        scores = ours.postprocess_detections(logits, codes, proposals, shapes)[1][0]
        assert scores.tolist() == [score] * kept


@pytest.mark.parametrize("count", [2, 4])
def test_as_many_thresholds_as_classes(heads, count):
    with pytest.raises(ValueError, match=f"{count} thresholds for 3 classes"):
        with_thresholds(heads, *[0.5] * count)


def test_a_copy_of_a_model_has_thresholds_of_its_own_heads():
    model = build_model("maskrcnn_resnet18_fpn_small", 3).eval()
    set_class_thresholds(model.roi_heads, (0.0, 0.0))
    other = copy.deepcopy(model).roi_heads
    other.detections_per_img = 3
    logits, codes, proposals, shapes = scene((40, 0))
    assert (
        len(other.postprocess_detections(logits[:, :3], codes[:, :12], proposals, shapes)[0][0])
        == 3
    )
