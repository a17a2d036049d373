"""RoIAlign by sums of rows gives torchvision's result and gradient."""

import copy

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from nets import roi_align
from nets.roi_align import RowsRoIAlign, bins_of, set_strides

NAMES = ["0", "1", "2"]
IMAGE = (512, 384)  # with maps at 1/8, 1/16 and 1/32; boxes from 224 and 448 pixels change level
CHANNELS = 5


def make_features(images, dtype=torch.float32, stride=8):
    height, width = IMAGE
    return {
        name: torch.randn(images, CHANNELS, height // s, width // s, dtype=dtype)
        for name, s in zip(NAMES, (stride, 2 * stride, 4 * stride), strict=True)
    }


def random_boxes(count):
    """Boxes of 1 to 900 pixels a side, the first half small, many of them over the edge."""
    height, width = IMAGE
    size = 900 ** torch.rand(count, 2)
    size[count // 2 :] = 900 * torch.rand(count - count // 2, 2)
    centre = torch.rand(count, 2) * torch.tensor([width * 1.2, height * 1.2]) - 40
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


SPECIAL = {
    "no box": torch.zeros(0, 4),
    "whole image": torch.tensor([[0.0, 0.0, 384.0, 512.0]]),
    "no area": torch.tensor([[100.0, 100.0, 100.0, 100.0]]),
    "a line": torch.tensor([[10.0, 50.0, 300.0, 50.0]]),
    "turned over": torch.tensor([[200.0, 300.0, 100.0, 180.0]]),
    "below a pixel": torch.tensor([[33.3, 44.4, 33.5, 44.9]]),
    "at the far corner": torch.tensor([[380.0, 508.0, 384.0, 512.0]]),
    "half outside": torch.tensor([[-120.0, -60.0, 90.0, 70.0], [300.0, 450.0, 480.0, 640.0]]),
    "far outside": torch.tensor([[-500.0, -500.0, -300.0, -300.0], [900.0, 900.0, 990.0, 990.0]]),
}


def rows_pool(names=NAMES, size=7, samples=2):
    pool = RowsRoIAlign(names, size, samples)
    set_strides(pool, (8, 16, 32)[: len(names)])
    return pool


def pool_both_ways(features, boxes, size=7, samples=2):
    """(ours, torchvision's) results, and gradients of the features."""
    results = []
    for kind in (rows_pool, MultiScaleRoIAlign):
        leaves = {name: f.detach().clone().requires_grad_() for name, f in features.items()}
        shapes = [IMAGE] * len(boxes)
        out = kind(NAMES, size, samples)(leaves, boxes, shapes)
        weight = torch.linspace(-1, 1, max(out.numel(), 1))[: out.numel()].view(out.shape)
        if out.requires_grad:
            (out * weight).sum().backward()
        zero = torch.zeros(())
        gradients = [zero if leaf.grad is None else leaf.grad for leaf in leaves.values()]
        results.append((out.detach(), gradients))
    return results


def assert_same(ours, theirs, tolerance=1e-4):
    (found, found_gradients), (wanted, wanted_gradients) = ours, theirs
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)
    for a, b in zip(found_gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(*torch.broadcast_tensors(a, b), rtol=tolerance, atol=tolerance)


@pytest.fixture
def sums_calls(monkeypatch):
    """The boxes that take the fast path, as they come."""
    calls = []
    monkeypatch.setattr(
        roi_align, "bins_of", lambda f, i, b, p: calls.append(len(b)) or bins_of(f, i, b, p)
    )
    return calls


@pytest.mark.parametrize("boxes", SPECIAL.values(), ids=SPECIAL.keys())
def test_special_boxes_pool_as_in_torchvision(boxes, sums_calls):
    torch.manual_seed(0)

    assert_same(*pool_both_ways(make_features(1), [boxes]))

    assert sum(sums_calls) == len(boxes)


@pytest.mark.parametrize(("size", "samples"), [(7, 2), (14, 2), ((3, 5), 1)])
@pytest.mark.parametrize("seed", range(3))
def test_random_boxes_pool_as_in_torchvision(seed, size, samples, sums_calls):
    torch.manual_seed(seed)
    boxes = [random_boxes(60), random_boxes(0), random_boxes(40)]

    assert_same(*pool_both_ways(make_features(3), boxes, size, samples))

    assert sum(sums_calls) == 100
    assert len(sums_calls) == 3  # one for each level, whatever the images


@pytest.mark.parametrize("images", [1, 2])
def test_only_empty_box_lists_give_an_empty_result(images):
    out = rows_pool()(make_features(images), [torch.zeros(0, 4)] * images, [IMAGE] * images)

    assert out.shape == (0, CHANNELS, 7, 7)
    assert out.dtype == torch.float32


def test_bfloat16_features_are_pooled_in_bfloat16(sums_calls):
    torch.manual_seed(0)
    features = make_features(2, torch.bfloat16)
    boxes = [random_boxes(30), random_boxes(30)]
    with torch.autocast("cpu", torch.bfloat16):
        found = rows_pool()(features, boxes, [IMAGE] * 2)
    exact = {name: f.float() for name, f in features.items()}
    wanted = MultiScaleRoIAlign(NAMES, 7, 2)(exact, boxes, [IMAGE] * 2)

    assert found.dtype == torch.bfloat16
    assert sum(sums_calls) == 60
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("names", "samples"), [(NAMES, 0), (NAMES[:1], 2)])
def test_adaptive_sampling_and_single_maps_go_to_torchvision(names, samples, sums_calls):
    torch.manual_seed(0)
    features, boxes = make_features(2), [random_boxes(20), random_boxes(20)]
    found, wanted = (
        kind(names, 7, samples)(features, boxes, [IMAGE] * 2)
        for kind in (rows_pool, MultiScaleRoIAlign)
    )

    assert torch.equal(found, wanted)
    assert sums_calls == []


def test_channels_last_maps_give_the_same():
    torch.manual_seed(0)
    features, boxes = make_features(2), [random_boxes(20), random_boxes(20)]
    last = {name: f.to(memory_format=torch.channels_last) for name, f in features.items()}
    (found, gradients), _ = pool_both_ways(features, boxes)
    (found_last, gradients_last), _ = pool_both_ways(last, boxes)

    assert torch.equal(found, found_last)
    assert found.is_contiguous()
    assert found_last.is_contiguous(memory_format=torch.channels_last)
    assert all(map(torch.equal, gradients, gradients_last))


def test_maps_of_one_cell():
    boxes = [torch.tensor([[0.0, 0, 32, 32], [3, 4, 9, 31]])]
    maps = {name: torch.rand(1, 3, 1, 1) for name in NAMES}
    theirs = MultiScaleRoIAlign(NAMES, 7, 2)
    set_strides(theirs, (8, 16, 32))
    found, wanted = (pool(maps, boxes, [(32, 32)]) for pool in (rows_pool(), theirs))

    torch.testing.assert_close(found, wanted)


def test_bfloat16_gradients_are_near_the_exact_ones():
    torch.manual_seed(0)
    features = make_features(2, torch.bfloat16)
    boxes = [random_boxes(30), random_boxes(30)]
    with torch.autocast("cpu", torch.bfloat16):
        (_, found), (_, wanted) = pool_both_ways(features, boxes)

    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == torch.bfloat16
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05 * float(b.abs().max()))


