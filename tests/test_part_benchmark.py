"""The benchmarks of parts: both ways do the same, on small sizes."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torchvision.ops import MultiScaleRoIAlign

from nets.roi_align import RowsRoIAlign
from tools import part_benchmark
from tools.part_benchmark import Case, compare, mask_cases, record_boxes, roi_align_cases

SMALL = {"MAP_SIZES": ((16, 16), (24, 40)), "CHANNELS": 8, "BOXES": 30,
         "PICTURE": (200, 300), "OBJECTS": (1, 5), "ROIS": 9}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(part_benchmark, name, value)


def pooled(way):
    """What a way gives, and the gradients of its maps."""
    maps = way.args[1].values()
    for one in maps:
        one.grad = None
    return way().detach(), [one.grad for one in maps]


def test_roi_align_cases_are_named_for_what_they_do():
    assert [case.name for case in roi_align_cases()] == [
        f"roi-align {dtype} {what} {cells} cells"
        for dtype in ("bfloat16", "float32")
        for what in ("training", "inference")
        for cells in (256, 960)
    ]


def test_roi_align_gives_the_same_both_ways():
    for case in roi_align_cases():
        dtype = case.ours.args[1]["0"].dtype
        close = dict.fromkeys(("rtol", "atol"), 1e-4 if dtype == torch.float32 else 0.03)
        (wanted, gradients), (found, others) = pooled(case.reference), pooled(case.ours)
        assert wanted.shape == (2 * 30, 8, 7, 7), case.name
        assert wanted.float().std() > 0.1
        assert_close(found.float(), wanted.float(), **close)
        for gradient, other in zip(gradients, others, strict=True):
            assert (gradient is None) is (other is None) is ("inference" in case.name)
            if gradient is not None:
                assert_close(other.float(), gradient.float(), **close)
        assert str(dtype)[6:] in case.name
        assert type(case.reference.args[0]) is MultiScaleRoIAlign
        assert type(case.ours.args[0]) is RowsRoIAlign


def test_boxes_of_roi_align_lie_on_the_maps_and_reach_two_levels():
    for case in roi_align_cases():
        boxes, (height, width) = torch.cat(case.ours.args[2]), case.ours.args[3]
        assert boxes.min() >= 0
        assert (boxes[:, :2] < torch.tensor([width, height])).all()
        sides = boxes[:, 2:] - boxes[:, :2]
        assert 19 < sides.min() < sides.max() < 81


def test_masks_give_the_same_targets_both_ways():
    cases = list(mask_cases())
    assert [case.name for case in cases] == ["masks 1 objects", "masks 5 objects"]
    for case in cases:
        wanted, found = case.reference(), case.ours()
        assert wanted.shape == found.shape == (9, 28, 28)
        assert 0.2 < wanted.mean() < 1
        assert_close(found, wanted, rtol=0, atol=1e-4)
        assert [way.args[1] for way in (case.reference, case.ours)] == [False, True]


def test_boxes_end_where_the_objects_do():
    (case, _) = mask_cases()
    record = case.ours.args[0]
    ((x, y, width, height),) = (one.bbox for one in record.instances)
    assert torch.equal(record_boxes(record), torch.tensor([[x, y, x + width, y + height]]))


def test_figures_are_medians_and_their_ratio(monkeypatch):
    cases = iter([Case("a", "torchvision's", "ours"), Case("b", "torchvision's", "ours")])

    def turns(works, device, rounds):
        assert works == {"reference": "torchvision's", "ours": "ours"}
        return {"reference": 8.0 * rounds, "ours": 2.0}

    monkeypatch.setattr(part_benchmark, "taking_turns", turns)
    assert list(compare(cases, 3)) == [
        {"name": name, "reference_s": 24, "ours_s": 2, "ratio": 12} for name in "ab"
    ]
