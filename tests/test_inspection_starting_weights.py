"""Where a training began: drawn and loaded as train.py does it, and what became of each layer."""

import json
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import WeightsEnum, resnet18

from nets.freezing import train_only
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsError, WeightsFile, load_weights, save_weights
from utils.config import TrainConfig, to_dict
from utils.inspection.layers import layers_of
from utils.inspection.starting_weights import StartingWeights, change_of, starting_weights
from utils.open_data import open_configured
from utils.training.network import open_network

SMALL = "maskrcnn_resnet18_fpn_small"
CONV, NORM = "backbone.body.layer1.0.conv1", "backbone.body.layer1.0.bn1"
UNTAUGHT = "roi_heads.mask_predictor.mask_fcn_logits.weight"


class Run:
    """A run that is recorded as train.py does it, its network, and its weights after training."""

    def __init__(self, root, **settings):
        known = {"data": "shapes", "arch": SMALL, "weights": "none", "seed": 7, "output_root": root}
        config = TrainConfig(**{**known, "epoch_scenes": 4, **settings})
        torch.manual_seed(config.seed)
        network = open_network(config, open_configured(config))
        self.model = network.model
        self.began = {name: value.clone() for name, value in self.model.state_dict().items()}
        train_only(self.model, network.stages[0].trains)
        with torch.no_grad():  # as decay and gradients would
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    untaught = parameter[0] * 0.9
                    parameter.add_(0.1)
                    if name == UNTAUGHT:
                        parameter[0] = untaught
        state = self.model.state_dict()
        self.weights = WeightsFile(SMALL, 4, ("a", "b", "c"), state, network.options, epoch=0)
        self.record = to_dict(replace(config, freeze=network.freeze))
        self.settle(root)

    def settle(self, root):
        """Write its record into another folder."""
        self.path = root / "weights" / "shapes" / "best.pth"
        self.path.parent.mkdir(parents=True)
        self.settings = root / "runs" / "shapes" / "args.json"
        self.settings.parent.mkdir(parents=True)
        self.note()

    def note(self, **changes):
        """Write its record with other settings."""
        self.settings.write_text(json.dumps({**self.record, **changes}))

    def start(self, start=""):
        return starting_weights(self.weights, self.path, start)

    def changes(self, start):
        layers = layers_of(self.model, self.weights.model)
        return {layer.name: change_of(layer, start) for layer in layers}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run from random numbers."""
    return Run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(trained, tmp_path):
    """The same in a folder of its own."""
    moved = copy(trained)
    moved.settle(tmp_path)
    return moved


@pytest.fixture
def other(tmp_path):
    """A weights file of 4 other classes."""
    torch.manual_seed(5)
    model = build_model(SMALL, 5, frozen_norm=True)
    path = tmp_path / "weights" / "other.pth"
    path.parent.mkdir(exist_ok=True)
    weights = WeightsFile(SMALL, 5, tuple("wxyz"), model.state_dict(), {"frozen_norm": True})
    save_weights(path, weights)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """torchvision's cache, empty; nothing may be fetched that is not in it."""
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(folder.parent))

    def get_state_dict(enum, **_):
        assert (folder / Path(enum.url).name).is_file(), "a download"
        with torch.random.fork_rng():
            torch.manual_seed(11)
            return resnet18().state_dict()

    monkeypatch.setattr(WeightsEnum, "get_state_dict", get_state_dict)
    return folder


def same(state, wanted):
    return state.keys() == wanted.keys() and all(
        torch.equal(value, wanted[name]) for name, value in state.items()
    )


def test_random_numbers_are_drawn_again(run, tmp_path):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    start = run.start()

    assert same(start.state, run.began)
    assert start.source == "the random numbers of the run's seed 7, drawn again"
    assert not start.new
    assert start.trains == {name for name, _ in run.model.named_parameters()}
    assert torch.equal(torch.get_rng_state(), before)


def test_random_numbers_of_another_seed_are_noticed(run, tmp_path):
    run.note(seed=8)

    with pytest.raises(WeightsError, match="did not start from"):
        run.start()


def test_a_file_is_loaded_over_the_random_numbers(tmp_path, other):
    run = Run(tmp_path, weights="other.pth")
    start = run.start()

    assert same(start.state, run.began)
    assert start.source == str(other)
    class_dependent = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
    assert start.new == {name for name in run.began if name.startswith(class_dependent)}
    frozen = {name for name, _ in run.model.named_parameters()} - start.trains
    assert frozen
    assert all(name.startswith(("backbone.body.conv1", "backbone.body.layer1")) for name in frozen)


def test_a_file_that_changed_since_is_noticed(tmp_path, other):
    torch.manual_seed(2)
    weights = replace(load_weights(other), num_classes=4, classes=("a", "b", "c"))
    save_weights(other, replace(weights, model=build_model(SMALL, 4).state_dict()))
    run = Run(tmp_path, weights="other.pth")
    assert run.start().new == frozenset()

    save_weights(other, replace(weights, model=build_model(SMALL, 4).state_dict()))
    with pytest.raises(WeightsError, match="the file changed since"):
        run.start()


def test_a_file_of_what_was_the_newest_run_cannot_be_told(tmp_path, other):
    run = Run(tmp_path, weights="other.pth")
    save_weights(run.path.with_name("other.pth"), run.weights)
    other.unlink()

    with pytest.raises(WeightsError, match="what was then the newest run"):
        run.start()


def test_a_file_that_is_gone_is_told(tmp_path, other):
    run = Run(tmp_path, weights="other.pth")
    other.unlink()

    with pytest.raises(WeightsError, match=r"other\.pth: no such weights file"):
        run.start()


