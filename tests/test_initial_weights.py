"""Where training starts. No weights are downloaded: state dicts of the same shapes stand in."""

import io
from email.message import Message
from functools import cache
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import (
    MobileNet_V3_Large_Weights,
    ResNet18_Weights,
    ResNet50_Weights,
    WeightsEnum,
    mobilenet_v3_large,
    resnet18,
    resnet50,
)
from torchvision.models.detection import (
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone

from nets.initial_weights import LoadReport, read_initial_weights
from nets.mask_rcnn import ARCHITECTURES, build_model
from nets.weights_file import WeightsError, WeightsFile, save_weights

SMALL = "maskrcnn_resnet18_fpn_small"
V1, V2 = "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"
PREDICTORS = {
    f"roi_heads.{name}.{kind}"
    for name in (
        "box_predictor.cls_score",
        "box_predictor.bbox_pred",
        "mask_predictor.mask_fcn_logits",
    )
    for kind in ("weight", "bias")
}


def random_norms(model):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    first = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    first.running_var.fill_(1e-5)  # small enough for an epsilon to show
    return model


@cache
def stand_in(enum):
    """What the enum would download: the names and shapes of the published file."""
    torch.manual_seed(0)
    builders = {
        MaskRCNN_ResNet50_FPN_Weights.COCO_V1: maskrcnn_resnet50_fpn,
        MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1: maskrcnn_resnet50_fpn_v2,
    }
    if enum in builders:
        build = builders[enum]
        model = build(weights=None, weights_backbone=None, num_classes=91)
    else:
        build = {
            ResNet18_Weights.IMAGENET1K_V1: resnet18,
            ResNet50_Weights.IMAGENET1K_V1: resnet50,
            MobileNet_V3_Large_Weights.IMAGENET1K_V1: mobilenet_v3_large,
        }[enum]
        model = build(weights=None)
    state = random_norms(model).state_dict()
    if build in (maskrcnn_resnet50_fpn, resnet18, resnet50):  # published without these counts
        state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    return state


@pytest.fixture
def asked(monkeypatch):
    """The enum members whose weights were asked for, in order."""
    members = []

    def get_state_dict(member, *args, **options):
        members.append(member)
        return stand_in(member)

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    return members


def copy_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def is_count(name):
    return name.endswith("num_batches_tracked")


# --- none


def test_none_leaves_the_network_as_built():
    model = build_model(SMALL, 3)
    before = copy_of(model)
    report = read_initial_weights(SMALL, "none").load_into(model)

    assert (report.taken, report.total, report.skipped) == (0, len(before), {})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- COCO


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(
    ("arch", "member"),
    [
        (V1, MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
        (V2, MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
    ],
)
def test_coco_weights_fill_all_but_the_predictors(arch, member, frozen, asked):
    model = build_model(arch, 3, frozen_norm=frozen)
    before = copy_of(model)
    report = read_initial_weights(arch, "coco").load_into(model)

    assert asked == [member]
    assert report.source == "COCO"
    assert report.skipped.keys() == PREDICTORS
    weight = "roi_heads.box_predictor.cls_score.weight"
    assert report.skipped[weight] == "shape (91, 1024) in the file, (3, 1024) here"
    published = stand_in(member)
    for name, value in model.state_dict().items():
        wanted = before[name] if name in PREDICTORS else published.get(name, before[name])
        assert torch.equal(value, wanted), name
    assert report.total == len(before)
    assert report.taken == len((before.keys() & published.keys()) - PREDICTORS)
    assert report.taken > 250


def test_coco_weights_for_91_classes_fill_everything(asked):
    model = build_model(V1, 91, **read_initial_weights(V1, "coco").options)
    report = read_initial_weights(V1, "coco").load_into(model)

    assert (report.taken, report.skipped) == (report.total, {})


@pytest.mark.parametrize("arch", [V1, V2])
@torch.no_grad()
def test_features_from_coco_weights_are_those_of_torchvision(arch, asked):
    # Frozen norms with the epsilon of torchvision's own loader: 0 for V1, 1e-5 for V2.
    ours = build_model(arch, 2, **read_initial_weights(arch, "coco").options)
    read_initial_weights(arch, "coco").load_into(ours)
    if arch == V1:
        theirs = maskrcnn_resnet50_fpn(weights=MaskRCNN_ResNet50_FPN_Weights.COCO_V1)
    else:
        theirs = maskrcnn_resnet50_fpn_v2(weights=MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1)
    image = torch.rand(1, 3, 64, 64)
    wanted = theirs.eval().backbone(image)

    scale = {name: value.abs().max() for name, value in wanted.items()}
    for name, value in ours.backbone(image).items():
        assert wanted[name].isfinite().all()
        torch.testing.assert_close(value / scale[name], wanted[name] / scale[name])
    if arch == V1:
        overwrite_eps(ours, 1e-5)
        assert not torch.allclose(ours.backbone(image)["0"], wanted["0"], rtol=1e-3)


@pytest.mark.parametrize("arch", [a for a in ARCHITECTURES if a not in (V1, V2)])
def test_coco_weights_exist_for_two_architectures_only(arch, asked):
    with pytest.raises(WeightsError, match=f"no COCO weights for {arch}.*--weights imagenet"):
        read_initial_weights(arch, "coco")
    assert asked == []


# --- ImageNet


def torchvision_body(arch, member):
    """torchvision's own backbone of a detection model, filled by torchvision's own loader."""
    if "mobilenet" in arch:
        backbone = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=member, fpn=True)
    else:
        name = arch.removeprefix("maskrcnn_").split("_")[0]
        backbone = resnet_fpn_backbone(backbone_name=name, weights=member)
    return {f"backbone.body.{name}": v for name, v in backbone.body.state_dict().items()}


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize(
    ("arch", "member"),
    [
        (SMALL, ResNet18_Weights.IMAGENET1K_V1),
        ("maskrcnn_resnet18_fpn", ResNet18_Weights.IMAGENET1K_V1),
        (V1, ResNet50_Weights.IMAGENET1K_V1),
        (V2, ResNet50_Weights.IMAGENET1K_V1),
        ("maskrcnn_mobilenet_v3_large_fpn", MobileNet_V3_Large_Weights.IMAGENET1K_V1),
    ],
)
def test_imagenet_weights_fill_the_body_alone(arch, member, frozen, asked):
    model = build_model(arch, 3, frozen_norm=frozen)
    before = copy_of(model)
    report = read_initial_weights(arch, "imagenet").load_into(model)

    assert asked == [member]
    wanted = torchvision_body(arch, member)
    after = model.state_dict()
    for name, value in after.items():
        if not is_count(name):
            assert torch.equal(value, wanted.get(name, before[name])), name
    others = {n for n in before if not n.startswith("backbone.body.") and not is_count(n)}
    assert report.skipped == dict.fromkeys(others, "not in the file")
    assert wanted.keys() == {
        n for n in before if n.startswith("backbone.body.") and not is_count(n)
    }
    assert len(wanted) <= report.taken < report.total


# --- what cannot be had


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache and no way to the network; returns the cache's folder."""

    def unreachable(*args, **options):
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    folder = Path(torch.hub.get_dir(), "checkpoints")
    assert folder.is_relative_to(tmp_path)
    folder.mkdir(parents=True)
    return folder


def refusal(arch, weights):
    with pytest.raises(WeightsError) as caught:
        read_initial_weights(arch, weights).load_into(build_model(SMALL, 3))
    message = str(caught.value)
    assert "--weights FILE" in message
    assert "--weights none" in message
    return message


@pytest.mark.parametrize(
    ("arch", "weights", "member"),
    [
        (V1, "coco", MaskRCNN_ResNet50_FPN_Weights.COCO_V1),
        (V2, "coco", MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
        (SMALL, "imagenet", ResNet18_Weights.IMAGENET1K_V1),
    ],
)
def test_without_a_network_the_ways_on_are_named(arch, weights, member, no_network):
    message = refusal(arch, weights)

    assert "Name or service not known" in message
    assert member.url in message
    assert list(no_network.iterdir()) == []


def test_a_cached_file_is_read_without_a_network(no_network):
    member = ResNet18_Weights.IMAGENET1K_V1
    torch.save(stand_in(member), no_network / Path(member.url).name)
    model = build_model(SMALL, 3)
    read_initial_weights(SMALL, "imagenet").load_into(model)

    wanted = stand_in(member)["layer4.1.conv2.weight"]
    assert torch.equal(model.backbone.body.layer4[1].conv2.weight, wanted)


@pytest.mark.parametrize("kind", ["empty", "truncated", "web page", "pickled object"])
def test_a_damaged_cached_file_is_named(kind, no_network):
    cached = no_network / Path(ResNet18_Weights.IMAGENET1K_V1.url).name
    torch.save({"a": torch.zeros(1000), "b": Path("x") if kind == "pickled object" else 1}, cached)
    whole = cached.read_bytes()
    data = {"empty": b"", "truncated": whole[:-900], "web page": b"<html>Not found</html>"}
    cached.write_bytes(data.get(kind, whole))

    assert f"{cached} is damaged, delete it" in refusal(SMALL, "imagenet")


class Response(io.BytesIO):
    """A web server's answer."""

    def info(self):
        return Message()


def test_a_download_that_was_altered_is_refused(no_network, monkeypatch):
    monkeypatch.setattr(torch.hub, "urlopen", lambda *args, **options: Response(b"other bytes"))

    assert "invalid hash value" in refusal(SMALL, "imagenet")
    assert list(no_network.iterdir()) == []


# --- files


@pytest.fixture
def file(tmp_path):
    """A weights file of the small network for four classes."""
    model = build_model(SMALL, 5)
    path = tmp_path / "best.pth"
    save_weights(
        path, WeightsFile(SMALL, 5, ("a", "b", "c", "d"), random_norms(model).state_dict())
    )
    return path


def test_a_file_for_the_same_classes_fills_everything(file):
    model = build_model(SMALL, 5)
    report = read_initial_weights(SMALL, str(file)).load_into(model)

    saved = torch.load(file)["model"]
    assert (report.source, report.taken, report.skipped) == (str(file), report.total, {})
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_a_file_for_other_classes_skips_the_predictors_alone(file):
    model = build_model(SMALL, 3, frozen_norm=True)
    before = copy_of(model)
    report = read_initial_weights(SMALL, str(file)).load_into(model)

    saved = torch.load(file)["model"]
    assert report.skipped.keys() == PREDICTORS
    assert report.taken == report.total - len(PREDICTORS)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name in PREDICTORS else saved[name]), name


def test_a_file_without_predictors_starts_them_fresh(file):
    state = torch.load(file)["model"]
    torch.save({name: v for name, v in state.items() if name not in PREDICTORS}, file)
    report = read_initial_weights(SMALL, str(file)).load_into(build_model(SMALL, 3))

    assert report.skipped == dict.fromkeys(PREDICTORS, "not in the file")


def test_what_the_network_does_not_have_is_reported(file):
    state = {**torch.load(file)["model"], "ema.decay": torch.zeros(1)}
    torch.save(state, file)
    report = read_initial_weights(SMALL, str(file)).load_into(build_model(SMALL, 5))

    assert report.skipped == {"ema.decay": "not in this network"}


@pytest.mark.parametrize("arch", ["maskrcnn_resnet18_fpn", "maskrcnn_mobilenet_v3_large_fpn"])
def test_a_file_of_another_architecture_is_refused(file, arch):
    model = build_model(arch, 5)
    before = copy_of(model)

    with pytest.raises(WeightsError) as caught:
        read_initial_weights(arch, str(file)).load_into(model)

    assert str(file) in str(caught.value)
    assert "--arch" in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nothing\.pth: no such weights file"):
        read_initial_weights(SMALL, str(tmp_path / "nothing.pth")).load_into(build_model(SMALL, 3))


# --- options and report


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_norms_train_only_from_scratch(arch):
    start = read_initial_weights(arch, "none")
    assert start.options == {"frozen_norm": False}
    assert start.freeze == "none"


def test_imagenet_freezes_the_norms_of_the_body_alone(asked):
    start = read_initial_weights(V2, "imagenet")
    model = build_model(V2, 2, **start.options)

    training = [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert training
    assert not [name for name in training if name.startswith("backbone.body")]
    assert start.freeze == "3+"


@pytest.mark.parametrize("eps", [0.0, 1e-5])
def test_a_file_brings_the_epsilon_of_its_norms(tmp_path, eps):
    options = {"frozen_norm": True, "norm_eps": eps, "min_size": 64}
    weights = WeightsFile(SMALL, 3, ("a", "b"), build_model(SMALL, 3).state_dict(), options)
    save_weights(tmp_path / "ours.pth", weights)

    assert read_initial_weights(SMALL, str(tmp_path / "ours.pth")).options == {
        "frozen_norm": True,
        "norm_eps": eps,
    }


def test_a_file_brings_its_anchors(tmp_path):
    anchors = {"anchor_sizes": [8, 16, 32, 64, 128], "aspect_ratios": [0.25, 1.0, 3.0]}
    model = build_model(SMALL, 3, **anchors)
    weights = WeightsFile(SMALL, 3, ("a", "b"), model.state_dict(), {**anchors, "min_size": 64})
    save_weights(tmp_path / "ours.pth", weights)
    start = read_initial_weights(SMALL, str(tmp_path / "ours.pth"))

    assert start.options == {"frozen_norm": True, "norm_eps": 1e-5, **anchors}
    assert start.freeze == "3+"


@pytest.mark.parametrize(("classes", "eps"), [(91, 0.0), (2, 1e-5)])
def test_a_published_coco_file_has_norms_without_epsilon(tmp_path, classes, eps):
    model = build_model(SMALL, classes, frozen_norm=True)
    torch.save(model.state_dict(), tmp_path / "plain.pth")

    options = read_initial_weights(SMALL, str(tmp_path / "plain.pth")).options

    assert options == {"frozen_norm": True, "norm_eps": eps}


@pytest.mark.parametrize(
    ("skipped", "wanted"),
    [
        ({}, "weights: 7 of 9 tensors from COCO"),
        (
            {"a": "not in the file"},
            "weights: 7 of 9 tensors from COCO\n  1 skipped, not in the file: a",
        ),
        (
            {**dict.fromkeys("abcde", "not in the file"), "z": "not in this network"},
            "weights: 7 of 9 tensors from COCO\n"
            "  5 skipped, not in the file: a, b, c, d, ...\n"
            "  1 skipped, not in this network: z",
        ),
    ],
)
def test_the_report_groups_by_reason(skipped, wanted):
    assert str(LoadReport("COCO", 7, 9, skipped)) == wanted