@pytest.mark.parametrize("kind", [RowsRoIAlign, MultiScaleRoIAlign])
def test_a_thin_first_image_does_not_change_the_scales(kind):
    """Padded to 64 rows, its maps look twice as large for its 40 rows."""
    pool = kind(NAMES, 7, 2)
    set_strides(pool, (8, 16, 32))
    maps = {n: torch.rand(1, 3, 64 // s, 128 // s) for n, s in zip(NAMES, (8, 16, 32), strict=True)}
    pool(maps, [torch.tensor([[8.0, 8.0, 40.0, 30.0]])], [(40, 128)])

    assert pool.scales == [1 / 8, 1 / 16, 1 / 32]


def test_before_it_knows_the_strides_torchvision_pools(sums_calls):
    torch.manual_seed(0)
    features, boxes = make_features(1), [random_boxes(5)]
    pool = RowsRoIAlign(NAMES, 7, 2)
    wanted = MultiScaleRoIAlign(NAMES, 7, 2)(features, boxes, [IMAGE])

    assert torch.equal(pool(features, boxes, [IMAGE]), wanted)
    assert sums_calls == []
    torch.testing.assert_close(pool(features, boxes, [IMAGE]), wanted)
    assert sum(sums_calls) == 5


def test_a_used_pool_can_be_copied():
    torch.manual_seed(0)
    features, boxes = make_features(1), [random_boxes(5)]
    pool = rows_pool()
    wanted = pool(features, boxes, [IMAGE])

    assert torch.equal(copy.deepcopy(pool)(features, boxes, [IMAGE]), wanted)


@pytest.mark.gpu
def test_a_gpu_goes_to_torchvision(sums_calls):
    torch.manual_seed(0)
    features = {name: f.cuda() for name, f in make_features(1).items()}
    boxes = [random_boxes(10).cuda()]

    found, wanted = (
        kind(NAMES, 7, 2)(features, boxes, [IMAGE]) for kind in (rows_pool, MultiScaleRoIAlign)
    )

    assert torch.equal(found, wanted)
    assert sums_calls == []
