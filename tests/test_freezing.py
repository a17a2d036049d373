"""Which parts of a network train, held against torchvision's own trainable layers."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone

from nets.freezing import (
    PartError,
    hold_frozen_norms,
    part_left_by,
    train_only,
    trainable_count,
    trainable_names,
)
from nets.mask_rcnn import build_model

SMALL = "maskrcnn_resnet18_fpn_small"
MOBILENET = "maskrcnn_mobilenet_v3_large_fpn"
# torchvision counts the stages that train, from the deepest on; a MobileNet's last block is one.
LAYERS = {"heads": 0, "5+": 1, "4+": 2, "3+": 3, "all": 5}
MOBILENET_LAYERS = {"heads": 0, "5+": 2, "4+": 3, "3+": 4, "all": 6}


def meta_model(arch):
    with torch.device("meta"):
        return build_model(arch, 3)


@pytest.fixture(scope="module")
def small():
    return meta_model(SMALL)


def trains(module):
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("part", LAYERS)
@pytest.mark.parametrize("name", ["resnet50", "resnet18"])
def test_resnet_stages_are_those_of_torchvision(name, part):
    with torch.device("meta"):
        theirs = resnet_fpn_backbone(
            backbone_name=name,
            weights=None,
            norm_layer=nn.BatchNorm2d,
            trainable_layers=LAYERS[part],
        )
    model = meta_model(f"maskrcnn_{name}_fpn")
    train_only(model, part)

    assert trains(model.backbone) == trains(theirs)
    assert trains(model.rpn) == {n for n, _ in model.rpn.named_parameters()}
    assert trains(model.roi_heads) == {n for n, _ in model.roi_heads.named_parameters()}


@pytest.mark.parametrize("part", MOBILENET_LAYERS)
def test_mobilenet_stages_are_those_of_torchvision(part):
    with torch.device("meta"):
        theirs = mobilenet_backbone(
            backbone_name="mobilenet_v3_large",
            weights=None,
            fpn=True,
            norm_layer=nn.BatchNorm2d,
            trainable_layers=MOBILENET_LAYERS[part],
        )
    model = meta_model(MOBILENET)
    train_only(model, part)

    assert trains(model.backbone) == trains(theirs)


def test_a_later_part_trains_again(small):
    train_only(small, "heads")
    assert "backbone.body.conv1.weight" not in trains(small)
    train_only(small, "all")
    assert trains(small) == {name for name, _ in small.named_parameters()}


def test_a_regular_expression_finds_what_trains(small):
    names = {name for name, _ in small.named_parameters()}
    predictors = {n for n in names if "predictor" in n}

    assert trainable_names(small, r"_predictor\.") == predictors
    assert trainable_names(small, r"all but _predictor\.") == names - predictors
    assert trainable_names(small, "^rpn|mask") == {
        n for n in names if n.startswith("rpn") or "mask" in n
    }


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("hedas", "no parameter's name matches 'hedas'"),
        ("all but ", "leaves nothing to train"),
        ("all but .", "'all but .' leaves nothing to train"),
        ("all but body:", "no parameter's name matches 'body:'"),
        ("conv[", r"'conv\[' is no regular expression \(unterminated character set"),
        ("2+", r"there is no 2\+;"),
        ("6+", r"there is no 6\+;"),
        ("13+", r"there is no 13\+;"),
    ],
)
def test_no_such_part_is_refused_with_the_parts_there_are(small, part, problem):
    with pytest.raises(PartError, match=problem) as caught:
        train_only(small, part)

    for name in ("heads, 3+", "backbone.body", "backbone.fpn", "rpn.head", "roi_heads.mask_head"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("freeze", "part"),
    [
        ("none", "all"),
        ("heads", "heads"),
        ("3+", "3+"),
        ("5+", "5+"),
        ("2+", "2+"),  # to be refused, not to be taken for an expression
        ("backbone", "all but backbone"),
        ("^rpn|box", "all but ^rpn|box"),
    ],
)
def test_what_freeze_leaves_to_train(freeze, part):
    assert part_left_by(freeze) == part


def test_parameters_are_counted(small):
    total = sum(p.numel() for p in small.parameters())
    body = sum(p.numel() for p in small.backbone.body.parameters())

    assert trainable_count(small, "all") == (total, total)
    assert trainable_count(small, "heads") == (total - body, total)


def make_batch():
    boxes = torch.tensor([[5.0, 5.0, 40.0, 50.0]])
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[0, 5:50, 5:40] = 1
    return [torch.rand(3, 64, 64)], [{"boxes": boxes, "labels": torch.tensor([1]), "masks": mask}]


@pytest.mark.parametrize(
    ("part", "without_graph"), [("all", 0), ("3+", 2), ("4+", 3), ("5+", 4), ("heads", 5)]
)
def test_stages_below_the_first_that_trains_build_no_graph(part, without_graph):
    torch.manual_seed(0)
    model = build_model(SMALL, 3, min_size=64, max_size=64, frozen_norm=True).train()
    train_only(model, part)
    has_graph = []
    for name in ("relu", "layer1", "layer2", "layer3", "layer4"):
        model.backbone.body[name].register_forward_hook(
            lambda module, inputs, output: has_graph.append(output.grad_fn is not None)
        )
    losses = model(*make_batch())
    sum(losses.values()).backward()

    assert has_graph == [False] * without_graph + [True] * (5 - without_graph)
    assert {n for n, p in model.named_parameters() if p.grad is not None} == trains(model)


def norms_of(model):
    return {
        name: (module.running_mean.clone(), module.running_var.clone(), module.num_batches_tracked)
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


def test_frozen_batch_norms_do_not_move():
    torch.manual_seed(0)
    model = build_model(SMALL, 3, min_size=64, max_size=64)
    train_only(model, "4+")
    before = copy.deepcopy(norms_of(model))
    model.train()
    hold_frozen_norms(model)
    model(*make_batch())

    moved = {
        name
        for name, values in norms_of(model).items()
        if not all(torch.equal(a, b) for a, b in zip(values, before[name], strict=True))
    }
    trained = ("backbone.body.layer3.", "backbone.body.layer4.")
    assert moved == {name for name in before if name.startswith(trained)}
    assert 0 < len(moved) < len(before)

    train_only(model, "all")
    model.train()
    hold_frozen_norms(model)
    assert all(m.training for m in model.modules())


def test_synchronised_and_plain_norms_are_held_alike():
    norm = nn.SyncBatchNorm(2).requires_grad_(False)
    half = nn.BatchNorm2d(2)
    half.bias.requires_grad_(False)
    no_parameters = nn.BatchNorm2d(2, affine=False)
    model = nn.Sequential(norm, half, no_parameters, nn.Dropout().requires_grad_(False)).train()
    hold_frozen_norms(model)

    assert [m.training for m in model] == [False, True, True, True]
