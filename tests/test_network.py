"""The network that a run starts with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nets.anchors import sizes_of
from nets.freezing import PartError
from nets.initial_weights import InitialWeights
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsError, WeightsFile, load_weights, save_weights
from utils.config import TrainConfig
from utils.data.images import load_image
from utils.open_data import open_configured
from utils.training.network import network_options, open_network, reopen_network
from utils.training.resume import SavedRun
from utils.training.stages import Stage

SMALL = "maskrcnn_resnet18_fpn_small"


def settings(**changes) -> TrainConfig:
    return TrainConfig(
        **{"arch": SMALL, "weights": "none", "min_size": 64, "max_size": 96, **changes}
    )


@pytest.fixture
def data(drawn_pennfudan):
    return open_configured(settings(data=str(drawn_pennfudan)))


@pytest.fixture(scope="module")
def coco_like(tmp_path_factory):
    """A weights file of another task with 4 classes, and the tensors in it."""
    path = tmp_path_factory.mktemp("weights") / "other.pth"
    torch.manual_seed(5)
    model = build_model(SMALL, 5)
    save_weights(path, WeightsFile(SMALL, 5, tuple("abcd"), model.state_dict()))
    return path, load_weights(path).model


def test_from_scratch_everything_trains(data):
    network = open_network(settings(rois=17, proposals=41), data)
    assert network.stages == (Stage("all", 10, 0.005),)
    assert network.freeze == "none"
    assert network.notes[0] == "weights: none, training from scratch"
    assert "stage 1 of 1: all, 10 epochs at learning rate 0.005" in network.notes[1]

    model = network.model
    assert model.roi_heads.box_predictor.cls_score.out_features == 2  # person and background
    assert (model.transform.min_size, model.transform.max_size) == ((64,), 96)
    assert model.roi_heads.fg_bg_sampler.batch_size_per_image == 17
    kept = {name: getattr(model.rpn, name) for name in ("_pre_nms_top_n", "_post_nms_top_n")}
    assert all(numbers == {"training": 41, "testing": 20} for numbers in kept.values())


def test_the_reference_has_torchvisions_modules_and_full_size_masks(drawn_pennfudan):
    config = settings(data=str(drawn_pennfudan), reference=True)
    data = open_configured(config)
    network = open_network(config, data)
    weights = WeightsFile(SMALL, 2, ("person",), network.model.state_dict(), network.options)
    saved = replace(config, freeze=network.freeze)
    again = reopen_network(saved, SavedRun(None, weights, {}, saved))
    for model in (network.model, again.model):
        kinds = {type(module).__module__.split(".")[0] for module in model.modules()}
        assert kinds == {"torch", "torchvision"}
    assert isinstance(data.train[0][1]["masks"], torch.Tensor)


def test_its_options_build_it_again(data):
    network = open_network(settings(), data)
    again = build_model(SMALL, 2, **network.options)
    again.load_state_dict(network.model.state_dict())
    assert str(again) == str(network.model)
    assert network_options(settings()).items() <= network.options.items()


@pytest.mark.parametrize(
    ("changes", "freeze", "trains"),
    [
        ({}, "3+", ["3+"]),
        ({"freeze": "heads"}, "heads", ["heads"]),
        ({"freeze": "none"}, "none", ["all"]),
        ({"stages": "heads:2@0.01,all:3"}, "auto", ["heads", "all"]),
    ],
)
def test_a_file_to_start_from_freezes_the_first_stages(data, coco_like, changes, freeze, trains):
    path, tensors = coco_like
    network = open_network(settings(weights=str(path), **changes), data)
    assert network.freeze == freeze
    assert [stage.trains for stage in network.stages] == trains
    assert len(network.notes) == 1 + len(trains)
    assert f"tensors from {path}" in network.notes[0]
    mine = network.model.state_dict()
    for name in ("backbone.body.conv1.weight", "rpn.head.cls_logits.weight"):
        assert torch.equal(mine[name], tensors[name])


def test_a_file_is_found_by_its_name(data, coco_like, tmp_path):
    path, tensors = coco_like
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.pth").write_bytes(path.read_bytes())
    network = open_network(settings(weights="mine.pth", output_root=tmp_path), data)
    name = "backbone.body.conv1.weight"
    assert torch.equal(network.model.state_dict()[name], tensors[name])
    with pytest.raises(WeightsError, match=r"nowhere\.pth"):
        open_network(settings(weights="nowhere.pth", output_root=tmp_path), data)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_file_of_a_training_that_diverged_is_refused(data, coco_like, tmp_path, number):
    path, tensors = tmp_path / "broken.pth", dict(coco_like[1])
    bias = tensors["roi_heads.mask_predictor.conv5_mask.bias"] = torch.zeros(128)
    save_weights(path, WeightsFile(SMALL, 5, tuple("abcd"), tensors))
    open_network(settings(weights=str(path)), data)

    bias[7] = number
    save_weights(path, WeightsFile(SMALL, 5, tuple("abcd"), tensors))
    message = r"broken\.pth: 1 tensor.* infinite or NaN, first roi_heads.mask_predictor.conv5.*bias"
    with pytest.raises(WeightsError, match=message):
        open_network(settings(weights=str(path)), data)
    with pytest.raises(WeightsError, match=message):  # test.py and predict.py
        load_weights(path)


def test_a_part_that_there_is_not_is_refused(data):
    with pytest.raises(PartError, match="nonsense"):
        open_network(settings(stages="nonsense:2"), data)


def test_what_is_measured_on_the_data_stays_with_the_network(data):
    network = open_network(settings(normalize="dataset", anchors="auto"), data)
    pixels = [load_image(record.path).reshape(-1, 3) / 255.0 for record in data.train.data.images]
    mean = sum(one.sum(0) for one in pixels) / sum(map(len, pixels))
    assert network.options["image_mean"] == pytest.approx(mean.tolist(), rel=1e-5)
    assert network.model.transform.image_mean == network.options["image_mean"]
    assert sizes_of(network.model) == pytest.approx(sorted(network.options["anchor_sizes"]))
    assert len(network.notes) == 4


def test_a_saved_network_is_built_from_its_file(data):
    config = settings(normalize="dataset", anchors="auto", freeze="4+")
    first = open_network(config, data)
    weights = WeightsFile(SMALL, 2, ("person",), {}, first.options)
    config = replace(config, freeze=first.freeze)
    again = reopen_network(config, SavedRun(None, weights, {}, config))
    again.model.load_state_dict(first.model.state_dict())
    assert str(again.model) == str(first.model)
    assert sizes_of(again.model) == sizes_of(first.model)
    assert again[1:4] == first[1:4] == (first.options, (Stage("4+", 10, 0.005),), "4+")
    assert again.notes == first.notes[-1:]


def test_more_channels_than_colour_train_from_the_first_convolution_on(data, coco_like):
    path, _ = coco_like
    network = open_network(settings(weights=str(path), channels=5), data)
    assert (network.freeze, network.stages[0].trains) == ("none", "all")
    assert network.model.backbone.body.conv1.in_channels == 5
    assert InitialWeights("", None, {}).freeze == "3+"  # what it would have been
