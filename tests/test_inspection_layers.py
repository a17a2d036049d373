"""Layers in the order of the network, and their numbers against ones that are counted by hand."""

import math
from collections import Counter

import pytest
import torch
from inspected import make_model

from nets.mask_rcnn import build_model
from utils.inspection.layers import BINS, DEAD, SPAN, layers_of, rms

CONV, NORM = "backbone.body.layer1.0.conv1", "backbone.body.layer1.0.bn1"


@pytest.fixture(scope="module")
def model():
    return make_model()


def layer_of(model, name, **tensors):
    """A layer whose tensors are exchanged for others."""
    state = {**model.state_dict(), **{f"{name}.{part}": value for part, value in tensors.items()}}
    return next(layer for layer in layers_of(model, state) if layer.name == name)


def test_every_number_is_in_one_layer(model):
    layers = layers_of(model, model.state_dict())
    names = [name for layer in layers for name in layer.tensors]

    assert names == list(model.state_dict())  # in their order too
    assert [layer.number for layer in layers] == list(range(1, len(layers) + 1))


def test_trained_norms_count_their_batches_which_is_no_weight():
    model = build_model("maskrcnn_resnet18_fpn_small", 3, frozen_norm=False)
    state = model.state_dict()
    names = {name for layer in layers_of(model, state) for name in layer.tensors}

    counts = {name for name in state if name.endswith("num_batches_tracked")}
    assert len(counts) == 20
    assert names == state.keys() - counts


def test_layers_belong_to_parts_of_the_network(model):
    groups = Counter(layer.group for layer in layers_of(model, model.state_dict()))

    assert groups == {
        "C1": 2, "C2": 8, "C3": 10, "C4": 10, "C5": 10, "FPN": 8, "RPN": 3, "box head": 4,
        "mask head": 6,
    }  # fmt: skip
    assert next(iter(groups)) == "C1"


@pytest.mark.parametrize("arch", ["maskrcnn_mobilenet_v3_large_fpn", "maskrcnn_resnet50_fpn_v2"])
def test_other_networks_have_the_same_parts(arch):
    with torch.device("meta"):
        model = build_model(arch, 91, channels=4)
    groups = [layer.group for layer in layers_of(model, model.state_dict())]

    assert list(dict.fromkeys(groups)) == [
        "C1", "C2", "C3", "C4", "C5", "FPN", "RPN", "box head", "mask head",
    ]  # fmt: skip
    assert groups == sorted(groups, key=list(dict.fromkeys(groups)).index)


def test_kinds_and_filters(model):
    layers = {layer.name: layer for layer in layers_of(model, model.state_dict())}
    upscaling = model.roi_heads.mask_predictor.conv5_mask

    assert layers[CONV].kind == "convolution"
    assert torch.equal(layers[CONV].filters, model.backbone.body.layer1[0].conv1.weight.flatten(1))
    assert layers[NORM].kind == "norm"
    assert layers[NORM].is_norm
    assert layers["roi_heads.box_head.fc6"].kind == "linear"
    filters = layers["roi_heads.mask_predictor.conv5_mask"].filters
    assert len(filters) == upscaling.out_channels
    assert torch.equal(filters[5], upscaling.weight[:, 5].flatten())  # its weight has inputs first


def test_a_state_without_some_layers_leaves_them_out(model):
    state = {name: value for name, value in model.state_dict().items() if "predictor" not in name}
    layers = layers_of(model, state)

    assert len(layers) == 61 - 4
    assert layers_of(model, {}) == []


def test_sizes_by_hand(model):
    weight = torch.zeros(64, 64, 3, 3)
    weight[3, 0, 0, 0], weight[4, 0, 0, 0] = -8, 6
    layer = layer_of(model, CONV, weight=weight)

    assert layer.rms == pytest.approx(10 / math.sqrt(64 * 64 * 9))
    assert layer.largest == 8
    assert layer.reach == pytest.approx(0.8 * math.sqrt(64 * 64 * 9))  # 154
    assert layer.is_large
    assert layer.dead == 62


def test_a_filter_is_dead_beside_the_others(model):
    weight = torch.full((64, 64, 3, 3), 100.0)
    weight[0], weight[1], weight[2] = 0, 90 * DEAD, 200 * DEAD
    small = weight * 1e-9

    assert layer_of(model, CONV, weight=weight).dead == 2
    assert layer_of(model, CONV, weight=small).dead == 2


def test_a_scale_is_dead_of_either_sign(model):
    scales = torch.ones(64)
    scales[:4] = torch.tensor([0.0, -DEAD / 2, -1, 2 * DEAD])

    assert layer_of(model, NORM, weight=scales).dead == 2


def test_a_layer_of_zeros_is_dead_and_has_numbers(model):
    layer = layer_of(model, CONV, weight=torch.zeros(64, 64, 3, 3))

    assert (layer.rms, layer.largest, layer.reach, layer.dead) == (0, 0, 0, 64)
    assert not layer.is_large
    assert layer.histogram().max() == 1


def test_uniform_weights_are_not_large(model):
    layer = layer_of(model, CONV, weight=torch.rand(64, 64, 3, 3) - 0.5)

    assert layer.reach == pytest.approx(math.sqrt(3), rel=0.01)
    assert not layer.is_large
    assert layer.dead == 0


def test_numbers_that_are_not_finite_are_counted_and_left_out(model):
    weight = torch.full((64, 64, 3, 3), 2.0)
    weight[0, 0, 0, :2] = torch.tensor([math.nan, math.inf])
    layer = layer_of(model, CONV, weight=weight)

    assert layer.not_finite == 2
    assert (layer.rms, layer.largest) == (2, 2)
    assert len(layer.finite) == 64 * 64 * 9 - 2
    assert layer.histogram().sum() == pytest.approx(1)

    variance = torch.ones(64)
    variance[0] = -math.inf
    norm = layer_of(model, NORM, running_var=variance)
    assert norm.not_finite == 1
    assert norm.variances.tolist() == [1] * 63
    assert layer_of(model, CONV, weight=weight * math.nan).rms == 0


def test_histograms_are_in_multiples_of_the_rms(model):
    weight = torch.full((64, 64, 3, 3), -0.03)
    weight.view(-1)[::2] = 0.03
    share = layer_of(model, CONV, weight=weight).histogram()
    at = {int(place): float(share[place]) for place in share.nonzero()[:, 0]}
    middle, one = BINS // 2, BINS // (2 * SPAN)

    assert len(share) == BINS
    assert sum(at.values()) == pytest.approx(1)
    # On the border of two bins: which of them it is, is rounding.
    assert all(abs(place + 0.5 - middle) == pytest.approx(one, abs=0.51) for place in at)
    assert {place < middle for place in at} == {True, False}


def test_what_lies_outside_of_a_histogram_is_missing(model):
    weight = torch.zeros(64, 64, 3, 3)
    weight[0, 0] = 1  # 9 of 36864, at 64 times the RMS
    share = layer_of(model, CONV, weight=weight).histogram()

    assert 1 - float(share.sum()) == pytest.approx(9 / 36864, rel=1e-3)


def test_rms_of_many_numbers_is_exact():
    values = torch.randn(3_000_000, generator=torch.Generator().manual_seed(0)) * 1e-3

    assert rms(values) == pytest.approx(float(values.double().square().mean().sqrt()), rel=1e-9)
    assert rms(torch.zeros(0)) == 0
