"""Building torchvision's Mask R-CNN for one's own classes.

    model = build_model("maskrcnn_resnet50_fpn", num_classes=2)   # background and one class

Everything is torchvision's: the architectures, the losses, the inference. This file only picks the
parts, swaps the two predictors, and decides which batch norms and anchors it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import (
    MaskRCNN,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import (
    BackboneWithFPN,
    mobilenet_backbone,
    resnet_fpn_backbone,
)
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from nets.anchors import feature_strides, keep_float32, set_anchors, sizes_of
from nets.fast_modules import use_fast_modules
from nets.input_channels import RGB, imagenet_normalization, set_input_channels
from nets.roi_align import set_strides
from nets.sampler import use_seeded_samplers

COCO_CLASSES = 91  # torchvision counts COCO's unused category numbers too
Builder = Callable[..., MaskRCNN]
ASPECT_RATIOS = (0.5, 1.0, 2.0)
SMALL_CHANNELS = 128


def _resnet50(**options: Any) -> MaskRCNN:
    return maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **options)


def _resnet50_v2(**options: Any) -> MaskRCNN:
    return maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **options)


def _resnet(name: str) -> Builder:
    def build(**options: Any) -> MaskRCNN:
        backbone = resnet_fpn_backbone(
            backbone_name=name, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
        )
        return MaskRCNN(backbone, COCO_CLASSES, **options)

    return build


def _mobilenet_v3(**options: Any) -> MaskRCNN:
    """Like torchvision's Faster R-CNN on MobileNetV3: two feature levels and a pooled one."""
    backbone = mobilenet_backbone(
        backbone_name="mobilenet_v3_large",
        weights=None,
        fpn=True,
        norm_layer=nn.BatchNorm2d,
        trainable_layers=6,
    )
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, (ASPECT_RATIOS,) * 3)
    pools = {
        f"{part}_roi_pool": MultiScaleRoIAlign(["0", "1"], size, sampling_ratio=2)
        for part, size in (("box", 7), ("mask", 14))
    }
    return MaskRCNN(backbone, COCO_CLASSES, rpn_anchor_generator=anchors, **pools, **options)


