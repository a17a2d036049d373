"""Writing TorchScript: for C++ programs with libtorch, and for PyTorch without this program.

Deprecated by PyTorch in favour of ``torch.export``, but torchvision's modules still compile.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import resize_boxes

from nets.exportable import INSIDE, clear_hooks
from nets.fold_norms import fold_batch_norms
from utils.export.card import KEY, ModelCard
from utils.export.network import network_of


def write_torchscript(card: ModelCard, path: Path) -> None:
    """Write the network of ``card.weights`` as a TorchScript file."""
    network = ScriptableMaskRCNN(scriptable(card), card.detections, card.settings.paste)
    with warnings.catch_warnings():  # that it is deprecated
        warnings.simplefilter("ignore")
        compiled = torch.jit.freeze(torch.jit.script(network.eval()))
        torch.jit.save(compiled, path, _extra_files={KEY: card.to_json()})


def scriptable(card: ModelCard) -> MaskRCNN:
    """torchvision's network without the parts of ours that do not compile, which are for training
    and for autocast."""
    model = network_of(card)
    clear_hooks(model)
    for part in (model.rpn, model.roi_heads):
        sampler = part.fg_bg_sampler
        part.fg_bg_sampler = BalancedPositiveNegativeSampler(
            sampler.batch_size_per_image, sampler.positive_fraction
        )
    fold_batch_norms(model)
    return model


class ScriptableMaskRCNN(nn.Module):
    """``nets.exportable.ExportableMaskRCNN`` around torchvision's own modules, which loop over the
    images of a batch and select by lists of any length: TorchScript can do that.

    Args:
        model: as ``scriptable`` makes it.
        places: for detections of an image.
        paste: give masks of the images' size too.
    """

    def __init__(self, model: MaskRCNN, places: int, paste: bool) -> None:
        super().__init__()
        self.transform, self.backbone = model.transform, model.backbone
        self.rpn, self.roi_heads = model.rpn, model.roi_heads
        self.min_size, self.max_size = model.transform.min_size[-1], model.transform.max_size
        self.multiple = model.transform.size_divisible
        self.places, self.paste, self.inside = places, paste, INSIDE

    def forward(self, images: Tensor) -> list[Tensor]:
        """The inputs and outputs of ``ExportableMaskRCNN``."""
        size = (images.shape[1], images.shape[2])
        pixels = images.permute(0, 3, 1, 2).float()
        if images.dtype == torch.uint8:
            pixels = pixels / 255
        batch = self.prepare(pixels, size)
        features = self.backbone(batch.tensors)
        proposals, _ = self.rpn(batch, features)
        found, _ = self.roi_heads(features, proposals, batch.image_sizes)
        rows: list[list[Tensor]] = []
        for one, resized in zip(found, batch.image_sizes):  # noqa: B905  # no strict= here
            boxes = resize_boxes(one["boxes"], resized, size)
            row = [boxes, one["labels"], one["scores"], one["masks"][:, 0]]
            if self.paste:
                whole = paste_masks_in_image(one["masks"], boxes, size)
                row.append((whole[:, 0] >= self.inside).to(torch.uint8))
            rows.append(row)
        counts = torch.tensor([len(one["scores"]) for one in found])
        filled = [torch.stack([self.padded(row[i]) for row in rows]) for i in range(len(rows[0]))]
        filled.insert(4, counts)
        return filled

    def prepare(self, pixels: Tensor, size: tuple[int, int]) -> ImageList:
        """As ``GeneralizedRCNNTransform``, whose TorchScript computes sizes in float32: images of
        97 pixels, resized to 800, would get one row less than in Python."""
        scale = min(self.min_size / min(size), self.max_size / max(size))
        resized = (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))
        pixels = F.interpolate(
            self.transform.normalize(pixels), resized, mode="bilinear", align_corners=False
        )
        images = list(pixels.unbind(0))
        batch = self.transform.batch_images(images, self.multiple)
        return ImageList(batch, [resized for _ in images])

    def padded(self, values: Tensor) -> Tensor:
        """Values (N, ...) with zeros behind, as many as there are places."""
        return F.pad(values, [0, 0] * (values.dim() - 1) + [0, self.places - values.shape[0]])
