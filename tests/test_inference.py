"""A network made ready to predict gives what torchvision's own gives in float32."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torch import nn
from torch.testing import assert_close
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FrozenBatchNorm2d

from nets import winograd
from nets.class_thresholds import set_class_thresholds
from nets.detect import detect
from nets.inference import ready_for_inference
from nets.mask_rcnn import build_model
from nets.winograd import WinogradConv2d

ARCHS = (
    "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet18_fpn_small",
    "maskrcnn_mobilenet_v3_large_fpn",
)  # fmt: skip
SIZES = [(64, 96), (100, 72)]


def make_model(arch, classes=3, **options):
    """Random, with norms that do something and scores that differ."""
    torch.manual_seed(0)
    options = {"min_size": 96, "max_size": 128, "box_detections_per_img": 12,
               "rpn_post_nms_top_n_test": 100, **options}  # fmt: skip
    model = build_model(arch, classes, frozen_norm=True, **options)
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, FrozenBatchNorm2d):
                norm.running_mean.uniform_(-0.2, 0.2)
                norm.running_var.uniform_(2, 4)  # else what is added up grows from block to block
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
        model.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(20)
    return model.eval()


def make_images():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, height, width, generator=generator) for height, width in SIZES]


def iou(rle, mask):
    found = coco_mask.decode(rle).astype(bool)
    union = (found | mask).sum()
    return (found & mask).sum() / union if union else 1.0


@pytest.mark.parametrize("arch", ARCHS)
@torch.inference_mode()
def test_it_predicts_what_torchvision_does(arch):
    images = make_images()
    wanted = MaskRCNN.forward(make_model(arch, reference=True), images)
    ready = ready_for_inference(make_model(arch), torch.float32)
    predictions, _ = detect(ready, images)
    assert sum(len(one["scores"]) for one in wanted) > 3
    for found, expected in zip(predictions, wanted, strict=True):
        assert torch.equal(found["labels"], expected["labels"])
        for field in ("boxes", "scores"):
            assert_close(found[field], expected[field], rtol=1e-5, atol=1e-4)
        assert_close(found["scores"], expected["scores"], rtol=0, atol=1e-4)
        masks = (expected["masks"][:, 0] >= 0.5).numpy()
        ious = [iou(rle, mask) for rle, mask in zip(found["masks"], masks, strict=True)]
        assert np.min(ious, initial=1.0) >= 0.999


@torch.inference_mode()
def test_what_is_below_its_threshold_costs_no_mask():
    ready = ready_for_inference(make_model("maskrcnn_resnet18_fpn_small"), torch.float32)
    set_class_thresholds(ready.roi_heads, (2.0, 2.0))
    counts = []
    ready.roi_heads.mask_head.register_forward_hook(
        lambda _, given, __: counts.append(len(given[0]))
    )
    assert all(len(one["scores"]) == 0 for one in detect(ready, make_images())[0])
    assert counts == [0]


def test_nothing_is_left_to_train_or_to_normalise():
    ready = ready_for_inference(make_model("maskrcnn_resnet18_fpn_small"), torch.bfloat16)
    assert not any(parameter.requires_grad for parameter in ready.parameters())
    assert not any(isinstance(part, FrozenBatchNorm2d) for part in ready.modules())
    weights = {
        part.weight.dtype for part in ready.modules() if isinstance(part, nn.Conv2d | nn.Linear)
    }
    assert weights == {torch.bfloat16}


def test_in_bfloat16_large_convolutions_are_winograds():
    def count(dtype):
        ready = ready_for_inference(make_model("maskrcnn_resnet50_fpn"), dtype)
        return sum(isinstance(part, WinogradConv2d) for part in ready.modules())

    # Of the body 5 of stage 4 and 2 of stage 5, the others have fewer channels or a stride; of the
    # FPN 4, of the RPN 1, of the mask head 4.
    assert count(torch.bfloat16) == 5 + 2 + 4 + 1 + 4
    assert count(torch.float32) == 0


@torch.inference_mode()
def test_cast_weights_give_what_autocast_does():
    model, images = make_model("maskrcnn_resnet18_fpn_small", rpn_score_thresh=0.0), make_images()
    folded = ready_for_inference(copy.deepcopy(model), torch.float32)
    cast = ready_for_inference(model, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        predictions = [detect(one, images)[0] for one in (folded, cast)]
    for one, other in zip(*predictions, strict=True):
        assert len(one["scores"]) > 3
        assert torch.equal(one["scores"], other["scores"])
        assert torch.equal(one["boxes"], other["boxes"])
        assert one["masks"] == other["masks"]


@torch.inference_mode()
def test_winograds_feature_maps_are_near_the_direct_ones():
    """In bfloat16, of the whole backbone; maps of few cells are convolved directly."""
    images = [torch.rand(3, 200, 240, generator=torch.Generator().manual_seed(2))]
    options = {"min_size": 200, "max_size": 320, "rpn_score_thresh": 0.0}
    ways = []
    for least in (winograd.LEAST_CELLS, 10**9):
        ready = ready_for_inference(make_model("maskrcnn_resnet18_fpn", **options), torch.bfloat16)
        with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
            patch.setattr(winograd, "LEAST_CELLS", least)
            ways.append(ready.backbone(ready.transform(images)[0].tensors))
    for name, direct in ways[1].items():
        difference = (ways[0][name].float() - direct.float()).norm() / direct.float().norm()
        assert difference < 0.02
    assert not torch.equal(ways[0]["0"], ways[1]["0"])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_a_gpu_predicts_too(dtype):
    ready = ready_for_inference(make_model("maskrcnn_resnet50_fpn").cuda(), dtype)
    with torch.autocast("cuda", dtype):
        predictions, _ = detect(ready, [image.cuda() for image in make_images()])
    assert len(predictions) == len(SIZES)
