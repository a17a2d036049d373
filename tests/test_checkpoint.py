"""Which weights files a run keeps, and how they are found again."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
import torch

from nets.weights_file import WeightsFile, load_weights, read_pth
from utils.training.checkpoint import Checkpoints, check_space, keep_as, space_wanted


def weights(epoch, ap=None) -> WeightsFile:
    metrics = {} if ap is None else {"segm/AP": ap, "bbox/AP": 1 - ap}
    model = {"w": torch.tensor([float(epoch)])}
    arch = "maskrcnn_resnet50_fpn"
    return WeightsFile(arch, 2, ("cat",), model, metrics=metrics, epoch=epoch)


def saved(folder, scores, keep=1):
    """The files of epochs with these scores, and which of them were the best so far."""
    checkpoints = Checkpoints(folder, keep)
    best = []
    for epoch, ap in enumerate(scores):
        file = weights(epoch, ap)
        best.append(checkpoints.judge(epoch, file.metrics))
        checkpoints.save_epoch(file, best[-1])
        checkpoints.save_last(file, {"epoch": epoch + 1})
    return checkpoints, best


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def number_in(path) -> float:
    return load_weights(path).model["w"].item()


@pytest.mark.parametrize(
    ("scores", "is_best"),
    [
        ([None], [True]),
        ([None, None], [True, True]),  # nothing to judge by: the newest
        ([0.0, 0.0], [True, True]),  # nothing found yet
        ([0.0, 0.3, 0.0], [True, True, False]),
        ([None, 0.1], [True, True]),
        ([0.5, 0.2, 0.5], [True, False, False]),  # a tie keeps the earlier
        ([0.1, 0.4, 0.3, 0.6], [True, True, False, True]),
    ],
)
def test_best_is_the_first_of_the_highest_segm_ap(tmp_path, scores, is_best):
    checkpoints, best = saved(tmp_path, scores)
    assert best == is_best
    winner = max(n for n, flag in enumerate(is_best) if flag)
    assert checkpoints.best_epoch == winner
    assert checkpoints.best == scores[winner]
    file = load_weights(tmp_path / "best.pth")
    assert file.epoch == winner
    assert file.model["w"].item() == winner


@pytest.mark.parametrize(
    ("keep", "numbered"), [(0, []), (1, [11]), (2, [10, 11]), (20, list(range(12)))]
)
def test_the_newest_epochs_are_kept(tmp_path, keep, numbered):
    saved(tmp_path, [0.1] * 12, keep)
    wanted = {"best.pth", "last.pth", "previous.pth", *(f"MaskRCNN_{n}.pth" for n in numbered)}
    assert names(tmp_path) == wanted


def test_files_of_others_are_left_alone(tmp_path):
    for name in ("MaskRCNN_old.pth", "MaskRCNN_.pth", "mine.pth"):
        (tmp_path / name).write_bytes(b"mine")
    saved(tmp_path, [0.1, 0.2])
    assert {path.name for path in tmp_path.iterdir() if path.read_bytes() == b"mine"} == {
        "MaskRCNN_old.pth", "MaskRCNN_.pth", "mine.pth",
    }  # fmt: skip


def test_only_last_holds_a_state_and_the_best_so_far(tmp_path):
    saved(tmp_path, [0.5, 0.1])
    assert read_pth(tmp_path / "last.pth")["resume"] == {"epoch": 2, "best": 0.5, "best_epoch": 0}
    assert load_weights(tmp_path / "last.pth").epoch == 1
    assert "resume" not in read_pth(tmp_path / "best.pth")
    assert "resume" not in read_pth(tmp_path / "MaskRCNN_1.pth")


def test_the_save_before_stays(tmp_path):
    saved(tmp_path, [0.1])
    assert "previous.pth" not in names(tmp_path)
    saved(tmp_path, [0.1, 0.2, 0.3])
    assert number_in(tmp_path / "previous.pth") == 1
    assert number_in(tmp_path / "last.pth") == 2


def test_one_of_several_processes_writes(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1, writes=False)
    checkpoints.save_epoch(weights(0), is_best=True)
    checkpoints.save_last(weights(0), {})
    assert names(tmp_path) == set()


def test_the_best_of_a_resumed_run_counts(tmp_path):
    saved(tmp_path, [0.5, 0.1])
    resumed = Checkpoints(tmp_path, 1)
    resumed.restore(read_pth(tmp_path / "last.pth")["resume"], tmp_path / "last.pth")
    assert (resumed.best, resumed.best_epoch) == (0.5, 0)
    assert not resumed.judge(2, {"segm/AP": 0.4})


def test_a_damaged_save_never_takes_the_place_of_the_whole_one(tmp_path):
    """A run that goes on from ``previous.pth`` keeps that, not the damaged ``last.pth``."""
    saved(tmp_path, [0.1, 0.2])
    (tmp_path / "last.pth").write_bytes(b"damaged")
    resumed = Checkpoints(tmp_path, 1)
    previous = tmp_path / "previous.pth"
    resumed.restore(read_pth(previous)["resume"], previous)
    assert number_in(tmp_path / "last.pth") == 0
    resumed.save_last(weights(5), {})
    assert number_in(previous) == 0
    assert number_in(tmp_path / "last.pth") == 5


def test_a_file_system_without_links_gets_a_copy(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    saved(tmp_path, [0.1, 0.2])
    assert number_in(tmp_path / "previous.pth") == 0


def test_a_copy_that_fails_leaves_the_older_one(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("full")

    def copy_half(source, target):
        target.write_bytes(source.read_bytes()[:2])
        fail()

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(shutil, "copyfile", copy_half)
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    keep_as(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"old"
    assert names(tmp_path) == {"a", "b"}


def test_a_save_that_fails_leaves_both_saves_before_it(tmp_path):
    checkpoints, _ = saved(tmp_path, [0.1, 0.2])
    unwritable = {"x": lambda: None}  # no plain value: torch cannot save it
    with pytest.raises(Exception, match=r"pickle|local"):
        checkpoints.save_last(weights(2, 0.3), unwritable)
    assert number_in(tmp_path / "last.pth") == 1
    assert number_in(tmp_path / "previous.pth") == 0


def test_the_space_that_a_run_wants_is_looked_for(tmp_path):
    saved(tmp_path, [0.1])
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    wanted = space_wanted(tmp_path, keep=2)
    assert wanted == 3 * sizes["last.pth"] + 4 * sizes["best.pth"]
    check_space(tmp_path / "not" / "there", wanted)
    with pytest.raises(OSError, match="MB are free") as error:
        check_space(tmp_path, shutil.disk_usage(tmp_path).free * 2)
    assert error.value.errno == errno.ENOSPC
