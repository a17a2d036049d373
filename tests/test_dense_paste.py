"""Masks pasted by matrix products are those that torchvision pastes one by one."""

import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from nets.dense_paste import dense_masks

BOXES = {
    "within": [10.0, 12.0, 50.0, 44.0],
    "whole image": [0.0, 0.0, 80.0, 60.0],
    "larger than the image": [-30.0, -50.0, 200.0, 140.0],
    "over a corner": [-8.5, 40.2, 20.9, 75.0],
    "at the far corner": [79.0, 59.0, 80.0, 60.0],
    "below a pixel": [30.2, 30.3, 30.6, 30.9],
    "one pixel": [30.0, 30.0, 31.0, 31.0],
    "without area": [20.0, 20.0, 20.0, 20.0],
    "a line": [0.0, 33.0, 80.0, 33.0],
    "fractions": [3.7, 5.49, 42.51, 51.99],
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_a_mask_is_pasted_as_by_torchvision(box):
    torch.manual_seed(0)
    masks, boxes = torch.rand(3, 28, 28), torch.tensor([box] * 3)

    wanted = paste_masks_in_image(masks[:, None], boxes, (60, 80))[:, 0]

    torch.testing.assert_close(dense_masks(masks, boxes, 60, 80), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(60, 80), (1, 1), (1, 40), (300, 7)])
def test_random_boxes_in_images_of_any_size(size):
    torch.manual_seed(0)
    height, width = size
    masks, sides = torch.rand(50, 28, 28), torch.tensor([width, height])
    # Each holds a part of the image: one that does not, torchvision cannot paste.
    before, after = torch.rand(2, 50, 2).sort(dim=0).values * sides
    boxes = torch.cat([before - 9 * torch.rand(50, 2), after + 9 * torch.rand(50, 2)], dim=1)

    wanted = paste_masks_in_image(masks[:, None], boxes, size)[:, 0]
    found = dense_masks(masks, boxes, *size)

    assert found.shape == (50, *size)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_no_mask_is_none():
    assert dense_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), 6, 8).shape == (0, 6, 8)
