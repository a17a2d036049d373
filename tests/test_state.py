"""What a resumed run needs of a training, taken and given back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from utils.config import TrainConfig
from utils.training.stages import Stage
from utils.training.state import MovingAverage, go_on_from, start_state

STAGES = (Stage("all", 4, 0.1),)
CONFIG = TrainConfig(weights="none", lr=0.1, warmup=3, schedule="cosine", ema=0.5, clip_norm=0)


class Small(nn.Module):
    """Two layers and a batch norm, whose buffers change too."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 1)

    def forward(self, inputs):
        return self.last(self.norm(self.first(inputs)))


def started(config=CONFIG, seed=0, steps_per_epoch=5, images=2):
    torch.manual_seed(seed)
    scaler = torch.amp.GradScaler("cpu", enabled=config.precision == "fp16")
    return start_state(Small(), config, STAGES, scaler, steps_per_epoch, images)


def train(state, steps):
    """Steps on random inputs, so the random state counts as well."""
    state.model.train()
    rates = []
    for _ in range(steps):
        state.optimizer.zero_grad()
        (state.model(torch.randn(6, 3)) ** 2).mean().backward()
        state.optimizer.step()
        rates.append(state.schedule.get_last_lr()[0])
        state.schedule.step()
        if state.average is not None:
            state.average.update_parameters(state.model)
        state.step += 1
        state.batches += 1
    return rates


def stored(state, tmp_path):
    """What is saved of a state, as it is read again."""
    torch.save({"judged": state.judged.state_dict(), "state": state.to_dict()}, tmp_path / "s.pth")
    content = torch.load(tmp_path / "s.pth", weights_only=True)
    return content["state"], content["judged"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_state_goes_on_bit_by_bit(optimizer, ema, tmp_path):
    config = replace(CONFIG, optimizer=optimizer, ema=ema)
    whole = started(config)
    rates = train(whole, 8)

    part = started(config)
    first = train(part, 5)
    part.end_epoch()
    saved, judged = stored(part, tmp_path)
    resumed = started(config, seed=9)
    go_on_from(resumed, saved, judged, config, STAGES)

    assert (resumed.epoch, resumed.batches, resumed.step) == (1, 0, 5)
    assert first + train(resumed, 3) == rates
    for one, other in ((whole.model, resumed.model), (whole.judged, resumed.judged)):
        for name, values in one.state_dict().items():
            assert torch.equal(values, other.state_dict()[name]), name
    assert torch.equal(torch.rand(3), continued_random(config, whole))


def continued_random(config, whole):
    """What a run without interruption draws next."""
    again = started(config)
    train(again, 8)
    return torch.rand(3)


def test_what_is_given_of_the_rates_counts(tmp_path):
    state = started()
    train(state, 5)
    saved, judged = stored(state, tmp_path)
    changed = replace(CONFIG, lr=0.02, momentum=0.5, weight_decay=0.0, schedule="constant")
    resumed = started(changed)
    go_on_from(resumed, saved, judged, changed, (Stage("all", 4, 0.02),))
    group = resumed.optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.02, 0.5, 0.0)


def test_batches_of_another_size_go_on_at_the_image_where_it_was(tmp_path):
    state = started(images=2)
    train(state, 3)
    saved, judged = stored(state, tmp_path)
    resumed = started(images=4, steps_per_epoch=3)
    go_on_from(resumed, saved, judged, CONFIG, STAGES)
    assert resumed.batches == 1  # 6 images were seen, whole batches hold 4
    assert resumed.schedule.last_epoch == 1


def test_an_average_can_begin_and_end_with_a_resume(tmp_path):
    without = replace(CONFIG, ema=0.0)
    state = started(without)
    train(state, 3)
    saved, judged = stored(state, tmp_path)
    resumed = started(CONFIG)
    go_on_from(resumed, saved, judged, CONFIG, STAGES)
    assert torch.equal(resumed.judged.first.weight, state.model.first.weight)

    train(resumed, 2)
    saved, judged = stored(resumed, tmp_path)
    again = started(without)
    go_on_from(again, saved, judged, without, STAGES)
    assert again.judged is again.model
    assert torch.equal(again.model.first.weight, resumed.model.first.weight)


def test_float16_can_begin_with_a_resume(tmp_path):
    state = started()
    train(state, 1)
    saved, judged = stored(state, tmp_path)
    half = replace(CONFIG, precision="fp16")
    resumed = started(half)
    scale = resumed.scaler.get_scale()
    go_on_from(resumed, saved, judged, half, STAGES)
    assert resumed.scaler.get_scale() == scale > 1


def test_the_scale_of_float16_goes_on(tmp_path):
    half = replace(CONFIG, precision="fp16")
    state = started(half)
    state.scaler.load_state_dict({**state.scaler.state_dict(), "scale": 64.0})
    state.overflows = 3
    saved, judged = stored(state, tmp_path)
    resumed = started(half)
    go_on_from(resumed, saved, judged, half, STAGES)
    assert resumed.scaler.get_scale() == 64.0
    assert resumed.overflows == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["weight", "buffer", "average", "momentum"])
def test_a_number_that_is_none_is_noticed_wherever_it_is(value, place):
    state = started()
    train(state, 2)
    assert state.is_finite()
    tensor = {
        "weight": state.model.last.weight.data,
        "buffer": state.model.norm.running_var,
        "average": state.judged.first.bias.data,
        "momentum": state.optimizer.state[state.model.first.weight]["momentum_buffer"],
    }[place]
    tensor.view(-1)[-1] = value
    assert not state.is_finite()


def test_the_average_forgets_the_first_weights_soon():
    """By TensorFlow's rule: its decay is at most (1 + n) / (10 + n) after n steps."""
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = MovingAverage(model, decay=0.5)
    expected = 0.0
    for step in range(1, 20):
        model.weight.data.fill_(float(step))
        average.update_parameters(model)
        seen = step - 1
        decay = min(0.5, (1 + seen) / (10 + seen))
        # torch takes the first weights as they are
        expected = float(step) if seen == 0 else decay * expected + (1 - decay) * step
        assert average.module.weight.item() == pytest.approx(expected)
