"""The networks that ``build_model`` makes, held against torchvision's own builders."""

import math

import pytest
import torch
from torch import nn
from torchvision.models.detection import (
    MaskRCNN,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.ops import FrozenBatchNorm2d

from nets.mask_rcnn import ARCHITECTURES, build_model

SMALL = "maskrcnn_resnet18_fpn_small"
BOXES = torch.tensor([[5.0, 5.0, 40.0, 50.0], [20.0, 10.0, 60.0, 60.0]])


def make_target(count):
    masks = torch.zeros(count, 64, 64, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, BOXES.int().tolist(), strict=False):
        mask[y1:y2, x1:x2] = 1
    labels = torch.arange(1, count + 1)
    return {"boxes": BOXES[:count], "labels": labels, "masks": masks}


def shapes_of(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_predictors_are_for_the_asked_classes(arch):
    model = build_model(arch, 4)

    assert isinstance(model, MaskRCNN)
    predictor = model.roi_heads.box_predictor
    assert (predictor.cls_score.out_features, predictor.bbox_pred.out_features) == (4, 16)
    assert model.roi_heads.mask_predictor.mask_fcn_logits.out_channels == 4


@pytest.mark.parametrize(
    ("arch", "build"),
    [
        ("maskrcnn_resnet50_fpn", maskrcnn_resnet50_fpn),
        ("maskrcnn_resnet50_fpn_v2", maskrcnn_resnet50_fpn_v2),
    ],
)
def test_tensors_have_the_names_and_shapes_of_torchvision(arch, build):
    theirs = build(weights=None, weights_backbone=None, num_classes=2)

    assert shapes_of(build_model(arch, 2)) == shapes_of(theirs)


@pytest.mark.parametrize("arch", ["", "maskrcnn_resnet50", "fasterrcnn_resnet50_fpn"])
def test_unknown_architecture_is_refused(arch):
    with pytest.raises(ValueError, match="there are maskrcnn_resnet50_fpn, "):
        build_model(arch, 2)


def test_anchors_are_those_asked_for():
    model = build_model(SMALL, 2, anchor_sizes=[8, 16, 32, 64, 128], aspect_ratios=[0.25, 1, 3])
    own = build_model(SMALL, 2)

    assert model.rpn.anchor_generator.sizes == ((8,), (16,), (32,), (64,), (128,))
    assert model.rpn.anchor_generator.aspect_ratios == ((0.25, 1, 3),) * 5
    assert own.rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert shapes_of(model) == shapes_of(own)  # the same RPN head fits


@pytest.mark.parametrize("num_classes", [-1, 0, 1])
def test_fewer_than_two_classes_are_refused(num_classes):
    with pytest.raises(ValueError, match=f"num_classes is {num_classes}"):
        build_model(SMALL, num_classes)


def with_used_batch_norms(arch):
    """A model whose batch norms look trained: none of their four tensors is at its start value."""
    model = build_model(arch, 2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


@pytest.mark.parametrize(
    "arch", [SMALL, "maskrcnn_resnet50_fpn_v2", "maskrcnn_mobilenet_v3_large_fpn"]
)
@torch.no_grad()
def test_frozen_norms_compute_what_batch_norms_do_in_evaluation(arch):
    torch.manual_seed(0)
    free = with_used_batch_norms(arch)
    frozen = build_model(arch, 2, frozen_norm=True)
    frozen.load_state_dict(free.state_dict())
    frozen.train()  # frozen also means that training mode changes nothing

    kinds = [type(module) for module in frozen.modules()]
    assert nn.BatchNorm2d not in kinds
    norms = [kind for kind in kinds if issubclass(kind, FrozenBatchNorm2d)]
    assert len(norms) == [type(m) for m in free.modules()].count(nn.BatchNorm2d)
    image = torch.rand(1, 3, 64, 64)
    for name, wanted in free.backbone(image).items():
        torch.testing.assert_close(frozen.backbone(image)[name], wanted, rtol=1e-3, atol=1e-4)
    channels = free.backbone.out_channels
    for part, side in (("box_head", 7), ("mask_head", 14)):
        pooled = torch.rand(2, channels, side, side)
        wanted = getattr(free.roi_heads, part)(pooled)
        found = getattr(frozen.roi_heads, part)(pooled)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_frozen_norms_have_the_asked_epsilon():
    model = build_model(SMALL, 2, frozen_norm=True, norm_eps=0.0)

    found = {m.eps for m in model.modules() if isinstance(m, FrozenBatchNorm2d)}
    assert found == {0.0}


@torch.no_grad()
def test_heads_hand_on_float32_under_bfloat16():
    model = build_model(SMALL, 3, min_size=64, max_size=64).eval()
    with torch.autocast("cpu", torch.bfloat16):
        features = list(model.backbone(torch.rand(1, 3, 64, 64)).values())
        objectness, deltas = model.rpn.head(features)
        scores, codes = model.roi_heads.box_predictor(torch.rand(2, 512))

    assert {f.dtype for f in features} == {torch.bfloat16}  # autocast was on
    assert {t.dtype for t in (*objectness, *deltas, scores, codes)} == {torch.float32}


def bfloat16_share(boxes):
    """Which part of the numbers loses nothing in bfloat16; 1 means they were computed in it."""
    inside = boxes[(boxes > 0) & (boxes < 500)]  # clipped to the image is no evidence
    assert len(inside) > 50
    return (inside == inside.bfloat16().float()).float().mean()


@torch.no_grad()
def test_boxes_are_not_quantised_under_bfloat16():
    torch.manual_seed(0)
    model = build_model(SMALL, 3, min_size=500, max_size=500).eval()
    batch, _ = model.transform([torch.rand(3, 500, 500)])
    with torch.autocast("cpu", torch.bfloat16):
        features = model.backbone(batch.tensors)
        fine = model.rpn(batch, features)[0]
        found = model.roi_heads(features, fine, batch.image_sizes)[0][0]["boxes"]
        model.rpn.head._forward_hooks.clear()
        coarse = model.rpn(batch, features)[0]

    assert bfloat16_share(fine[0]) < 0.2
    assert bfloat16_share(found) < 0.2
    assert bfloat16_share(coarse[0].float()) > 0.8  # what torchvision does by itself


@pytest.mark.parametrize("frozen_norm", [False, True])
@pytest.mark.parametrize("counts", [(0,), (0, 0), (0, 2)])
def test_images_without_objects_train(counts, frozen_norm):
    torch.manual_seed(0)
    model = build_model(SMALL, 3, min_size=64, max_size=64, frozen_norm=frozen_norm).train()
    images = [torch.rand(3, 64, 64) for _ in counts]

    losses = model(images, [make_target(count) for count in counts])
    sum(losses.values()).backward()

    values = {name: loss.item() for name, loss in losses.items()}
    assert all(math.isfinite(value) for value in values.values())
    for name in ("loss_box_reg", "loss_mask", "loss_rpn_box_reg"):
        assert (values[name] > 0) == any(counts)
    assert values["loss_classifier"] > 0
    assert values["loss_objectness"] > 0
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, g in gradients.items() if g is None] == []
    assert all(g.isfinite().all() for g in gradients.values())
    assert all(v.isfinite().all() for v in model.state_dict().values())  # running averages too
