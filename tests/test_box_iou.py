"""Sliced IoU is torchvision's, and the network uses it."""

import pytest
import torch
from torchvision.ops import box_iou

from nets import box_iou as sliced
from nets.mask_rcnn import build_model


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (5, 0), (1, 1), (7, 10), (30, 3), (3, 30)])
def test_numbers_are_torchvisions(monkeypatch, rows, columns):
    monkeypatch.setattr(sliced, "PAIRS", 20)
    corners = torch.rand(rows + columns, 2) * 50
    boxes = torch.cat([corners, corners + torch.rand(rows + columns, 2) * 30], dim=1)
    ours = sliced.sliced_box_iou(boxes[:rows], boxes[rows:])
    assert torch.equal(ours, box_iou(boxes[:rows], boxes[rows:]))


def test_no_slice_is_larger_than_it_may_be(monkeypatch):
    seen = []
    monkeypatch.setattr(sliced, "PAIRS", 100)
    monkeypatch.setattr(sliced, "box_iou", lambda a, b: seen.append(len(a)) or box_iou(a, b))
    sliced.sliced_box_iou(torch.rand(50, 4), torch.rand(30, 4))
    assert max(seen) == 3
    assert sum(seen) == 50


def test_the_network_matches_with_it():
    model = build_model("maskrcnn_resnet18_fpn_small", 2)
    assert model.rpn.box_similarity is sliced.sliced_box_iou
    assert model.roi_heads.box_similarity is sliced.sliced_box_iou
