"""Sampling of anchors and RoIs, held against torchvision's sampler and losses."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from test_engine import drawn_batches, small_network
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from nets.detect import detect
from nets.freezing import hold_frozen_norms, train_only
from nets.sampler import (
    ANCHORS,
    MEAN_OVER,
    POSITIVE_ROIS,
    ROIS,
    SeededSampler,
    counts_of,
    sampling_from,
    use_seeded_samplers,
)

TAKEN, POSITIVES = 8, 0.25


def matches(seed, count=60):
    """Which object each candidate matches: 0 background, -1 to be left out."""
    return torch.randint(-1, 3, (count,), generator=torch.Generator().manual_seed(seed)).float()


def seeded(seeds) -> SeededSampler:
    sampler = SeededSampler(TAKEN, POSITIVES)
    sampler.seeds = seeds
    return sampler


def test_without_seeds_it_is_torchvisions():
    images = [matches(0), matches(1), torch.zeros(40), torch.full((5,), -1.0)]
    torch.manual_seed(3)
    wanted = BalancedPositiveNegativeSampler(TAKEN, POSITIVES)(images)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    found = SeededSampler(TAKEN, POSITIVES)(images)

    for ours, theirs in zip(found, wanted, strict=True):
        assert all(map(torch.equal, ours, theirs))
    assert torch.equal(torch.get_rng_state(), state)  # it drew as much


def test_an_image_is_sampled_from_its_seed_alone():
    images, seeds = [matches(0), matches(1), matches(2)], [10, 11, 12]
    together = seeded(seeds)(images)
    for number, (image, seed) in enumerate(zip(images, seeds, strict=True)):
        torch.rand(number + 1)  # whatever was drawn before
        alone = seeded([seed])([image])
        for masks, mask in zip(together, alone, strict=True):
            assert torch.equal(masks[number], mask[0])
    others = seeded([seed + 1 for seed in seeds])(images)
    assert not all(map(torch.equal, together[1], others[1]))


def test_a_seeded_sample_is_one_that_torchvision_draws():
    image = matches(4)
    torch.manual_seed(99)
    wanted = BalancedPositiveNegativeSampler(TAKEN, POSITIVES)([image])
    found = seeded([99])([image])
    assert all(torch.equal(ours[0], theirs[0]) for ours, theirs in zip(found, wanted, strict=True))


def test_seeds_are_one_per_image():
    with pytest.raises(ValueError, match="zip"):
        seeded([1])([matches(0), matches(1)])


def test_it_counts_what_it_took():
    sampler = seeded([1, 2, 3])
    positives, negatives = sampler([matches(0), torch.zeros(40), torch.ones(3)])
    assert sampler.positives == sum(int(mask.sum()) for mask in positives) == 2 + 0 + 2
    assert sampler.sampled == sampler.positives + sum(int(mask.sum()) for mask in negatives)


def test_a_model_keeps_the_numbers_of_its_samplers():
    model = small_network()
    numbers = [(256, 0.5), (16, 0.25)]  # torchvision's, and the option of small_network
    for part, wanted in zip((model.rpn, model.roi_heads), numbers, strict=True):
        part.fg_bg_sampler = BalancedPositiveNegativeSampler(*wanted)
    use_seeded_samplers(model)
    for part, wanted in zip((model.rpn, model.roi_heads), numbers, strict=True):
        sampler = part.fg_bg_sampler
        assert isinstance(sampler, SeededSampler)
        assert (sampler.batch_size_per_image, sampler.positive_fraction) == wanted


def test_seeds_end_with_their_context():
    model = small_network()
    samplers = (model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler)
    within = ExitStack()
    within.enter_context(sampling_from(model, [5]))
    assert [sampler.seeds for sampler in samplers] == [[5], [5]]
    with pytest.raises(KeyError), within:
        raise KeyError  # also when a step fails
    assert [sampler.seeds for sampler in samplers] == [None, None]


@pytest.fixture(scope="module")
def three_images():
    """A network in training whose norms are fixed, so that images do not touch one another, and
    three images of one size, the last without an object."""
    model = small_network(frozen_norm=True)
    train_only(model, "all")
    model.train()
    hold_frozen_norms(model)
    model.roi_heads.fg_bg_sampler.batch_size_per_image = (
        512  # all, of which images differ in number
    )
    images, targets = zip(*((i[0], t[0]) for i, t in drawn_batches()), strict=True)
    return model, list(images), list(targets), [21, 22, 23]


def losses_and_counts(model, images, targets, seeds):
    with torch.no_grad(), sampling_from(model, seeds):
        losses = model(images, targets)
    return {name: value.item() for name, value in losses.items()}, counts_of(model)


@pytest.mark.parametrize("cut", [1, 2])
def test_losses_are_means_over_what_is_counted(three_images, cut):
    model, *batch = three_images
    whole, counts = losses_and_counts(model, *batch)
    parts = [losses_and_counts(model, *(part[half] for part in batch))
             for half in (slice(cut), slice(cut, None))]  # fmt: skip

    assert torch.equal(counts, sum(one for _, one in parts))
    assert counts[ANCHORS] == 3 * 256
    assert cut == 2 or parts[0][1][ROIS] != counts[ROIS] / 3  # not as many from every image
    assert 0 < counts[POSITIVE_ROIS] < counts[ROIS] < counts[ANCHORS]
    assert parts[1][1][POSITIVE_ROIS] == 0 or cut == 1  # the last image has nothing to outline
    for name, value in whole.items():
        column = MEAN_OVER[name]
        mean = sum(losses[name] * one[column].item() for losses, one in parts)
        assert mean / counts[column].item() == pytest.approx(value, rel=1e-5), name
    assert set(MEAN_OVER) == set(whole)


def test_the_losses_of_a_validation_do_not_depend_on_training(three_images):
    model, images, targets, seeds = three_images
    model.eval()
    before = detect(model, images, targets)[1]
    model.train()
    losses_and_counts(model, images, targets, seeds)
    model.eval()
    after = detect(model, images, targets)[1]
    model.train()
    assert set(before) == set(MEAN_OVER)
    assert all(torch.equal(before[name], after[name]) for name in before)

    ours = model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler
    try:
        for part, sampler in zip((model.rpn, model.roi_heads), ours, strict=True):
            part.fg_bg_sampler = BalancedPositiveNegativeSampler(
                sampler.batch_size_per_image, sampler.positive_fraction
            )
        theirs = detect(model.eval(), images, targets)[1]
    finally:
        model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler = ours
        model.train()
    assert all(torch.equal(before[name], theirs[name]) for name in before)
