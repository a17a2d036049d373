"""Compact masks do what full-size masks do, held against torchvision on the full-size ones."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import masks_to_boxes, roi_align

from nets.compact_masks import CompactMasks
from nets.mask_rcnn import build_model

SIZE = (97, 131)


def drawn(seed, count=7, size=SIZE, largest=30):
    """Compact and full-size masks of random objects, one in each corner of the image."""
    rng = np.random.default_rng(seed)
    height, width = size
    crops, corners = [], []
    for number in range(count):
        h, w = rng.integers(1, largest, 2)
        x, y = rng.integers(0, width - w), rng.integers(0, height - h)
        x = (x, 0, width - w)[number % 3]
        y = (y, 0, height - h)[number // 2 % 3]
        crop = rng.random((h, w)) < 0.7
        crop[rng.integers(h), rng.integers(w)] = True
        crops.append(torch.from_numpy(crop).to(torch.uint8))
        corners.append((int(x), int(y)))
    full = torch.zeros((count, *size), dtype=torch.uint8)
    for mask, crop, (x, y) in zip(full, crops, corners, strict=True):
        mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return CompactMasks.from_crops(crops, corners, size), full


@pytest.mark.parametrize("count", [0, 1, 7])
def test_they_are_the_full_size_masks(count):
    compact, full = drawn(count, count)
    assert len(compact) == count
    assert (compact.shape, compact.dtype, compact.device) == (full.shape, full.dtype, full.device)
    assert torch.equal(compact.dense(), full)
    assert all(torch.equal(a, b) for a, b in zip(compact, full, strict=True))
    assert torch.equal(compact.flipped().dense(), full.flip(2))
    assert sum(crop.numel() for crop in compact.crops()) == compact.pixels.numel()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_objects_are_counted_chosen_and_joined(count):
    compact, full = drawn(count, count)
    more, full_more = drawn(9, 3)
    kept = torch.arange(count) % 3 != 1
    assert torch.equal(compact.areas(), full.sum((1, 2)))
    assert torch.equal(compact.selected(kept).dense(), full[kept])
    assert torch.equal(compact.joined(more).dense(), torch.cat([full, full_more]))
    assert torch.equal(compact.union(), full.sum(0).clamp(max=1).to(torch.uint8))
    assert torch.equal(compact.without(more.union()).dense(), full * (1 - more.union()))
    assert torch.equal(compact.transposed().dense(), full.mT)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_full_size_masks_are_cut_to_their_boxes(count):
    compact, full = drawn(count, count)
    cut = CompactMasks.from_masks(full)
    assert torch.equal(cut.dense(), full)
    corners = torch.cat([cut.boxes[:, :2], cut.boxes[:, :2] + cut.boxes[:, 2:] - 1], 1)
    assert torch.equal(corners, masks_to_boxes(full).long())
    assert torch.equal(compact.tightened().boxes, cut.boxes)
    assert CompactMasks.from_masks(compact) is compact


def test_the_crop_of_an_object_without_a_pixel_is_empty():
    masks = CompactMasks.from_masks(torch.zeros((2, 5, 6), dtype=torch.uint8))
    assert [crop.numel() for crop in masks.crops()] == [0, 0]
    assert masks.areas().tolist() == [0, 0]


@given(st.integers(0, 99), *[st.integers(-150, 150)] * 2, *[st.integers(1, 200)] * 2)
def test_a_window_is_that_of_the_full_size_masks(seed, top, left, height, width):
    compact, full = drawn(seed)
    found = compact.cropped(top, left, height, width)
    expected = F.pad(full, [150, 350, 150, 350])  # torchvision's crop is wrong far outside
    expected = expected[:, 150 + top : 150 + top + height, 150 + left : 150 + left + width]
    assert found.shape == expected.shape
    assert torch.equal(found.dense(), expected)
    corners = found.boxes[:, :2] + found.boxes[:, 2:]
    assert (corners <= torch.tensor([width, height])).all()
    assert torch.equal(found.resized((31, 17)).dense(), expected_resize(expected, (31, 17)))


def expected_resize(full, size):
    return F.interpolate(full[:, None].float(), size=size)[:, 0].byte()


@pytest.mark.parametrize("count", [0, 7])
@pytest.mark.parametrize("side", [320, 97, 64, 33, 7])
def test_the_models_own_resize_gives_the_same_pixels(side, count):
    compact, full = drawn(side, count)
    transform = GeneralizedRCNNTransform(side, 1333, [0.0] * 3, [1.0] * 3)
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    resized = [
        transform([torch.rand(3, *SIZE)], [{"boxes": boxes, "masks": masks}])[1][0]["masks"]
        for masks in (full, compact)
    ]
    assert isinstance(resized[1], CompactMasks)
    assert torch.equal(resized[1].dense(), resized[0])


def test_a_fixed_size_and_another_shape():
    compact, full = drawn(3)
    expected = F.interpolate(full[:, None].float(), size=[50, 200])[:, 0].byte()
    assert torch.equal(F.interpolate(compact, size=[50, 200]).dense(), expected)


@pytest.mark.parametrize("seed", range(5))
def test_mask_targets_are_those_of_full_size_masks(seed):
    compact, full = drawn(seed)
    generator = torch.Generator().manual_seed(seed)
    limit = torch.tensor([SIZE[1], SIZE[0]], dtype=torch.float32)
    low = torch.rand((60, 2), generator=generator) * (limit - 2)
    high = low + torch.rand((60, 2), generator=generator) * (limit - low)
    boxes = torch.cat([low, high], dim=1)
    boxes[:7] = torch.tensor([0.0, 0.0, *limit.tolist()])
    numbers = torch.randint(0, 7, (60,), generator=generator)
    expected = project_masks_on_boxes(full, boxes, numbers, 28)
    found = project_masks_on_boxes(compact, boxes, numbers, 28)
    assert expected.max() > 0.9
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_no_rois_and_an_object_that_the_resize_lost():
    compact, full = drawn(1, 3, largest=2)
    small = compact.resized((10, 12))
    assert any(crop.numel() == 0 for crop in small.crops())
    rois = torch.tensor([[n, 0.0, 0.0, 12.0, 10.0] for n in range(3)])
    expected = roi_align(small.dense()[:, None].float(), rois, (14, 14))
    torch.testing.assert_close(roi_align(small, rois, (14, 14)), expected)
    assert roi_align(small, rois[:0], (14, 14)).shape == (0, 1, 14, 14)
    assert full.shape == compact.shape


class Operations(TorchDispatchMode):
    """Counts what torch does, by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def test_a_device_is_not_waited_for_per_object():
    found = []
    for count in (3, 12):
        compact, _ = drawn(0, count)
        moved = compact.to("meta")
        with Operations() as resizing:
            moved.resized((50, 60))
        rois = torch.tensor([[n, 1.0, 2.0, 30.0, 40.0] for n in range(count)])
        with Operations() as aligning:
            roi_align(compact, rois, (14, 14))
        # Copies to the device, and what must know values that lie there.
        counts = resizing.counts["_to_copy"], aligning.counts["nonzero"]
        found.append((*counts, aligning.counts["lift_fresh"]))
    assert found[0] == found[1]


