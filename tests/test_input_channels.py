"""Networks for other channels than RGB, and what they start from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nets.initial_weights import fit_state_dict
from nets.input_channels import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    fit_input_channels,
    input_channels,
)
from nets.mask_rcnn import ARCHITECTURES, build_model
from nets.weights_file import WeightsError, WeightsFile

SMALL = "maskrcnn_resnet18_fpn_small"
MOBILE = "maskrcnn_mobilenet_v3_large_fpn"
SIZES = {"min_size": 64, "max_size": 64}


def pretrained_like(arch, **options):
    """A network with norms and filters of its own for each channel, as training leaves them."""
    torch.manual_seed(0)
    model = build_model(arch, 2, **SIZES, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.5, 2)
    return model


def first_features(model, image):
    """What leaves the first norm."""
    seen = []
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    hook = norm.register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        features = model.backbone(model.transform([image])[0].tensors)
    hook.remove()
    return seen[0], features


def grey_image():
    return torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("arch", [SMALL, MOBILE])
def test_a_grey_image_gives_what_it_gave_as_rgb(arch):
    """With ImageNet's own three means and deviations, and frozen or training norms alike."""
    rgb, grey = pretrained_like(arch), build_model(arch, 2, channels=1, **SIZES).eval()
    report = fit_state_dict(grey, rgb.state_dict(), "RGB")
    image = grey_image()
    wanted, deep = first_features(rgb, image.repeat(3, 1, 1))
    found, found_deep = first_features(grey, image)
    assert torch.allclose(found[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2], atol=1e-5)
    scale = deep["0"].std()
    assert (found_deep["0"] - deep["0"]).abs().mean() < 0.01 * scale
    assert report.adapted == "RGB filters summed for 1 channel"
    assert report.taken == report.total
    assert "first convolution: RGB filters summed" in str(report)


@pytest.mark.parametrize("channels", [2, 4, 5, 6, 9])
def test_filters_are_repeated_and_scaled(channels):
    state = pretrained_like(SMALL).state_dict()
    before = {name: value.clone() for name, value in state.items()}
    adapted, done = fit_input_channels(state, channels)
    weight, rgb = adapted["backbone.body.conv1.weight"], state["backbone.body.conv1.weight"]
    assert weight.shape == (64, channels, 7, 7)
    for i in range(channels):
        assert torch.allclose(weight[:, i], rgb[:, i % 3] * 3 / channels)
    if channels % 3 == 0:  # equal channels give what they gave
        assert torch.allclose(weight.sum(1), rgb.sum(1), atol=1e-6)
    assert f"{channels} channels" in done
    assert all(torch.equal(state[name], before[name]) for name in before)
    assert set(adapted) == set(state)


def test_three_channels_are_left_as_they_are():
    state = pretrained_like(SMALL).state_dict()
    adapted, done = fit_input_channels(state, 3)
    assert adapted is state
    assert done == ""


def test_a_classifier_without_norm_statistics_is_adapted_too():
    state = {"backbone.body.conv1.weight": torch.ones(2, 3, 7, 7)}
    adapted, _ = fit_input_channels(state, 1)
    assert adapted["backbone.body.conv1.weight"].shape == (2, 1, 7, 7)
    assert torch.allclose(adapted["backbone.body.conv1.weight"], torch.tensor(3.0), atol=0.01)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("channels", [1, 5])
def test_every_architecture_takes_them(arch, channels):
    with torch.device("meta"):
        model = build_model(arch, 3, channels=channels, frozen_norm=True)
        body = model.backbone.body(torch.rand(1, channels, 64, 64))
    assert input_channels(model.state_dict()) == channels
    assert len(body) >= 2
    assert len(model.transform.image_mean) == len(model.transform.image_std) == channels


def test_a_fresh_first_convolution_is_initialised_like_torchvisions():
    torch.manual_seed(0)
    three, five = (build_model(SMALL, 2, channels=c).backbone.body.conv1.weight for c in (3, 5))
    assert five.std().item() == pytest.approx(three.std().item(), rel=0.05)
    assert five.requires_grad


def test_of_three_channels_the_network_is_torchvisions():
    torch.manual_seed(0)
    one = build_model(SMALL, 2)
    torch.manual_seed(0)
    other = ARCHITECTURES[SMALL]()
    first = "backbone.body.conv1.weight"
    assert torch.equal(one.state_dict()[first], other.state_dict()[first])
    assert one.transform.image_mean == other.transform.image_mean == list(IMAGENET_MEAN)
    assert one.transform.image_std == other.transform.image_std == list(IMAGENET_STD)


def test_other_channels_are_normalised_by_the_average_of_the_three():
    mean, std = (build_model(SMALL, 2, channels=2).transform.__dict__[f"image_{n}"]
                 for n in ("mean", "std"))  # fmt: skip
    assert np.allclose(mean, [np.mean(IMAGENET_MEAN)] * 2)
    assert np.allclose(std, [np.mean(IMAGENET_STD)] * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels is 0"),
        ({"channels": 2, "image_mean": [0.5] * 3}, "image_mean is for 3 channels, images have 2"),
        ({"image_std": [0.5]}, "image_std is for 1 channels, images have 3"),
    ],
)
def test_what_cannot_be_built_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        build_model(SMALL, 2, **options)


@pytest.mark.parametrize(("found", "wanted"), [(1, 3), (5, 3), (5, 4), (1, 2)])
def test_only_rgb_is_adapted(found, wanted):
    state = build_model(SMALL, 2, channels=found).state_dict()
    with pytest.raises(WeightsError, match=r"body\.conv1\.weight .*--channels it was trained"):
        fit_state_dict(build_model(SMALL, 2, channels=wanted), state, "file.pth")


def test_a_file_builds_the_network_it_was_saved_from():
    options = {**SIZES, "channels": 5, "image_mean": [0.1] * 5, "image_std": [0.2] * 5}
    model = build_model(SMALL, 2, **options)
    weights = WeightsFile(SMALL, 2, ("cell",), model.state_dict(), options)
    assert weights.channels == 5
    assert weights.build().transform.image_mean == [0.1] * 5
    assert WeightsFile(SMALL, 2, ("cell",), {}).channels == 3