def test_pretrained_weights_are_not_downloaded(tmp_path, cache):
    (cache / "resnet18-f37072fd.pth").touch()
    run = Run(tmp_path, weights="imagenet")
    start = run.start()
    assert same(start.state, run.began)
    assert start.source == "ImageNet (backbone only)"
    assert any(name.startswith("backbone.fpn") for name in start.new)
    assert not any(name.startswith("backbone.body") for name in start.new)

    (cache / "resnet18-f37072fd.pth").unlink()
    with pytest.raises(WeightsError, match=r"which are not in .*--start imagenet"):
        run.start()
    with pytest.raises(AssertionError, match="a download"):
        run.start("imagenet")  # which is asked for


def test_coco_weights_are_not_downloaded(run, tmp_path, cache):
    run.note(weights="coco")

    weights = replace(run.weights, arch="maskrcnn_resnet50_fpn")
    with pytest.raises(WeightsError, match="coco weights, which are not in"):
        starting_weights(weights, run.path)
    with pytest.raises(WeightsError, match="there are no COCO weights for maskrcnn_resnet18"):
        run.start()
    with pytest.raises(WeightsError, match=r"^--start coco: there are no COCO weights"):
        run.start("coco")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"epochs": -3}', '{"epochs": "x"}'])
def test_a_record_that_cannot_be_read_is_told(run, tmp_path, content):
    run.settings.write_text(content)

    with pytest.raises(WeightsError, match=r"args\.json"):
        run.start()
    # Given the start, the record is not needed.
    begun = tmp_path / "begun.pth"
    save_weights(begun, replace(run.weights, model=run.began))
    given = run.start(str(begun))
    assert (given.trains, given.new) == (None, frozenset())
    assert same(given.state, run.began)


def test_a_file_without_a_run_has_no_start(run, tmp_path):

    with pytest.raises(WeightsError, match=r"no record of its run \(runs/NAME/args.json\)"):
        starting_weights(run.weights, tmp_path / "MaskRCNN_9.pth")


def test_a_start_that_is_named_must_fit(run, tmp_path, other):
    model = build_model("maskrcnn_resnet18_fpn", 4)
    big = tmp_path / "big.pth"
    torch.save(model.state_dict(), big)

    with pytest.raises(WeightsError, match=r"^--start nowhere.pth: nowhere.pth: no such"):
        run.start("nowhere.pth")
    with pytest.raises(WeightsError, match=r"^--start .*big.pth: .*does not fit this network"):
        run.start(str(big))
    with pytest.raises(WeightsError, match=r"^--start none: random numbers"):
        run.start("none")
    assert run.start("other.pth").source == str(other)  # found in the run's weights/


def test_without_a_record_new_layers_have_no_start(run, tmp_path, other):
    start = starting_weights(run.weights, tmp_path / "elsewhere.pth", str(other))

    assert start.trains is None
    assert UNTAUGHT in start.new
    assert start.state.keys() == run.weights.model.keys() - start.new
    changes = run.changes(start)
    assert changes["roi_heads.box_predictor.cls_score"].state == "new"
    assert changes["roi_heads.box_predictor.cls_score"].relative is None
    assert changes[CONV].state == "changed"


def test_stages_that_had_not_begun_trained_nothing(run):
    run.note(stages="heads:2,all:3", freeze="auto")

    def trains(epoch):
        weights = replace(run.weights, epoch=epoch)
        return starting_weights(weights, run.path).trains

    assert f"{CONV}.weight" not in trains(0) | trains(1)
    assert f"{CONV}.weight" in trains(2)
    assert trains(2) == trains(4) == trains(None) > trains(1)


@pytest.mark.parametrize(
    ("start", "now", "trains", "new", "wanted", "relative"),
    [
        (1, 1, None, False, "unchanged", 0),
        (1, 1, False, False, "frozen", 0),
        (1, 1, True, False, "not trained", 0),
        (1, 1, True, True, "not trained", 0),
        (1, 1.5, None, False, "changed", 0.5),
        (2, 1.5, True, False, "changed", 0.25),
        (1, 1.5, False, False, "not frozen", 0.5),
        (-1, 3, True, True, "new", 4),
        (None, 1, True, True, "new", None),
        (0, 1, True, False, "changed", None),
        (1, float("nan"), True, False, "changed", None),
    ],
)
def test_what_became_of_a_layer(trained, start, now, trains, new, wanted, relative):
    model = trained.model
    name = f"{CONV}.weight"
    state = {**model.state_dict(), name: torch.full((64, 64, 3, 3), float(now))}
    layer = next(one for one in layers_of(model, state) if one.name == CONV)
    began = {} if start is None else {name: torch.full((64, 64, 3, 3), float(start))}
    names = frozenset({name})
    known = None if trains is None else names if trains else frozenset({"another"})
    change = change_of(layer, StartingWeights("", began, names if new else frozenset(), known))

    assert change.state == wanted
    assert change.relative == (None if relative is None else pytest.approx(relative))


def test_weight_and_bias_count_and_so_do_running_statistics():
    model = build_model(SMALL, 4, frozen_norm=True)
    state = model.state_dict()
    layer = next(one for one in layers_of(model, state) if one.name == NORM)
    start = StartingWeights("", dict(state))
    start.state[f"{NORM}.bias"] = torch.full((64,), 0.5)  # scales are 1, biases 0
    assert change_of(layer, start).relative == pytest.approx((0.25 / 1.25) ** 0.5)

    start = StartingWeights("", {**state, f"{NORM}.running_var": torch.full((64,), 3.0)})
    assert change_of(layer, start).state == "changed"
    assert change_of(layer, start).relative == 0