def test_losses_of_the_whole_network():
    torch.manual_seed(0)
    model = build_model("maskrcnn_resnet18_fpn_small", 3, min_size=64, max_size=96).train()
    losses = []
    for kind in range(2):
        targets = []
        for seed, size in ((1, (60, 80)), (2, (70, 50))):
            masks = drawn(seed, 4, size)
            boxes = masks[0].boxes.float()
            boxes[:, 2:] += boxes[:, :2]
            labels = torch.tensor([1, 2, 1, 2])
            targets.append({"boxes": boxes, "labels": labels, "masks": masks[kind]})
        torch.manual_seed(1)
        images = [torch.rand(3, *target["masks"].shape[1:]) for target in targets]
        losses.append(model(images, targets))
    for name, value in losses[0].items():
        torch.testing.assert_close(value, losses[1][name], rtol=1e-4, atol=1e-5)


def test_they_survive_being_sent_to_another_process():
    compact, full = drawn(4)
    assert torch.equal(pickle.loads(pickle.dumps(compact)).dense(), full)


def test_they_move_to_a_device():
    compact, full = drawn(4)
    moved = compact.to("meta")
    assert (moved.device.type, moved.shape) == ("meta", full.shape)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda masks: masks[0],
        lambda masks: masks[:, 1],
        lambda masks: torch.stack([masks]),
        lambda masks: F.interpolate(masks, size=[5, 5], mode="bilinear"),
    ],
)
def test_anything_else_is_refused(misuse):
    with pytest.raises(TypeError):
        misuse(drawn(0)[0])


@pytest.mark.gpu
def test_mask_targets_on_a_gpu():
    compact, full = drawn(6)
    boxes = torch.tensor([[3.0, 4.0, 90.0, 80.0]] * 7, device="cuda")
    numbers = torch.arange(7, device="cuda")
    expected = project_masks_on_boxes(full.cuda(), boxes, numbers, 28)
    found = project_masks_on_boxes(compact.to("cuda"), boxes, numbers, 28)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
