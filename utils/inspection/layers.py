"""The layers of a network in their order: how large their weights are, and which are not sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from nets.freezing import BODY, body_stages

Kind = Literal["convolution", "linear", "norm"]

# A filter is dead if its RMS is below this share of its layer's. Networks that were trained have
# either none below a hundredth, or some at 1e-8: the decay of weights that no gradient holds.
DEAD = 1e-3
# A largest weight of so many times its layer's RMS is suspicious; trained networks reach 15.
LARGE = 50.0
COUNT = "num_batches_tracked"  # of a norm that trains: no number that it computes with
SPAN, BINS = 4.0, 48  # of a histogram: how far it goes in multiples of the layer's RMS
GROUPS = {
    "backbone.fpn.": "FPN",
    "rpn.": "RPN",
    "roi_heads.box_": "box head",
    "roi_heads.mask_": "mask head",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution, a linear layer or a batch norm, and its numbers.

    Attributes:
        number: its place in the network, from 1 on.
        name: of its module.
        group: the part of the network it belongs to: C1 to C5, FPN, RPN, box head or mask head.
        kind: what it computes.
        tensors: its own, by their names in the weights file.
        filters: its weights, float (outputs, weights of each); of a norm its scales, (channels, 1).
    """

    number: int
    name: str
    group: str
    kind: Kind
    tensors: dict[str, Tensor]
    filters: Tensor

    @property
    def is_norm(self) -> bool:
        """Whether it is a batch norm, frozen or not."""
        return self.kind == "norm"

    @property
    def variances(self) -> Tensor:
        """The running variances of a batch norm that are finite, (channels,)."""
        variances = self.tensors[f"{self.name}.running_var"]
        return variances[variances.isfinite()]

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What training can change by its gradient: weight and bias."""
        names = (f"{self.name}.weight", f"{self.name}.bias")
        return {name: self.tensors[name] for name in names if name in self.tensors}

    @cached_property
    def not_finite(self) -> int:
        """How many of all its numbers are infinite or NaN."""
        return sum(int((~tensor.isfinite()).sum()) for tensor in self.tensors.values())

    @cached_property
    def finite(self) -> Tensor:
        """Its weights, or scales, that are finite, flat."""
        flat = self.filters.flatten()
        return flat[flat.isfinite()] if self.not_finite else flat

    @cached_property
    def rms(self) -> float:
        """The root mean square of its weights, or scales; 0 if there is none."""
        return rms(self.finite)

    @cached_property
    def largest(self) -> float:
        """The weight, or scale, furthest from 0, without its sign."""
        return float(self.finite.abs().max()) if len(self.finite) else 0.0

    @cached_property
    def dead(self) -> int:
        """How many of its filters, or scales, are zero, or as good as zero beside the others."""
        sizes = self.filters.square().mean(1).sqrt()
        return int((sizes <= DEAD * self.rms).sum())

    @property
    def reach(self) -> float:
        """The largest in multiples of the RMS."""
        return self.largest / self.rms if self.rms else 0.0

    @property
    def is_large(self) -> bool:
        """Whether a single weight is far larger than the others."""
        return self.reach > LARGE

    def histogram(self) -> Tensor:
        """The share of its weights in each of ``BINS`` bins from -SPAN to SPAN times its RMS; what
        is missing to 1 lies further out."""
        values = self.finite / (self.rms or 1.0)
        return torch.histc(values, BINS, -SPAN, SPAN) / max(len(values), 1)


def layers_of(model: MaskRCNN, state: Mapping[str, Tensor]) -> list[Layer]:
    """The layers that a state_dict fills, in the order of the network that it is of.

    Args:
        model: the network; its own numbers are not looked at.
        state: its tensors, as in the weights file.
    """
    groups = dict(GROUPS)
    for number, children in enumerate(body_stages(model), 1):
        groups |= {f"{BODY}{child}.": f"C{number}" for child in children}
    layers: list[Layer] = []
    for name, module in model.named_modules():
        own = {part: f"{name}.{part}" for part in module.state_dict() if part != COUNT}
        weight = state.get(own.get("weight", ""))
        if weight is None:
            continue
        tensors = {known: state[known] for known in own.values() if known in state}
        group = next(group for start, group in groups.items() if f"{name}.".startswith(start))
        outward = weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight
        filters = outward.reshape(len(outward), -1)
        layers.append(Layer(len(layers) + 1, name, group, _kind(weight), tensors, filters))
    return layers


def rms(values: Tensor) -> float:
    """The root mean square; 0 of nothing."""
    norm = float(torch.linalg.vector_norm(values, dtype=torch.float64))
    return norm / max(values.numel(), 1) ** 0.5


def _kind(weight: Tensor) -> Kind:
    if weight.dim() == 1:
        return "norm"
    return "linear" if weight.dim() == 2 else "convolution"
