"""Networks for images of another number of channels than the three of RGB."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

RGB = 3
# Of red, green and blue in 0..1; torchvision's GeneralizedRCNNTransform has the same by default.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The first convolution and the mean of the norm behind it: of a ResNet, of a MobileNet.
STEMS = (
    ("backbone.body.conv1", "backbone.body.bn1.running_mean"),
    ("backbone.body.0.0", "backbone.body.0.1.running_mean"),
)


def imagenet_normalization(channels: int) -> dict[str, Any]:
    """ImageNet's mean and standard deviation as keywords of torchvision's ``MaskRCNN``.

    Other channels than RGB's have no statistics of their own there; each gets the average of the
    three, which is about what grey pictures have.
    """
    if channels == RGB:
        return {"image_mean": list(IMAGENET_MEAN), "image_std": list(IMAGENET_STD)}
    mean, std = sum(IMAGENET_MEAN) / RGB, sum(IMAGENET_STD) / RGB
    return {"image_mean": [mean] * channels, "image_std": [std] * channels}


def input_channels(state: dict[str, Tensor]) -> int:
    """How many channels the first convolution of a state_dict takes; 3 if it has none."""
    return next((state[f"{conv}.weight"].shape[1] for conv, _ in _stems(state)), RGB)


def set_input_channels(model: MaskRCNN, channels: int) -> None:
    """Give the model a fresh first convolution, initialised as torchvision's, if it needs one."""
    state = model.state_dict()
    if input_channels(state) == channels:
        return
    ((name, _),) = _stems(state)
    old = model.get_submodule(name)
    new = nn.Conv2d(
        channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=False
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)


def fit_input_channels(state: dict[str, Tensor], channels: int) -> tuple[dict[str, Tensor], str]:
    """Fit an RGB network's first convolution to images of so many channels.

    One channel gets the sum of the filters of R, G and B, so that the network computes of a grey
    image what it computed of the same image as RGB: the sum allows for the three deviations, and
    the mean of the norm behind takes up the three means (all but exact within three pixels of the
    border, where the padding stands for the mean). More channels get the filters of R, G, B, R...
    scaled by 3 / channels, so that equal channels give what they gave, as timm does it
    (``timm.models.adapt_input_conv``).

    Returns:
        The tensors, the given ones unchanged, and what was done; empty if there was nothing to do.
    """
    if channels == RGB or input_channels(state) != RGB:
        return state, ""
    ((name, norm_mean),) = _stems(state)
    weight = state[f"{name}.weight"]
    if channels > 1:
        cycled = weight[:, torch.arange(channels) % RGB] * (RGB / channels)
        done = f"RGB filters repeated over {channels} channels, scaled by 3/{channels}"
        return {**state, f"{name}.weight": cycled}, done
    grey = imagenet_normalization(1)
    mean, std = (weight.new_tensor(values) for values in (IMAGENET_MEAN, IMAGENET_STD))
    summed = (weight * (grey["image_std"][0] / std)[:, None, None]).sum(1, keepdim=True)
    adapted = {**state, f"{name}.weight": summed}
    if norm_mean in state:
        moved = weight.sum((2, 3)) @ ((grey["image_mean"][0] - mean) / std)
        adapted[norm_mean] = state[norm_mean] - moved
    return adapted, "RGB filters summed for 1 channel"


def _stems(state: dict[str, Tensor]) -> list[tuple[str, str]]:
    return [stem for stem in STEMS if f"{stem[0]}.weight" in state]
