"""Judging labelled images, alone and in shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from test_engine import FP32, drawn_batches, small_network

from nets.detect import detect
from nets.losses import LOSSES
from utils.evaluation.judge import Judged, judge, judge_together
from utils.processes import ALONE, Processes
from utils.training.diverged import DivergedError
from utils.training.validation import mean_losses


@pytest.fixture(scope="module")
def model():
    return small_network()


@pytest.fixture(scope="module")
def batches():
    """Three batches of one image, with the ids 1, 2, 3."""
    return drawn_batches()


@pytest.fixture(scope="module")
def found(model, batches):
    return list(judge(model, batches, FP32))


def same(one: Judged, other: Judged) -> bool:
    tensors = ("boxes", "labels", "scores")
    return (
        one.image_id == other.image_id
        and one.losses == other.losses
        and one.prediction["masks"] == other.prediction["masks"]
        and all(torch.equal(one.prediction[name], other.prediction[name]) for name in tensors)
    )


def test_each_image_is_judged_once_and_in_order(model, batches, found):
    assert [one.image_id for one in found] == [1, 2, 3]
    both = ([*batches[0][0], *batches[1][0]], [*batches[0][1], *batches[1][1]])
    assert [one.image_id for one in judge(model, [both, batches[2]], FP32)] == [1, 2, 3]


def test_what_is_found_is_what_detect_finds(model, batches, found):
    model.eval()
    with torch.inference_mode():
        for (images, targets), one in zip(batches, found, strict=True):
            predictions, losses = detect(model, images, targets)
            values = {name: losses[name].item() for name in LOSSES}
            wanted = Judged(one.image_id, predictions[0], {"loss": sum(values.values()), **values})
            assert same(one, wanted)
            assert not one.prediction["scores"].requires_grad  # no activations are kept


def test_judging_changes_nothing(batches):
    model = small_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert any(name.endswith("running_mean") for name in before)
    random_state = torch.get_rng_state()
    list(judge(model, batches, FP32))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module.training for module in model.modules())


def test_without_losses_there_are_none(model, batches):
    judged = list(judge(model, batches[:1], FP32, with_losses=False))
    assert judged[0].losses == {}
    assert mean_losses(judged) == {}


def test_losses_are_means_over_images(found):
    means = mean_losses(found)
    assert set(means) == {"loss", *LOSSES}
    for name, mean in means.items():
        assert mean == pytest.approx(sum(one.losses[name] for one in found) / 3)


def test_no_image_has_no_losses():
    assert mean_losses([]) == {}


def test_a_loss_that_is_no_number_is_noticed(batches):
    model = small_network()
    with torch.no_grad():
        model.roi_heads.mask_predictor.mask_fcn_logits.bias.fill_(math.nan)
    with pytest.raises(DivergedError, match=r"validation loss is not finite .*loss_mask nan"):
        mean_losses(list(judge(model, batches, FP32)))


@dataclass(frozen=True)
class First(Processes):
    """The first of two processes; the other one's share is known beforehand."""

    others: tuple[Judged, ...] = ()
    count: int = 2

    def gather(self, value):
        return [value, list(self.others)]


def test_shares_come_together_in_order(found):
    together = judge_together([found[0], found[2]], First(others=(found[1],)))
    assert all(map(same, together, found))
    assert len(together) == 3


def test_an_image_in_two_shares_counts_once(found):
    together = judge_together(found[:2], First(others=tuple(found[1:])))
    assert [one.image_id for one in together] == [1, 2, 3]


def test_other_processes_than_the_first_get_nothing(found):
    class Second(Processes):
        def gather(self, value):
            assert [one.image_id for one in value] == [2]

    assert judge_together([found[1]], Second(rank=1, count=2)) is None


def test_a_share_ends_after_the_image_in_which_it_is_asked_to(found):
    seen = []

    def judging():
        for one in found:
            seen.append(one.image_id)
            yield one

    judged = judge_together(judging(), ALONE, lambda: int(len(seen) == 2))
    assert [one.image_id for one in judged] == seen == [1, 2]
