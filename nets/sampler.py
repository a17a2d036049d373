"""Sampling of anchors and RoIs to train on, in place of torchvision's sampler.

torchvision draws one image after the other from the global random state, so what an image is
trained on depends on the images before it. Here each image draws from a seed of its own: a step is
the same after a resume, and the same whether its images are in one process or in several. The
sampler also counts what it took, which is what torchvision's losses are averaged over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

# What each loss is a mean over: the columns of ``counts_of``.
ANCHORS, ROIS, POSITIVE_ROIS = range(3)
MEAN_OVER = {
    "loss_classifier": ROIS,
    "loss_box_reg": ROIS,
    "loss_mask": POSITIVE_ROIS,
    "loss_objectness": ANCHORS,
    "loss_rpn_box_reg": ANCHORS,
}


class SeededSampler(BalancedPositiveNegativeSampler):
    """torchvision's sampler while ``seeds`` is None; else it draws each image from its own seed.

    ``positives`` and ``sampled`` are how many it took of the last batch, int64 scalars.
    """

    seeds: Sequence[int] | None = None
    positives: Tensor
    sampled: Tensor

    def __call__(self, matched_idxs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        if self.seeds is None:
            positives, negatives = super().__call__(matched_idxs)
        else:
            positives, negatives = [], []
            for seed, image in zip(self.seeds, matched_idxs, strict=True):
                seed_generator(image.device, seed)
                positive, negative = super().__call__([image])
                positives += positive
                negatives += negative
        self.positives = torch.cat(positives).sum()
        self.sampled = self.positives + torch.cat(negatives).sum()
        return positives, negatives


def use_seeded_samplers(model: MaskRCNN) -> None:
    """Give a model's RPN and RoI heads samplers that can be seeded, with the numbers they have."""
    for part in (model.rpn, model.roi_heads):
        old = part.fg_bg_sampler
        part.fg_bg_sampler = SeededSampler(old.batch_size_per_image, old.positive_fraction)


@contextmanager
def sampling_from(model: MaskRCNN, seeds: Sequence[int]) -> Iterator[None]:
    """Within, the images of a batch are sampled from these seeds, one per image."""
    samplers = (model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler)
    try:
        for sampler in samplers:
            sampler.seeds = seeds
        yield
    finally:
        for sampler in samplers:
            sampler.seeds = None


def counts_of(model: MaskRCNN) -> Tensor:
    """How many anchors, RoIs and positive RoIs the last batch was trained on; float32 (3,)."""
    anchors, rois = model.rpn.fg_bg_sampler, model.roi_heads.fg_bg_sampler
    return torch.stack([anchors.sampled, rois.sampled, rois.positives]).float()


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed the default generator of one device (``torch.manual_seed`` would do all of them)."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
