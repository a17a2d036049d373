"""Run lengths of pasted masks, held against torchvision's paste and pycocotools' encoder."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import expand_boxes, paste_masks_in_image

from nets.mask_paste import encode_crop, paste_masks

HEIGHT, WIDTH = 60, 90
BOXES = {
    "inside": [10.2, 12.7, 50.1, 41.9],
    "whole image": [0, 0, WIDTH, HEIGHT],
    "full height": [30, 0, 55, HEIGHT],
    "full width": [0, 20, WIDTH, 35],
    "below a pixel": [20.3, 30.4, 20.6, 30.9],
    "no area": [20, 30, 20, 30],
    "thin": [40.5, 3, 41.2, 57],
    "last pixel": [WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT],
    "over the left edge": [-30.5, 10, 25, 40],
    "over the top": [10, -25.5, 60, 12],
    "over the right edge": [70, 10, 130, 40],
    "over the bottom": [10, 40, 60, 95],
    "larger than the image": [-20, -20, WIDTH + 20, HEIGHT + 20],
}
OUTSIDE = {
    "left": [-60, 10, -20, 40],
    "above": [10, -60, 50, -20],
    "right": [WIDTH + 15, 10, WIDTH + 55, 40],
    "below": [10, HEIGHT + 15, 50, HEIGHT + 75],
    "far corner": [WIDTH + 9, HEIGHT + 9, WIDTH + 90, HEIGHT + 90],
}


def random_masks(count, side=28):
    """Smooth blobs and noise: some masks with few, some with many edges."""
    noise = torch.rand(count, 1, side, side)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(count, 1, side, side), 9, 1, 4)
    return torch.where(torch.arange(count).view(-1, 1, 1, 1) % 2 == 0, noise, smooth)


def encoded(mask):
    """pycocotools' run lengths of a full-size bool mask."""
    rle = coco_mask.encode(np.asfortranarray(mask).astype(np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


def assert_pasted_as_in_torchvision(masks, boxes, height, width):
    wanted = paste_masks_in_image(masks, boxes, (height, width))[:, 0] >= 0.5
    assert paste_masks(masks, boxes, height, width) == [encoded(mask) for mask in wanted.numpy()]


def test_no_mask_gives_no_run_lengths():
    assert paste_masks(torch.zeros(0, 1, 28, 28), torch.zeros(0, 4), HEIGHT, WIDTH) == []


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_masks_are_pasted_as_in_torchvision(box):
    torch.manual_seed(0)
    masks = torch.cat([random_masks(4), torch.ones(1, 1, 28, 28), torch.zeros(1, 1, 28, 28)])
    boxes = torch.tensor([box] * 6, dtype=torch.float32)

    assert_pasted_as_in_torchvision(masks, boxes, HEIGHT, WIDTH)


@pytest.mark.parametrize("box", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_a_box_outside_the_image_has_an_empty_mask(box):
    rle = paste_masks(torch.ones(1, 1, 28, 28), torch.tensor([box]).float(), HEIGHT, WIDTH)[0]

    assert rle["size"] == [HEIGHT, WIDTH]
    assert coco_mask.area(rle) == 0


@pytest.mark.parametrize("seed", range(5))
def test_random_masks_are_pasted_as_in_torchvision(seed):
    torch.manual_seed(seed)
    height, width = torch.randint(1, 200, (2,)).tolist()
    corners = torch.rand(40, 2, 2) * torch.tensor([width, height])
    low, high = corners.amin(dim=1), corners.amax(dim=1)
    boxes = torch.cat([low, high], dim=1)
    boxes[::3, :2] -= 9.3  # over the left and upper edge
    boxes[::4, 2:] += 11.8  # over the right and lower edge

    assert_pasted_as_in_torchvision(random_masks(40), boxes, height, width)


def test_threshold_is_inclusive():
    masks = torch.full((1, 1, 28, 28), 0.75)
    boxes = torch.tensor([[20.0, 20.0, 40.0, 40.0]])

    at, above = (paste_masks(masks, boxes, HEIGHT, WIDTH, t)[0] for t in (0.75, 0.7501))

    assert coco_mask.area(at) > 300
    assert coco_mask.area(above) == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_masks_are_accepted(dtype):
    torch.manual_seed(0)
    masks = random_masks(2).to(dtype)
    boxes = torch.tensor([BOXES["inside"], BOXES["full height"]])

    found = paste_masks(masks, boxes, HEIGHT, WIDTH)

    assert found == paste_masks(masks.float(), boxes, HEIGHT, WIDTH)


def lies_outside(box, height, width):
    """Whether not even the widened box reaches the image; torchvision's paste fails on many."""
    x1, y1, x2, y2 = expand_boxes(box[None], 30 / 28).to(torch.int64)[0].tolist()
    return x2 < 0 or y2 < 0 or x1 >= width or y1 >= height


@st.composite
def detections(draw):
    """(masks, boxes, height, width): corners anywhere, in any order, often on half pixels."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    count = draw(st.integers(0, 3))
    near = st.floats(-20, 60, width=32)
    corner = st.integers(-40, 120).map(lambda n: n / 2) | near | st.sampled_from([-300.0, 300.0])
    corners = draw(st.lists(corner, min_size=4 * count, max_size=4 * count))
    boxes = torch.tensor(corners).reshape(count, 4)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9999)))
    noise = torch.rand(count, 1, 28, 28, generator=generator)
    below = torch.tensor(0.5).nextafter(torch.tensor(0.0))
    kinds = {
        "noise": noise,
        "at the threshold": torch.where(noise < 0.3, 0.5, noise),
        "a hair below or at it": torch.where(noise < 0.5, below, 0.5),
        "all or nothing": noise.round(),
        "near 0.5 in bfloat16": (0.49 + noise / 50).bfloat16(),
        "near 0.5 in float16": (0.49 + noise / 50).half(),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))], boxes, height, width


@settings(max_examples=300, deadline=None)
@given(detections())
def test_any_mask_in_any_box_is_pasted_as_in_torchvision(case):
    masks, boxes, height, width = case
    found = paste_masks(masks, boxes, height, width)
    assert len(found) == len(boxes)
    for mask, box, rle in zip(masks.float(), boxes, found, strict=True):
        pasted = torch.zeros(height, width)
        if not lies_outside(box, height, width):
            pasted = paste_masks_in_image(mask[None], box[None], (height, width))[0, 0]
        assert rle == encoded((pasted >= 0.5).numpy())


def test_masks_with_gradients_and_strides_are_accepted():
    masks = random_masks(3).requires_grad_()
    boxes = torch.tensor([BOXES["inside"], BOXES["thin"], BOXES["over the top"]])

    found = paste_masks(masks.transpose(2, 3), boxes, HEIGHT, WIDTH)

    with torch.no_grad():
        assert found == paste_masks(masks.mT.contiguous(), boxes, HEIGHT, WIDTH)


@st.composite
def crops(draw):
    """(crop, left, top, height, width): a crop of any size that lies in an image."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    top, left = draw(st.integers(0, height)), draw(st.integers(0, width))
    rows, columns = draw(st.integers(0, height - top)), draw(st.integers(0, width - left))
    fill = st.sampled_from([st.just(0), st.just(1), st.integers(0, 1)])
    size = rows * columns
    bits = draw(st.lists(draw(fill), min_size=size, max_size=size))
    crop = np.array(bits, dtype=bool).reshape(rows, columns)
    return crop, left, top, height, width


def assert_encoded_as_by_pycocotools(crop, left, top, height, width):
    full = np.zeros((height, width), dtype=bool)
    full[top : top + crop.shape[0], left : left + crop.shape[1]] = crop

    assert encode_crop(crop, left, top, height, width) == encoded(full)


@settings(max_examples=500, deadline=None)
@given(crops())
def test_run_lengths_are_those_of_pycocotools(case):
    assert_encoded_as_by_pycocotools(*case)


@pytest.mark.parametrize(
    ("rows", "columns", "left", "top"),
    [
        (0, 0, 3, 4),
        (8, 12, 0, 0),  # the whole image: the last run ends with the image
        (8, 3, 2, 0),  # full height: one run over three columns
        (8, 3, 9, 0),
        (5, 4, 2, 3),  # reaches the lower edge, not the upper one
        (5, 4, 2, 0),
    ],
)
@pytest.mark.parametrize("value", [False, True])
def test_crops_at_the_edges_join_their_runs(rows, columns, left, top, value):
    assert_encoded_as_by_pycocotools(np.full((rows, columns), value), left, top, 8, 12)
