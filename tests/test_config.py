"""Settings: one home of defaults, parsers that hold none, and errors that list all problems."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import pytest

from utils import config
from utils.command_line import as_arguments, build_parser, parse
from utils.config import (
    AUTO_BATCH,
    NEWEST,
    OF_ONE_CALL,
    SHAPES_RECIPE,
    ConfigError,
    TrainConfig,
    to_dict,
)
from utils.doctor.config import CheckConfig
from utils.options import from_dict, options_of
from utils.prediction.config import PredictConfig

COMMANDS = (config.TrainConfig, config.TestConfig, PredictConfig)
COMMON = {"format", "classes", "images", "class-attribute", "embedded-images", "device",
          "precision", "reference", "max-pixels", "output-root", "debug"}  # fmt: skip
OPTIONS = {
    config.TrainConfig: COMMON | {
        "data", "val-data", "split-file", "group-by", "folds", "fold", "name", "arch",
        "weights", "epochs", "batch-size",
        "optimizer", "lr", "momentum", "weight-decay", "schedule", "lr-step", "lr-gamma", "warmup",
        "clip-norm", "min-size", "max-size", "rois", "proposals", "epoch-scenes", "keep", "seed",
        "workers", "worker-timeout", "resume", "dry-run", "freeze", "stages", "channels",
        "normalize", "anchors", "augment", "steps-per-epoch", "accumulate", "scale-lr",
        "sync-norm", "balance-classes", "group-aspects", "ema", "patience", "time-limit",
        "save-every", "deterministic", "cache",
    },
    config.TestConfig: COMMON | {
        "weights", "data", "split", "output", "workers", "worker-timeout", "predictions", "compare",
        "max-dets", "operating-point", "store",
    },
    PredictConfig: COMMON | {
        "weights", "source", "data", "score-threshold", "nms-threshold", "max-detections", "tile",
        "overlap", "every", "track", "overlays", "no-overlays", "id-masks", "class-masks",
        "labelme", "least-sure-first", "crops", "cutouts", "splash", "measurements", "pixel-size",
        "bin-size", "origin", "output", "overwrite", "strict",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """``--data auto`` looks into the current folder."""
    monkeypatch.chdir(tmp_path)


def train(*argv) -> TrainConfig:
    return parse(TrainConfig, argv, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_option_names_are_frozen(command):
    flags = {
        flag.removeprefix("--")
        for action in build_parser(command, "")._actions
        for flag in action.option_strings
        if flag.startswith("--")
    }
    assert flags - {"help"} == OPTIONS[command]


@pytest.mark.parametrize(
    ("short", "field"), [("-b", "batch_size"), ("-j", "workers")]
)  # fmt: skip
def test_short_options(short, field):
    assert getattr(train("--data", "x", short, "7"), field) == 7


@pytest.mark.parametrize("command", COMMANDS)
def test_parsers_hold_no_defaults(command):
    assert vars(build_parser(command, "").parse_args([])) == {}
    for action in build_parser(command, "")._actions:
        assert action.default is argparse.SUPPRESS, action.dest


@pytest.mark.parametrize("command", [config.TestConfig, PredictConfig])
def test_no_options_give_the_dataclass(command):
    assert parse(command, [], "") == command()


def test_no_options_give_the_dataclass_for_a_users_data():
    assert train("--data", "x") == TrainConfig(data="x", weights="coco")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_with_its_default(command):
    for field in options_of(command).values():
        assert field.metadata["help"]
    text = " ".join(build_parser(command, "").format_help().split())
    assert "(default: auto)" in text
    assert "None" not in text


def test_every_type_is_converted():
    found = train(
        "--data", "d", "--classes", "cat", "two words", "--output-root", "out", "--lr", "0.5",
        "--val-data", "v", "--debug", "--epochs", "3",
    )  # fmt: skip
    assert found.classes == ("cat", "two words")
    assert (found.output_root, found.val_data) == (Path("out"), Path("v"))
    assert (found.lr, found.epochs, found.debug) == (0.5, 3, True)
    assert parse(PredictConfig, ["--score-threshold", "0"], "").score_threshold == 0.0


def test_auto_data_is_shapes_without_pennfudan():
    assert train().data == "shapes"
    assert train("--data", "auto").data == "shapes"


def test_auto_data_is_pennfudan_if_it_is_there(tmp_path):
    (tmp_path / "PennFudanPed").mkdir()
    found = train()
    assert (found.data, found.weights) == ("PennFudanPed", "coco")
    assert found.arch == "maskrcnn_resnet50_fpn"


@pytest.mark.parametrize(
    ("argv", "weights"),
    [
        ([], "none"),
        (["--weights", "auto"], "none"),
        (["--weights", "imagenet"], "imagenet"),
        (["--data", "mine"], "coco"),
        (["--data", "mine", "--weights", "auto"], "coco"),
        (["--data", "mine", "--weights", "none"], "none"),
        (["--data", "mine", "--weights", "a.pth"], "a.pth"),
    ],
)
def test_auto_weights(argv, weights):
    assert train(*argv).weights == weights


def test_shapes_bring_their_recipe():
    found = train("--data", "shapes")
    assert {name: getattr(found, name) for name in SHAPES_RECIPE} == SHAPES_RECIPE


def test_recipe_fills_only_what_was_not_given():
    found = train("--data", "shapes", "--lr", "0.005", "--batch-size", "2")
    assert (found.lr, found.batch_size) == (0.005, 2)  # the usual defaults, but asked for
    assert found.optimizer == SHAPES_RECIPE["optimizer"]


def test_recipe_is_for_shapes_alone():
    assert train("--data", "mine").lr == 0.005


WRONG = [
    ({"epochs": 0}, "--epochs is 0, must be at least 1"),
    ({"batch_size": -1}, "--batch-size is -1"),
    ({"ema": 1.0}, "--ema is 1.0, must lie in 0..1"),
    ({"ema": -0.1}, "--ema is -0.1"),
    ({"accumulate": 0}, "--accumulate is 0"),
    ({"channels": 0}, "--channels is 0"),
    ({"patience": -1}, "--patience is -1"),
    ({"time_limit": -1.0}, "--time-limit is -1.0"),
    ({"save_every": -1.0}, "--save-every is -1.0"),
    ({"worker_timeout": 0}, "--worker-timeout is 0"),
    ({"dry_run": True, "resume": "newest"}, "--dry-run tries a new run; leave --resume out"),
    ({"stages": "heads:0"}, "--stages: heads has 0 epochs"),
    ({"min_size": 31}, "--min-size is 31, must be at least 32"),
    ({"workers": -2}, "--workers is -2"),
    ({"keep": -1}, "--keep is -1"),
    ({"cache": -2}, "--cache is -2, must be at least -1"),
    ({"seed": -1}, "--seed is -1"),
    ({"min_size": 900, "max_size": 800}, "--max-size 800 is below --min-size 900"),
    ({"lr": 0.0}, "--lr is 0.0, must be above 0"),
    ({"lr": float("nan")}, "--lr is nan"),
    ({"lr": float("inf")}, "--lr is inf"),
    ({"fold": 1}, "--fold 1 goes with --folds"),
    ({"folds": 5}, "--fold is not given, must be 1 to 5; python -m tools.cross_validate trains"),
    ({"folds": 5, "fold": 6}, "--fold is 6, must be 1 to 5"),
    ({"folds": 0, "fold": 1}, "--folds is 0, must be at least 2"),
    ({"group_by": "p("}, "--group-by p( is not a regular expression: missing )"),
    ({"val_data": Path("v"), "split_file": Path("s")}, "--val-data and --split-file both say"),
    ({"val_data": Path("v"), "folds": 2, "fold": 1}, "--val-data and --folds both say what is"),
    ({"split_file": Path("s"), "group_by": "p"}, "--split-file and --group-by both say what is"),
    ({"split_file": Path("s"), "group_by": "p", "folds": 2, "fold": 1}, "--folds all say what is"),
    ({"data": "shapes", "folds": 2, "fold": 1}, "--folds does not go with --data shapes"),
    ({"data": "shapes", "group_by": "p"}, "--group-by does not go with --data shapes"),
]


@pytest.mark.parametrize(("settings", "text"), WRONG)
def test_settings_that_cannot_work_are_refused(settings, text):
    with pytest.raises(ConfigError) as error:
        TrainConfig(**settings)
    assert text in str(error.value)


def test_groups_and_folds_go_together():
    TrainConfig(data="x", group_by=r"p\d+", folds=2, fold=2)


def test_least_values_are_allowed():
    TrainConfig(epochs=1, batch_size=1, min_size=32, max_size=32, rois=1, keep=0, workers=0)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        TrainConfig(epochs=0, batch_size=-1, lr=-1.0, folds=1, group_by="(")
    for flag in ("--epochs", "--batch-size", "--lr", "--folds", "--group-by"):
        assert flag in str(error.value)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold):
    with pytest.raises(ConfigError, match="--score-threshold"):
        PredictConfig(score_threshold=threshold)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--epoch", "3"], "--epoch 3"),  # no abbreviations: a new option could change them
        (["--colour", "red"], "--colour red"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--arch", "yolo"], "invalid choice: 'yolo'"),
        (["--classes"], "expected at least one argument"),
        (["--batch-size", "all"], "invalid int or auto value: 'all'"),
        (["--schedule", "poly"], "invalid choice: 'poly'"),
        (["--data", "x", "--stages", "heads"], "'heads' is not PART:EPOCHS[@LR]"),
        (["--data", "x", "--epochs", "0", "--lr", "0"], "--epochs is 0, must be at least 1; --lr"),
    ],
)
def test_wrong_usage_exits_with_2(argv, text, capsys):
    with pytest.raises(SystemExit) as error:
        train(*argv)
    assert error.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_settings_are_written_as_plain_values(command):
    values = to_dict(command(output_root=Path("out"), classes=("cat",)))
    assert json.loads(json.dumps(values))["output_root"] == "out"
    assert set(values) == set(options_of(command)) - set(OF_ONE_CALL)


@pytest.mark.parametrize(
    "settings",
    [
        TrainConfig(data="x", weights="none"),
        TrainConfig(data="x", classes=("a", "b c"), val_data=Path("v"), output_root=Path("out"),
                    images=Path("i"), ema=0.9, time_limit=1.5, stages="heads:2@0.1,all:3"),
        TrainConfig(data="x", folds=3, fold=2, batch_size=AUTO_BATCH, deterministic=True),
        PredictConfig(source=("a", "b"), score_threshold=0.25),
    ],
)  # fmt: skip
def test_settings_come_back_from_plain_values(settings):
    """Through a file, and with a setting of another version of the program beside them."""
    values = json.loads(json.dumps(to_dict(settings)))
    assert from_dict(type(settings), {**values, "colour": "red"}) == settings


def test_what_one_call_asks_for_is_no_setting_of_the_run():
    values = to_dict(train("--resume", "people"))
    assert {"resume", "dry_run", "given"}.isdisjoint(values)


@pytest.mark.parametrize(
    ("argv", "resume"),
    [([], None), (["--resume"], NEWEST), (["--resume", "people"], "people"),
     (["--resume", "--epochs", "3"], NEWEST)],
)  # fmt: skip
def test_resume_alone_is_the_newest_run(argv, resume):
    assert train(*argv).resume == resume


def test_a_resumed_run_knows_what_was_given_and_fills_in_nothing():
    """The saved run says the rest: no recipe of the shapes, no COCO weights."""
    found = train("--resume", "--epochs", "10", "-b", "3")
    assert found.given == {"resume", "epochs", "batch_size"}
    assert found == TrainConfig(resume=NEWEST, batch_size=3)


def test_what_was_given_is_not_part_of_the_settings():
    assert train("--data", "x").given == {"data"}
    assert train("--data", "x", "--epochs", "10") == train("--data", "x")


def test_the_batch_size_can_be_found():
    assert train("--data", "x", "--batch-size", "auto").batch_size == AUTO_BATCH
    assert train("--data", "x", "-b", "auto").batch_size == AUTO_BATCH
    assert train("--data", "x", "-b", "3").batch_size == 3


def test_settings_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().lr = 1.0


def test_arguments_for_another_command_are_what_was_given_to_this_one():
    given = [
        "my data",
        "--format",
        "coco",
        "--images",
        "p",
        "--embedded-images",
        "--min-size",
        "64",
    ]
    config = train("--data", *given, "--classes", "a", "b c", "--epochs", "3", "--val-data", "v")
    arguments = as_arguments(config, CheckConfig)
    assert arguments[arguments.index("--classes") :][:3] == ["--classes", "a", "b c"]
    again = parse(CheckConfig, [str(config.data), *arguments], "")
    assert again.reading == config.reading
    for name in ("format", "classes", "min_size", "max_size", "val_data", "arch"):
        assert getattr(again, name) == getattr(config, name)
    assert as_arguments(train("--data", "x"), CheckConfig) == []
