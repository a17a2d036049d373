"""When a run is saved, with what, and when it must not be."""

from __future__ import annotations

import time
from functools import partial

import pytest
import torch
from test_state import CONFIG, started, train

from nets.weights_file import WeightsFile, load_weights, read_pth
from utils.config import to_dict
from utils.interruption import Stopped
from utils.training.checkpoint import Checkpoints
from utils.training.diverged import DivergedError
from utils.training.keeper import Keeper
from utils.training.recorder import NoRecorder
from utils.training.validation import Validated

POINT = {"rule": "f1", "thresholds": [0.4], "costs": [], "notes": []}


def keeper(folder, minutes=0.0, writes=True) -> Keeper:
    weights = WeightsFile("maskrcnn_resnet50_fpn", 2, ("cat",), {})
    checkpoints = Checkpoints(folder, keep=1, writes=writes)
    return Keeper(checkpoints, started(), NoRecorder(), weights, to_dict(CONFIG), minutes)


def stop(kept):
    with kept.saving_when_stopped():
        raise Stopped(15)


def test_an_epoch_leaves_the_judged_weights_and_a_state_to_go_on_from(tmp_path):
    kept = keeper(tmp_path)
    train(kept.state, 5)
    kept.end_epoch(Validated({}, {"segm/AP": 0.5}, POINT), is_best=True)
    assert (kept.state.epoch, kept.state.batches) == (1, 0)
    for name in ("best.pth", "MaskRCNN_0.pth", "last.pth"):
        file = load_weights(tmp_path / name)
        assert (file.epoch, file.metrics) == (0, {"segm/AP": 0.5})
        assert file.operating_point == POINT
        assert torch.equal(file.model["first.weight"], kept.state.judged.first.weight)
        assert not torch.equal(file.model["first.weight"], kept.state.model.first.weight)
    resume = read_pth(tmp_path / "last.pth")["resume"]
    assert torch.equal(resume["model"]["first.weight"], kept.state.model.first.weight)
    assert (resume["epoch"], resume["batches"], resume["step"]) == (1, 0, 5)
    assert resume["settings"] == to_dict(CONFIG)


def test_within_an_epoch_it_is_saved_every_so_often(tmp_path):
    kept = keeper(tmp_path, minutes=0.1 / 60)
    train(kept.state, 1)
    kept.after_step()
    assert not list(tmp_path.iterdir())
    time.sleep(0.11)
    kept.after_step()
    assert read_pth(tmp_path / "last.pth")["resume"]["batches"] == 1
    train(kept.state, 1)
    kept.after_step()  # the next is due in a while
    assert read_pth(tmp_path / "last.pth")["resume"]["batches"] == 1


def test_0_minutes_save_at_the_end_of_epochs_only(tmp_path):
    kept = keeper(tmp_path)
    kept.last_save = 0.0
    train(kept.state, 1)
    kept.after_step()
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_stopped_is_saved(tmp_path):
    kept = keeper(tmp_path)
    train(kept.state, 3)
    with pytest.raises(Stopped), kept.saving_when_stopped():
        raise Stopped(15)
    assert read_pth(tmp_path / "last.pth")["resume"]["batches"] == 3


def test_a_place_is_saved_once(tmp_path):
    """A stop right after an epoch's save keeps what was said of the epoch, and the one before."""
    kept = keeper(tmp_path)
    train(kept.state, 5)
    kept.end_epoch(Validated({}, {"segm/AP": 0.5}, {}), is_best=False)
    with pytest.raises(Stopped), kept.saving_when_stopped():
        raise Stopped(15)
    assert load_weights(tmp_path / "last.pth").metrics == {"segm/AP": 0.5}
    assert not (tmp_path / "previous.pth").exists()


def test_other_errors_save_nothing(tmp_path):
    kept = keeper(tmp_path)
    train(kept.state, 3)
    with pytest.raises(ValueError, match="a bug"), kept.saving_when_stopped():
        raise ValueError("a bug")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ["epoch", "stop", "minutes"])
def test_what_is_not_finite_is_never_saved(tmp_path, how):
    kept = keeper(tmp_path, minutes=1e-9)
    train(kept.state, 2)
    kept.save()
    before = (tmp_path / "last.pth").read_bytes()
    train(kept.state, 1)
    kept.state.model.last.bias.data.fill_(float("nan"))
    save = {
        "epoch": partial(kept.end_epoch, Validated({}, {}, {}), is_best=True),
        "minutes": kept.after_step,
        "stop": partial(stop, kept),
    }[how]
    with pytest.raises(DivergedError, match="after step 3 are not all finite"):
        save()
    assert (tmp_path / "last.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


def test_only_the_process_that_writes_does(tmp_path):
    kept = keeper(tmp_path, writes=False)
    train(kept.state, 2)
    kept.end_epoch(Validated({}, {}, {}), is_best=True)
    assert kept.state.epoch == 1
    assert not list(tmp_path.iterdir())
