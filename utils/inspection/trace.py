"""What passes between the parts of a network while it looks at one image.

Nothing is computed a second time or in another way: forward hooks keep what torchvision's modules
hand on to each other, within one call of ``nets.detect.detect``.

    seen = trace_image(model, image)
    seen.features["P3"]             # float (1, C, h, w)
    seen.anchors[seen.objectness.argmax()]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from nets.compact_masks import CompactMasks
from nets.contract import Prediction
from nets.detect import detect

Maps = dict[str, Tensor]


@dataclass(frozen=True)
class Trace:
    """One image on its way through a network; all tensors are on the CPU. A are the anchors of all
    levels, P the proposals, D the detections, K the classes without background. Boxes are float32,
    xyxy in pixels of the network's input.

    Attributes:
        batch: the network's input, float32 (1, C, H, W): resized, normalised, padded.
        size: height and width of the image in it, without the padding.
        original: height and width of the image itself.
        body: feature maps of the backbone, C2, C3... by their stride of 2², 2³... pixels,
            (1, C, h, w).
        features: those of the feature pyramid, P2, P3...
        anchors: (A, 4), level by level.
        counts: of the anchors of each level.
        objectness: logits of the anchors, (A,).
        deltas: what the RPN would move the anchors by, (A, 4).
        proposals: (P, 4), the surest first.
        class_logits: (P, K + 1), background first.
        box_regression: of each proposal for each class, (P, (K + 1) * 4).
        detections: ``boxes`` (D, 4), ``labels`` (D,), ``scores`` (D,), the surest first, and
            ``masks``, float (D, 1, 28, 28) in 0..1.
        mask_logits: of each detection for each class, (D, K + 1, 28, 28).
        prediction: the detections at the size of the image itself.
    """

    batch: Tensor
    size: tuple[int, int]
    original: tuple[int, int]
    body: Maps
    features: Maps
    anchors: Tensor
    counts: list[int]
    objectness: Tensor
    deltas: Tensor
    proposals: Tensor
    class_logits: Tensor
    box_regression: Tensor
    detections: dict[str, Tensor]
    mask_logits: Tensor
    prediction: Prediction

    @property
    def scale(self) -> tuple[float, float]:
        """How many pixels of the network's input a pixel of the image became: across, down."""
        (height, width), (before, across) = self.size, self.original
        return width / across, height / before

    @property
    def levels(self) -> Tensor:
        """Which level each anchor is of, int64 (A,), from 0 on."""
        return torch.arange(len(self.counts)).repeat_interleave(torch.tensor(self.counts))

    def surest(self) -> Maps:
        """The highest objectness of the anchors of each point of the pyramid, logits (h, w)."""
        levels = zip(self.features.items(), self.objectness.split(self.counts), strict=True)
        return {
            name: logits.view(*values.shape[2:], -1).amax(-1) for (name, values), logits in levels
        }

    def strides(self) -> dict[str, int]:
        """How many pixels lie between the points of each map of the pyramid."""
        return {name: _stride(self.batch, values) for name, values in self.features.items()}


@torch.inference_mode()
def trace_image(model: MaskRCNN, image: Tensor) -> Trace:
    """Detect in one image and keep what passes between the network's parts.

    Args:
        model: of ``build_model``, in evaluation mode.
        image: float32 (channels, H, W) in 0..1, on the model's device.
    """
    parts = {
        "transform": model.transform,
        "body": model.backbone.body,
        "backbone": model.backbone,
        "anchors": model.rpn.anchor_generator,
        "rpn_head": model.rpn.head,
        "rpn": model.rpn,
        "box_predictor": model.roi_heads.box_predictor,
        "mask_predictor": model.roi_heads.mask_predictor,
        "heads": model.roi_heads,
    }
    with outputs_of(parts) as kept:
        predictions, _ = detect(model, [image])
    kept = on_cpu(kept)
    images, _ = kept["transform"]
    objectness, deltas = kept["rpn_head"]
    counts = [level[0].numel() for level in objectness]
    logits, moves = concat_box_prediction_layers(list(objectness), list(deltas))
    class_logits, box_regression = kept["box_predictor"]
    return Trace(
        batch=images.tensors,
        size=images.image_sizes[0],
        original=(int(image.shape[-2]), int(image.shape[-1])),
        body=_by_stride("C", images.tensors, kept["body"]),
        features=_by_stride("P", images.tensors, kept["backbone"]),
        anchors=kept["anchors"][0],
        counts=counts,
        objectness=logits.flatten(),
        deltas=moves,
        proposals=kept["rpn"][0][0],
        class_logits=class_logits,
        box_regression=box_regression,
        detections=kept["heads"][0][0],
        mask_logits=kept["mask_predictor"],
        prediction=predictions[0],
    )


@contextmanager
def outputs_of(parts: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Within, what each of the modules gave when it was called last, by name."""
    kept: dict[str, Any] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        kept[name] = output

    handles = [module.register_forward_hook(partial(keep, name)) for name, module in parts.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def on_cpu(value: Any) -> Any:
    """A copy, on the CPU, of whatever modules hand on."""
    if isinstance(value, Tensor | CompactMasks):
        return value.to(torch.device("cpu"))
    if isinstance(value, ImageList):
        return ImageList(on_cpu(value.tensors), value.image_sizes)
    if isinstance(value, dict):
        return {name: on_cpu(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_cpu(one) for one in value)
    return value


def _by_stride(letter: str, batch: Tensor, maps: Mapping[str, Tensor]) -> Maps:
    """Maps by their usual names; MobileNet has two of one stride."""
    named: Maps = {}
    for values in maps.values():
        name = f"{letter}{round(math.log2(_stride(batch, values)))}"
        named[f"{name}b" if name in named else name] = values
    return named


def _stride(batch: Tensor, values: Tensor) -> int:
    """Pixels of the input for each point of a map; the longer side tells it best."""
    side = max(2, 3, key=lambda axis: batch.shape[axis])
    return 2 ** round(math.log2(batch.shape[side] / values.shape[side]))