def _resnet18_small(**options: Any) -> MaskRCNN:
    """ResNet-18 with half the FPN channels and light heads: for small pictures and CPUs."""
    body = resnet18(weights=None)
    channels = [body.inplanes // 8 * 2**i for i in range(4)]
    layers = {f"layer{i + 1}": str(i) for i in range(4)}
    backbone = BackboneWithFPN(body, layers, channels, SMALL_CHANNELS)
    return MaskRCNN(
        backbone,
        box_head=TwoMLPHead(SMALL_CHANNELS * 7 * 7, 512),
        box_predictor=FastRCNNPredictor(512, COCO_CLASSES),
        mask_head=MaskRCNNHeads(SMALL_CHANNELS, [SMALL_CHANNELS] * 4, dilation=1),
        mask_predictor=MaskRCNNPredictor(SMALL_CHANNELS, SMALL_CHANNELS, COCO_CLASSES),
        **options,
    )


# The names are those of nets.architectures, which the command line offers.
ARCHITECTURES: dict[str, Builder] = {
    "maskrcnn_resnet50_fpn": _resnet50,
    "maskrcnn_resnet50_fpn_v2": _resnet50_v2,
    "maskrcnn_resnet18_fpn": _resnet("resnet18"),
    "maskrcnn_resnet18_fpn_small": _resnet18_small,
    "maskrcnn_resnet34_fpn": _resnet("resnet34"),
    "maskrcnn_resnet101_fpn": _resnet("resnet101"),
    "maskrcnn_mobilenet_v3_large_fpn": _mobilenet_v3,
}


def build_model(
    arch: str,
    num_classes: int,
    *,
    channels: int = RGB,
    frozen_norm: bool | str = False,
    norm_eps: float = 1e-5,
    anchor_sizes: Sequence[float] = (),
    aspect_ratios: Sequence[float] = (),
    reference: bool = False,
    **options: Any,
) -> MaskRCNN:
    """Build an untrained Mask R-CNN.

    Args:
        arch: a name in ``ARCHITECTURES``.
        num_classes: K + 1, background included.
        channels: of the images. Unless ``image_mean`` and ``image_std`` are among the options,
            they are normalised with ImageNet's numbers (``imagenet_normalization``).
        frozen_norm: make every batch norm a fixed affine map, as fine-tuning from pretrained
            weights with a few images a batch needs; ``"body"`` only those of the backbone's body;
            else batch norms train.
        norm_eps: what the frozen norms add to the variance (0 for torchvision's COCO_V1 weights).
        anchor_sizes: other anchors than the architecture's, see ``nets.anchors.set_anchors``.
        aspect_ratios: of the anchors, height over width.
        reference: leave torchvision's modules where this project has faster ones.
        **options: ``torchvision.models.detection.MaskRCNN``'s, such as ``min_size``.

    Raises:
        ValueError: no such architecture, fewer than two classes or one channel, or means,
            deviations or anchors that do not fit it.
    """
    if arch not in ARCHITECTURES:
        raise ValueError(f"no architecture {arch!r}; there are {', '.join(ARCHITECTURES)}")
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; it counts background, so at least 2")
    if channels < 1:
        raise ValueError(f"channels is {channels}; must be at least 1")
    options = {**imagenet_normalization(channels), **options}
    for name in ("image_mean", "image_std"):
        if len(options[name]) != channels:
            raise ValueError(f"{name} is for {len(options[name])} channels, images have {channels}")
    model = ARCHITECTURES[arch](**options)
    set_input_channels(model, channels)
    swap_predictors(model, num_classes)
    for pool in (model.roi_heads.box_roi_pool, model.roi_heads.mask_roi_pool):
        set_strides(pool, strides_of(arch)[: len(pool.featmap_names)])
    for head in (model.rpn.head, model.roi_heads.box_predictor):
        head.register_forward_hook(_to_float32)
    use_seeded_samplers(model)
    if frozen_norm:
        freeze_batch_norms(model.backbone.body if frozen_norm == "body" else model, norm_eps)
    if anchor_sizes or aspect_ratios:
        set_anchors(model, anchor_sizes, aspect_ratios)
    keep_float32(model.rpn.anchor_generator)
    if not reference:
        use_fast_modules(model)
    return model


@cache
def strides_of(arch: str) -> tuple[int, ...]:
    """How many pixels of the input lie between the points of an architecture's feature maps."""
    with torch.device("meta"):  # nothing is computed
        return feature_strides(ARCHITECTURES[arch]())


def swap_predictors(model: MaskRCNN, num_classes: int) -> None:
    """Give the model fresh box and mask predictors for ``num_classes`` (background included)."""
    box_features = model.roi_heads.box_predictor.cls_score.in_features
    model.roi_heads.box_predictor = FastRCNNPredictor(box_features, num_classes)
    old = model.roi_heads.mask_predictor
    model.roi_heads.mask_predictor = MaskRCNNPredictor(
        old.conv5_mask.in_channels, old.conv5_mask.out_channels, num_classes
    )


def input_size(model: MaskRCNN) -> tuple[int, int]:
    """The shorter side that pictures are resized to, and the longer side's limit, in pixels."""
    return model.transform.min_size[-1], model.transform.max_size


def anchor_sizes(arch: str) -> tuple[float, ...]:
    """The sides of an architecture's square anchors in pixels of its input, smallest first."""
    with torch.device("meta"):  # no weights are made
        model = ARCHITECTURES[arch]()
    return sizes_of(model)


def freeze_batch_norms(model: nn.Module, eps: float) -> None:
    """Replace every ``BatchNorm2d`` by a ``FrozenBatchNorm2d`` with the same numbers."""
    for name, child in model.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=eps)
            frozen.load_state_dict(child.state_dict())
            setattr(model, name, frozen)
        else:
            freeze_batch_norms(child, eps)


def _to_float32(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """Forward hook that hands box codes and scores on in float32.

    torchvision decodes and encodes boxes in the dtype of the head's output. Under bfloat16
    autocast that has 8 significant bits, so a box edge at 800 pixels would snap to multiples of 4.
    """
    if isinstance(outputs, Tensor):
        return outputs.float()
    return type(outputs)(_to_float32(module, inputs, output) for output in outputs)
