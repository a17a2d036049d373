"""Copy-paste: pasted objects cover others, held against full-size masks pixel by pixel."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_targets import drawn_sample, same_targets, strips, target_of

from nets.contract import CompactMasks, check_target
from utils.data.copy_paste import copy_paste

SIZES = st.tuples(st.integers(1, 50), st.integers(1, 50))


@given(st.integers(0, 999), SIZES, SIZES, st.integers(0, 5), st.integers(0, 5))
def test_the_contract_holds_and_both_kinds_agree(seed, size, source_size, count, more):
    found = []
    for kind in ("compact", "full size"):
        torch.manual_seed(seed)
        image, target = drawn_sample(seed, *size, count, kind)
        source, source_target = drawn_sample(seed + 1, *source_size, more, kind)
        image, target = copy_paste(image.float(), target, source.float(), source_target)
        assert image.shape == (3, *size)
        check_target(target, *size, 6, "drawn")
        found.append(target)
    assert same_targets(*found)


@pytest.mark.parametrize("seed", range(20))
def test_pasted_objects_cover_what_is_beneath(seed):
    size = 50, 60
    image, target = drawn_sample(seed, *size, 4)
    source, source_target = drawn_sample(seed + 100, *size, 4)
    target["labels"] += 10
    before = image.clone(), target["masks"].dense()
    torch.manual_seed(seed)
    found, after = copy_paste(image, target, source, source_target)
    assert torch.equal(image, before[0]), "the image that was given stays"
    assert torch.equal(target["masks"].dense(), before[1])

    masks, labels = after["masks"].dense(), after["labels"]
    pasted = masks[labels < 10]
    assert torch.equal(pasted, source_target["masks"].dense()[labels[labels < 10] - 1])
    assert set(labels[labels < 10].tolist()) <= {1, 3}, "2 and 4 are crowds"
    cover = pasted.sum(0) > 0
    assert torch.equal(found, torch.where(cover, source, image))
    beneath = before[1] * ~cover
    share = beneath.sum((1, 2)) / before[1].sum((1, 2))
    assert set(labels[labels > 10].tolist()) >= set((11 + (share == 1).nonzero()[:, 0]).tolist())
    assert not set(labels[labels > 10].tolist()) & set(
        (11 + (share < 0.1).nonzero()[:, 0]).tolist()
    )
    assert torch.equal(masks[labels > 10], beneath[labels[labels > 10] - 11])


def pasted_labels(source_target, draws=200):
    image, target = drawn_sample(0, 20, 50, 0)
    found = []
    for seed in range(draws):
        torch.manual_seed(seed)
        found.append(copy_paste(image, target, image, source_target)[1]["labels"].tolist())
    return found


def test_half_of_the_objects_are_pasted_and_no_crowd():
    source_target = target_of(strips(10, 10, 10))
    labels = pasted_labels(source_target)
    assert {tuple(one) for one in labels} == {(), (1,), (3,), (1, 3)}
    assert 80 < sum(1 in one for one in labels) < 120
    source_target["iscrowd"][:] = 1
    assert not any(pasted_labels(source_target))


def test_covered_objects_go():
    size = 20, 50
    target = target_of(strips(10, 40))
    everything = torch.zeros((1, *size), dtype=torch.uint8)
    everything[:, :2, :20] = 1
    image = torch.zeros(3, *size)
    for seed in range(20):
        torch.manual_seed(seed)
        found, after = copy_paste(image, target, image + 1, target_of(everything))
        if found.any():
            assert after["labels"].tolist() == [2, 1]
            assert after["area"].tolist() == [40, 40]
            return
    pytest.fail("nothing was pasted")


@pytest.mark.parametrize("source_size", [(10, 25), (400, 1000), (20, 20), (80, 80)])
def test_a_source_of_another_size_is_fitted(source_size):
    height, width = source_size
    whole = torch.ones((1, height, width), dtype=torch.uint8)
    places = set()
    for seed in range(100):
        torch.manual_seed(seed)
        image, target = drawn_sample(0, 20, 50, 0)
        image = image.float() * 0
        found, after = copy_paste(image, target, torch.ones(3, *source_size), target_of(whole))
        if len(after["labels"]):
            x1, y1, x2, y2 = map(int, after["boxes"][0].tolist())
            factor = min(20 / height, 50 / width)
            assert (y2 - y1, x2 - x1) == (round(height * factor), round(width * factor))
            assert torch.equal(found[0] > 0.5, after["masks"].union().bool())
            places.add((x1, y1))
    assert len(places) == 1 if height * 50 == width * 20 else len(places) > 10


@pytest.mark.parametrize("channels", [1, 4])
def test_any_number_of_channels(channels):
    samples = [drawn_sample(seed, 30, 40, 4, channels=channels) for seed in range(2)]
    torch.manual_seed(1)
    found, target = copy_paste(*samples[0], *samples[1])
    assert found.shape == (channels, 30, 40)
    assert isinstance(target["masks"], CompactMasks)
