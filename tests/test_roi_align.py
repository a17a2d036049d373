"""RoIAlign by matrix products gives torchvision's result and gradient."""

import copy

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from nets import roi_align
from nets.roi_align import MatmulRoIAlign

NAMES = ["0", "1", "2"]
IMAGE = (512, 384)  # with maps at 1/8, 1/16 and 1/32; boxes from 224 and 448 pixels change level
CHANNELS = 5


@pytest.fixture(autouse=True)
def float32_too(monkeypatch):
    """In float32 torchvision's kernel is the faster one; here the products are compared in it."""
    monkeypatch.setattr(roi_align, "DTYPES", (torch.float32, torch.bfloat16))
    monkeypatch.setattr(roi_align, "MAX_CELLS_INFERENCE", roi_align.MAX_CELLS_TRAINING)


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


def pool_both_ways(features, boxes, size=7, samples=2):
    """(ours, torchvision's) results, and gradients of the features."""
    results = []
    for kind in (MatmulRoIAlign, MultiScaleRoIAlign):
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
def matmul_calls(monkeypatch):
    """The boxes that take the fast path, as they come."""
    calls = []
    pool = MatmulRoIAlign._pool
    monkeypatch.setattr(
        MatmulRoIAlign, "_pool", lambda self, f, b: calls.append(len(b)) or pool(self, f, b)
    )
    return calls


@pytest.mark.parametrize("boxes", SPECIAL.values(), ids=SPECIAL.keys())
def test_special_boxes_pool_as_in_torchvision(boxes, matmul_calls):
    torch.manual_seed(0)

    assert_same(*pool_both_ways(make_features(1), [boxes]))

    assert sum(matmul_calls) == len(boxes)


@pytest.mark.parametrize(("size", "samples"), [(7, 2), (14, 2), ((3, 5), 1)])
@pytest.mark.parametrize("seed", range(3))
def test_random_boxes_pool_as_in_torchvision(seed, size, samples, matmul_calls):
    torch.manual_seed(seed)
    boxes = [random_boxes(60), random_boxes(0), random_boxes(40)]

    assert_same(*pool_both_ways(make_features(3), boxes, size, samples))

    assert sum(matmul_calls) == 100
    assert len(matmul_calls) == 6  # two images with boxes on all three levels


@pytest.mark.parametrize("images", [1, 2])
def test_only_empty_box_lists_give_an_empty_result(images):
    out = MatmulRoIAlign(NAMES, 7, 2)(
        make_features(images), [torch.zeros(0, 4)] * images, [IMAGE] * images
    )

    assert out.shape == (0, CHANNELS, 7, 7)
    assert out.dtype == torch.float32


def test_bfloat16_features_are_pooled_in_bfloat16(matmul_calls):
    torch.manual_seed(0)
    features = make_features(2, torch.bfloat16)
    boxes = [random_boxes(30), random_boxes(30)]
    with torch.autocast("cpu", torch.bfloat16):
        found = MatmulRoIAlign(NAMES, 7, 2)(features, boxes, [IMAGE] * 2)
    exact = {name: f.float() for name, f in features.items()}
    wanted = MultiScaleRoIAlign(NAMES, 7, 2)(exact, boxes, [IMAGE] * 2)

    assert found.dtype == torch.bfloat16
    assert sum(matmul_calls) == 60
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)


def fallback(name, monkeypatch):
    features = make_features(2)
    pool = MatmulRoIAlign(NAMES, 7, 2)
    if name == "large map":
        monkeypatch.setattr(roi_align, "MAX_CELLS_TRAINING", 48 * 64 - 1)
    elif name == "float32":
        monkeypatch.setattr(roi_align, "DTYPES", (torch.bfloat16,))
    elif name == "adaptive sampling":
        pool = MatmulRoIAlign(NAMES, 7, 0)
    else:
        pool = MatmulRoIAlign(NAMES[:1], 7, 2)
    return pool, features


@pytest.mark.parametrize("name", ["large map", "float32", "adaptive sampling", "one level"])
def test_what_matrices_do_not_serve_goes_to_torchvision(name, matmul_calls, monkeypatch):
    torch.manual_seed(0)
    pool, features = fallback(name, monkeypatch)
    boxes = [random_boxes(20), random_boxes(20)]
    theirs = MultiScaleRoIAlign(pool.featmap_names, 7, pool.sampling_ratio)

    found, wanted = (p(features, boxes, [IMAGE] * 2) for p in (pool, theirs))

    assert torch.equal(found, wanted)
    assert matmul_calls == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_thin_first_image_does_not_change_the_scales(dtype, monkeypatch):
    """Padded to 64 rows, its maps look twice as large for its 40 rows."""
    monkeypatch.setattr(roi_align, "DTYPES", (torch.bfloat16,))
    pool = MatmulRoIAlign(NAMES, 7, 2)
    maps = {n: torch.rand(1, 3, 64 // s, 128 // s) for n, s in zip(NAMES, (8, 16, 32), strict=True)}
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0]])]
    pool({name: m.to(dtype) for name, m in maps.items()}, boxes, [(40, 128)])

    assert pool.scales == [1 / 8, 1 / 16, 1 / 32]


def test_a_used_pool_can_be_copied():
    torch.manual_seed(0)
    features, boxes = make_features(1), [random_boxes(5)]
    pool = MatmulRoIAlign(NAMES, 7, 2)
    wanted = pool(features, boxes, [IMAGE])

    assert torch.equal(copy.deepcopy(pool)(features, boxes, [IMAGE]), wanted)


@pytest.mark.gpu
def test_a_gpu_goes_to_torchvision(matmul_calls):
    torch.manual_seed(0)
    features = {name: f.cuda() for name, f in make_features(1).items()}
    boxes = [random_boxes(10).cuda()]

    found, wanted = (
        kind(NAMES, 7, 2)(features, boxes, [IMAGE]) for kind in (MatmulRoIAlign, MultiScaleRoIAlign)
    )

    assert torch.equal(found, wanted)
    assert matmul_calls == []
