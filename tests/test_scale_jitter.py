"""Scale jitter: masks follow the pixels, the size stays, and what is new has the mean colour."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_targets import drawn_sample, same_targets
from torchvision.transforms import v2

from nets.contract import CompactMasks, check_target
from utils.data.scale_jitter import ScaleJitter, random_place, scaled_size

F = v2.functional


@given(st.integers(0, 999), st.integers(3, 60), st.integers(3, 60), st.integers(0, 6),
       st.floats(0.5, 4))  # fmt: skip
def test_targets_keep_the_contract_and_both_kinds_agree(seed, height, width, count, factor):
    found = []
    for kind in ("compact", "full size"):
        image, target = drawn_sample(seed, height, width, count, kind)
        torch.manual_seed(seed)
        image, target = ScaleJitter(factor, factor)(image, target)
        assert image.shape == (3, height, width)
        check_target(target, height, width, 7, "drawn")
        found.append(target)
    assert same_targets(*found)


@pytest.mark.parametrize("factor", [0.1, 0.5, 0.83, 1.0, 1.3, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(8))
def test_pixels_and_masks_are_torchvisions(seed, factor):
    size = height, width = 61, 90
    image, target = drawn_sample(seed, *size, 5)
    masks = target["masks"].dense()
    torch.manual_seed(seed)
    found, after = ScaleJitter(factor, factor)(image, target)
    torch.manual_seed(seed)
    torch.rand(1)
    if factor > 1:
        part = scaled_size(size, 1 / factor)
        place = random_place(part, size)
        image = F.resized_crop(image, *place, *part, list(size))
        masks = F.resized_crop(masks[:, None], *place, *part, list(size),
                               F.InterpolationMode.NEAREST)[:, 0]  # fmt: skip
    else:
        part = scaled_size(size, factor)
        top, left = random_place(part, size)
        sides = [left, top, width - part[1] - left, height - part[0] - top]
        image = F.resize(image, list(part))
        image = F.pad(image, sides, fill=image.float().mean((1, 2)).tolist())
        masks = F.resize(masks[:, None], list(part), F.InterpolationMode.NEAREST)[:, 0]
        masks = F.pad(masks, sides)
    assert torch.equal(found, image)
    left, before = masks.sum((1, 2)), target["area"]
    stay = (left >= 0.1 * factor**2 * before) & (left >= before.clamp(max=4))
    assert torch.equal(after["labels"], target["labels"][stay])
    kept = masks[stay]
    assert torch.equal(after["masks"].dense(), kept)
    assert after["area"].tolist() == kept.sum((1, 2)).tolist()
    if seed == 0:
        assert len(kept) > 0


def test_masks_lie_where_the_objects_are():
    looked_at = 0
    for seed in range(40):
        image, target = drawn_sample(seed, 80, 100, 2)
        torch.manual_seed(seed)
        found, after = ScaleJitter(0.5, 2.0)(image, target)
        if len(after["labels"]) == 2 and image[0].float().mean() < 128:
            bright = found[0] > 128  # what was filled up lies below
            union = after["masks"].union().bool()
            sides = (after["boxes"][:, 2:] - after["boxes"][:, :2]).sum()
            assert (bright ^ union).sum() <= 2 * sides  # a pixel along the outline
            looked_at += 1
    assert looked_at > 10


def test_factors_are_spread_evenly_by_their_logarithm():
    mask = torch.ones((1, 100, 100), dtype=torch.uint8)
    image, target = drawn_sample(0, 100, 100, 1)
    target |= {"masks": CompactMasks.from_masks(mask), "area": torch.tensor([10000.0])}
    torch.manual_seed(0)
    areas = [ScaleJitter(0.5, 2.0)(image, target)[1]["area"].item() for _ in range(300)]
    shrunk = torch.tensor([area for area in areas if area < 10000])
    assert shrunk.min() >= 2500
    assert 120 < len(shrunk) < 180
    assert 0.4 < (shrunk < 5000).float().mean() < 0.6


def test_nothing_larger_than_the_image_is_made(monkeypatch):
    sizes = []
    monkeypatch.setattr(F, "resize", lambda image, size, resize=F.resize: (
        sizes.append(tuple(size)), resize(image, size))[1])  # fmt: skip
    for factor in (0.3, 3.0):
        ScaleJitter(factor, factor)(*drawn_sample(0, 40, 60, 3))
    assert sizes == [(12, 18), (40, 60)]


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("factor", [0.6, 1.7])
def test_any_number_of_channels(channels, dtype, factor):
    image, target = drawn_sample(1, 40, 60, 3, channels=channels)
    image = F.to_dtype(image, dtype, scale=True)
    found, _ = ScaleJitter(factor, factor)(image, target)
    assert (found.shape, found.dtype) == ((channels, 40, 60), dtype)


def test_places_are_anywhere_inside():
    torch.manual_seed(0)
    places = {random_place((3, 5), (5, 6)) for _ in range(200)}
    assert places == {(top, left) for top in range(3) for left in range(2)}
    assert random_place((4, 4), (4, 4)) == (0, 0)
