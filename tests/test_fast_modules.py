"""The fast modules train and detect as torchvision's own do."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import get_total_norm
from torch.testing import assert_close
from torchvision.models.detection import MaskRCNN
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign, box_iou

from my_dataset import ShapesDataset
from nets.fold_norms import NormedConv2d
from nets.freezing import train_only
from nets.mask_rcnn import build_model
from nets.roi_align import RowsRoIAlign
from nets.sampler import sampling_from
from nets.sparse_gradient import SparseGradientConv2d

ARCHS = (
    "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet18_fpn_small",
    "maskrcnn_mobilenet_v3_large_fpn",
)  # fmt: skip
SIZES = {"min_size": 96, "max_size": 128, "box_batch_size_per_image": 32}


def make_twins(arch, frozen_norm=True):
    """torchvision's modules and ours, with the same lively weights."""
    torch.manual_seed(0)
    reference = build_model(arch, 4, frozen_norm=frozen_norm, reference=True, **SIZES)
    with torch.no_grad():
        for norm in reference.modules():
            if isinstance(norm, FrozenBatchNorm2d):
                norm.running_mean.uniform_(-0.2, 0.2)
                norm.running_var.uniform_(2, 4)
                norm.bias.uniform_(-0.2, 0.2)
        reference.roi_heads.box_predictor.cls_score.weight.mul_(20)
    fast = build_model(arch, 4, frozen_norm=frozen_norm, **SIZES)
    fast.load_state_dict(reference.state_dict())
    kinds = {type(module) for module in fast.modules()}
    assert {RowsRoIAlign, SparseGradientConv2d} <= kinds
    assert (NormedConv2d in kinds) == frozen_norm
    return reference, fast


def scenes(count=2):
    return zip(*(ShapesDataset(count)[number] for number in range(count)), strict=True)


def trained(model):
    """Losses and gradients of one step."""
    images, targets = scenes()
    with sampling_from(model, [1, 2]):
        losses = model.train()(list(images), [dict(one) for one in targets])
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {n: loss.detach() for n, loss in losses.items()}, gradients


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("frozen_norm", [True, False])
def test_losses_and_gradients_are_torchvisions(arch, frozen_norm):
    """Of the whole gradient to 5e-4: what is added up in another order moves that of a deep network
    of random weights in the fourth digit. Those of each module are held to 1e-4 elsewhere."""
    reference, fast = make_twins(arch, frozen_norm)
    for model in (reference, fast):
        train_only(model, "3+" if frozen_norm else "all")
    (wanted, wanted_gradients), (found, found_gradients) = trained(reference), trained(fast)
    assert found.keys() == wanted.keys()
    for name, loss in wanted.items():
        assert_close(found[name], loss, rtol=1e-4, atol=1e-4, msg=name)
    assert found_gradients.keys() == wanted_gradients.keys()
    difference = [found_gradients[name] - one for name, one in wanted_gradients.items()]
    assert get_total_norm(difference) <= 5e-4 * get_total_norm(wanted_gradients.values())


@pytest.mark.parametrize("arch", ARCHS)
@torch.inference_mode()
def test_detections_are_torchvisions(arch):
    images = list(next(scenes()))
    for found, wanted in zip(*(model.eval()(images) for model in make_twins(arch)), strict=True):
        assert len(wanted["boxes"]) > 3
        assert torch.equal(found["labels"], wanted["labels"])
        for field in ("boxes", "scores"):
            assert_close(found[field], wanted[field], rtol=1e-4, atol=1e-4)
        masks, others = (one["masks"] >= 0.5 for one in (found, wanted))
        union = (masks | others).flatten(1).sum(1)
        assert ((masks & others).flatten(1).sum(1) >= 0.999 * union).all()


def test_the_reference_has_torchvisions_modules():
    model = build_model("maskrcnn_resnet50_fpn", 2, frozen_norm=True, reference=True)
    kinds = {type(module) for module in model.modules()}
    assert {MaskRCNN, nn.Conv2d, FrozenBatchNorm2d, MultiScaleRoIAlign} <= kinds
    ours = {kind for kind in kinds if kind.__module__.startswith("nets.")}
    assert not ours
    assert model.rpn.box_similarity is model.roi_heads.box_similarity is box_iou


def test_a_copy_is_a_network_of_its_own():
    """Its convolutions use its own norms."""
    _, fast = make_twins("maskrcnn_resnet18_fpn_small")
    image = torch.rand(1, 3, 64, 64)
    twin = copy.deepcopy(fast)
    wanted = fast.backbone(image)["0"]
    for norm in fast.modules():
        if isinstance(norm, FrozenBatchNorm2d):
            norm.bias.add_(1)
    assert torch.equal(twin.backbone(image)["0"], wanted)
    assert not torch.equal(fast.backbone(image)["0"], wanted)
