"""A run over pictures: what is noted when it is stopped, when it fails, when some fail."""

from __future__ import annotations

import signal
import threading
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nets.contract import Prediction
from utils.data.records import DataError, encode_mask
from utils.interruption import Stopped
from utils.prediction.config import PredictConfig
from utils.prediction.found_picture import FoundPicture, Unusable
from utils.prediction.journal import Journal
from utils.prediction.outputs import Outputs
from utils.prediction.run import WRITERS, Run
from utils.prediction.sources import SourceImage
from utils.prediction.tables import Tables
from utils.processes import ALONE


class Network:
    """In place of a ``Predictor``: finds one object in each picture, at its brightest corner."""

    classes = ("cat", "dog")

    def __init__(self, after=lambda name: None):
        self.after = after
        self.seen = []

    def stream(self, pictures):
        for picture in pictures:
            if isinstance(picture, Unusable):
                yield picture
                continue
            self.seen.append(picture.name)
            self.after(picture.name)
            yield FoundPicture(picture, one_object(), self.classes)


def one_object() -> Prediction:
    mask = np.zeros((12, 16), np.uint8)
    mask[:3, :4] = 1
    return Prediction(
        boxes=torch.tensor([[0.0, 0, 4, 3]]), labels=torch.tensor([2]),
        scores=torch.tensor([0.5]), masks=[encode_mask(mask)],
    )  # fmt: skip


def source(name, problem="") -> SourceImage:
    def read():
        if problem:
            raise DataError(problem)
        return np.zeros((12, 16, 3), np.uint8)

    return SourceImage(f"{name}.png", name, None, read)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if "Pool" in thread.name]


@pytest.fixture
def make(tmp_path):
    """Make a run in the test's folder; its journal is closed in the end."""
    journals = []

    def make_run(network=None, strict=False, urged=0, outputs=None) -> Run:
        config = PredictConfig(overlays=False)
        for journal in journals:
            journal.close()
        journals.append(Journal(tmp_path))
        tables = Tables(tmp_path, config, Network.classes, [])
        interruption = SimpleNamespace(urged=urged)
        outputs = outputs or Outputs(tmp_path, config)
        return Run(network or Network(), outputs, journals[-1], tables, interruption, ALONE,
                   None, strict)  # fmt: skip

    yield make_run
    for journal in journals:
        journal.close()


def noted(run) -> list[str]:
    run.journal.catch_up()
    return [record["stem"] for record in run.journal.records()]


def test_no_pictures_are_no_failure(make):
    run = make()
    run.look_at([])
    assert (noted(run), run.failures) == ([], {})


def test_every_picture_is_noted_in_order(make, capsys):
    run = make()
    run.look_at(list(map(source, "dbca")))
    assert noted(run) == list("dbca")
    assert capsys.readouterr().out.splitlines() == [f"{name}.png: 1 dog" for name in "dbca"]
    assert run.write_tables() == {"dog": 4}


def test_what_cannot_be_used_is_told_and_skipped(make, capsys):
    run = make()
    run.look_at([source("a", "is broken"), source("b"), source("c", "is empty")])
    assert noted(run) == ["b"]
    assert run.failures == {"a.png": "is broken", "c.png": "is empty"}
    assert "a.png: cannot be used\n" in capsys.readouterr().out


def test_all_may_be_unusable(make):
    run = make()
    run.look_at([source(name, "is broken") for name in "abc"])
    assert (noted(run), len(run.failures)) == ([], 3)
    assert not run.write_tables()


@pytest.mark.parametrize("place", range(6))
def test_strict_stops_at_the_first_and_keeps_what_was_done(make, place):
    run = make(strict=True)
    sources = [source(name, "is broken" if n == place else "") for n, name in enumerate("abcdef")]
    with pytest.raises(DataError, match=r"^.\.png: is broken$"):
        run.look_at(sources)
    assert noted(run) == list("abcdef")[:place]


def test_what_was_done_before_and_cannot_be_used_now_is_taken_back(make):
    make().look_at([source("a"), source("b")])
    run = make()
    run.look_at([source("a", "is broken")])
    assert noted(run) == ["b"]
    assert run.write_tables() == {"dog": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_that_the_network_has_seen_is_noted_when_a_run_is_stopped(make, number):
    def ask(name):
        if name == "c.png":
            run.interruption.urged = number

    network = Network(ask)
    run = make(network)
    with pytest.raises(Stopped) as stopped:
        run.look_at(list(map(source, "abcdefghij")))
    assert stopped.value.number == number
    assert noted(run) == [name.removesuffix(".png") for name in network.seen] == list("abc")


class Disk:
    """In place of ``Outputs``: fails at the picture ``b``."""

    def __init__(self, error):
        self.error = error

    def write_all(self, found):
        if found.picture.stem == "b":
            raise self.error
        return {"name": found.picture.name, "stem": found.picture.stem, "stamp": [], "objects": []}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "b.png"), KeyError("b")])
def test_an_error_of_a_writing_thread_ends_the_run(make, error):
    network = Network()
    run = make(network, outputs=Disk(error))
    with pytest.raises(type(error)) as raised:
        run.look_at(list(map(source, "abcdefghij")))
    assert raised.value is error
    assert "write_all" in str([frame.name for frame in raised.traceback])
    assert noted(run) == ["a"]
    assert len(network.seen) <= 2 + WRITERS


@pytest.mark.parametrize("place", ["reading", "network"])
def test_an_error_that_nobody_expects_keeps_its_traceback(make, place):
    def break_down(*_):
        raise ZeroDivisionError

    network = Network(break_down if place == "network" else lambda name: None)
    read = break_down if place == "reading" else partial(np.zeros, (12, 16, 3), np.uint8)
    run = make(network)
    with pytest.raises(ZeroDivisionError) as raised:
        run.look_at([SourceImage("a.png", "a", None, read)])
    assert "break_down" in str([frame.name for frame in raised.traceback])


def test_nothing_is_kept_of_the_pictures(make):
    """Memory does not grow: no array outlives the few pictures in work."""
    alive, most = [], []

    class Watched(np.ndarray):
        def __del__(self):
            if self.base is not None and alive:
                alive.pop()

    def read():
        alive.append(1)
        most.append(len(alive))
        return np.zeros((12, 16, 3), np.uint8).view(Watched)

    run = make()
    run.look_at([SourceImage(f"{n}.png", str(n), None, read) for n in range(60)])
    assert len(noted(run)) == 60
    assert max(most) <= 10
