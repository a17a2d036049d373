"""Loading processes that are really killed, hung, starved and signalled."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from my_dataset import InstanceDataset
from tests.conftest import REPOSITORY
from utils.data.epoch_batches import EpochBatches
from utils.data.formats.id_masks import read_id_masks
from utils.data.loader import eval_loader, train_loader
from utils.data.worker_watch import WorkerError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
BAD = 4  # the image at which a worker is made to fail


class FaultyDataset(InstanceDataset):
    """Does something to its process before it reads one of the images."""

    fault = staticmethod(lambda: None)

    def read(self, key):
        if key.number == BAD:
            self.fault()
        return super().read(key)


def sleep_forever():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as stuck as in a driver
    time.sleep(1000)


def killed_by(name):
    return lambda: os.kill(os.getpid(), getattr(signal, name))


@pytest.fixture
def faulty(drawn_pennfudan):
    def make(fault=None):
        dataset = FaultyDataset(read_id_masks(drawn_pennfudan))
        if fault is not None:
            dataset.fault = fault
        return dataset, str(dataset.data.images[BAD].path)

    yield make
    gc.collect()
    assert not multiprocessing.active_children()


def is_gone(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return state.stdout.strip()[:1] in (b"", b"Z")  # a zombie has ended too


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("loading", [train_loader, eval_loader])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (killed_by("SIGKILL"), ["killed by SIGKILL", "memory runs out", "--workers 0"]),
        (killed_by("SIGBUS"), ["killed by SIGBUS", "--shm-size", "fewer --workers"]),
        (killed_by("SIGSEGV"), ["killed by SIGSEGV", "look at what it was loading", "--workers 0"]),
        (lambda: os._exit(7), ["ended with exit code 7", "--workers 0"]),
    ],
    ids=["SIGKILL", "SIGBUS", "SIGSEGV", "exit"],
)
def test_a_dead_worker_is_named_with_its_file(faulty, fault, words, loading):
    dataset, path = faulty(fault)
    order = [EpochBatches(len(dataset), 2, 0)] if loading is train_loader else []
    with pytest.raises(WorkerError) as error:
        list(loading(dataset, *order, workers=2, pin_memory=False, timeout=60))
    for word in [*words, path, "loading process", "pid"]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hung_worker_is_named_with_its_file_and_ended(faulty):
    dataset, path = faulty(sleep_forever)
    batches = eval_loader(dataset, workers=2, pin_memory=False, timeout=1)
    start = time.monotonic()
    with pytest.raises(WorkerError) as error:
        list(batches)
    assert 1 <= time.monotonic() - start < 4
    pids = list(batches.progress.pids)
    assert len(set(pids)) == 2
    assert all(map(is_gone, pids))
    for word in ["not answered for 1 s", path, "--worker-timeout", "--workers 0"]:
        assert word in str(error.value)
    assert str(error.value).count("has been loading") == 1


def test_a_death_interrupts_no_step_but_the_next_wait(faulty):
    dataset, _ = faulty()
    batches = eval_loader(dataset, workers=2, pin_memory=False, timeout=60)
    waited = iter(batches)
    next(waited)
    wait_for(lambda: all(batches.progress.pids) and set(batches.progress.numbers) == {-1})
    pid = batches.progress.pids[1]
    os.kill(pid, signal.SIGKILL)  # in the middle of a training step
    for _ in range(20):
        time.sleep(0.02)
    with pytest.raises(WorkerError, match=rf"process 1 \(pid {pid}\).*SIGKILL while it waited"):
        next(waited)


def test_an_epoch_that_starts_with_a_dead_worker_says_so(faulty):
    dataset, _ = faulty()
    batches = eval_loader(dataset, workers=1, pin_memory=False, timeout=60)
    assert len(list(batches)) == len(batches) == 6
    os.kill(batches.progress.pids[0], signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL"):
        list(batches)


def test_other_errors_in_a_worker_stay_what_they_are(faulty):
    def break_down():
        raise RuntimeError("a fault of the data set's own")

    dataset, _ = faulty(break_down)
    with pytest.raises(RuntimeError, match="of the data set's own") as error:
        list(eval_loader(dataset, workers=1, pin_memory=False, timeout=60))
    assert not isinstance(error.value, WorkerError)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_workers_outlive_a_signal_to_all_processes(faulty, name):
    dataset, _ = faulty()
    batches = eval_loader(dataset, workers=2, pin_memory=False, timeout=60)
    waited = iter(batches)
    first = next(waited)
    wait_for(lambda: all(batches.progress.pids) and set(batches.progress.numbers) == {-1})
    for pid in batches.progress.pids:
        os.kill(pid, getattr(signal, name))
    assert len([first, *waited]) == 6
    assert len(list(batches)) == 6, "the next epoch has its workers too"


def test_a_second_sigterm_ends_a_worker(faulty):
    batches = eval_loader(faulty()[0], workers=1, pin_memory=False, timeout=60)
    list(batches)
    (pid,) = batches.progress.pids
    (process,) = batches.processes

    def ends() -> bool:
        if process.is_alive():  # the first one only counts once the worker has seen it
            os.kill(pid, signal.SIGTERM)
        process.join(0.2)
        return not process.is_alive()

    wait_for(ends)
    assert process.exitcode == -signal.SIGTERM


SCRIPT = """
import multiprocessing, os, signal, sys, time, warnings
import torch
from my_dataset import InstanceDataset
from utils.data.epoch_batches import EpochBatches
from utils.data.formats.id_masks import read_id_masks
from utils.data.loader import eval_loader, train_loader
from utils.data.transforms import train_transforms

class Hanging(InstanceDataset):
    def read(self, key):
        if key.number == 3:
            time.sleep(1000)
        return super().read(key)

class Large(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, key):
        return torch.zeros(3, 1000, 1000), {}

"""


def script(tmp_path, text):
    """The command that runs ``text`` after ``SCRIPT`` as a program."""
    file = tmp_path / "script.py"
    body = "\n    ".join(text.strip().splitlines())
    file.write_text(f"{SCRIPT}\nif __name__ == '__main__':\n    {body}\n", encoding="utf-8")
    return [sys.executable, str(file)]


def environment():
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def start(command, *arguments):
    return subprocess.Popen(
        [*command, *map(str, arguments)], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


SAME_BATCHES = """
multiprocessing.set_start_method(sys.argv[2])
multiprocessing.set_forkserver_preload(["utils.data.instance_dataset"])
data = read_id_masks(sys.argv[1])
def epochs(workers):
    dataset = InstanceDataset(data, train_transforms(), seed=3, compact_masks=True)
    order = EpochBatches(len(dataset), 4, 3)
    loaders = [train_loader(dataset, order, workers, False, 60),
               eval_loader(dataset, workers // 2, False, 60)]
    for order.epoch in range(2):
        for loader in loaders:
            for images, targets in loader:
                for image, target in zip(images, targets):
                    yield image, target["image_id"], target["boxes"], target["masks"].dense()
    assert [len(loader.processes) for loader in loaders] == [workers, workers // 2]
for one, other in zip(epochs(0), epochs(2), strict=True):
    assert one[1] == other[1]
    assert all(torch.equal(one[i], other[i]) for i in (0, 2, 3))
print("same")
"""


@pytest.mark.slow
def test_spawned_workers_load_the_same_batches(drawn_pennfudan, tmp_path):
    command = script(tmp_path, SAME_BATCHES)
    runs = [start(command, drawn_pennfudan, method) for method in ("spawn", "forkserver")]
    for run in runs:
        out, errors = run.communicate(timeout=120)
        assert (out, run.returncode) == ("same\n", 0), errors


HUNG_AT_EXIT = """
dataset = Hanging(read_id_masks(sys.argv[1]))
loader = eval_loader(dataset, 2, False, 60)
batches = iter(loader)
next(batches)
while 3 not in list(loader.progress.numbers):
    time.sleep(0.01)
print(*loader.progress.pids, flush=True)
if sys.argv[2] == "wait":
    time.sleep(1000)
sys.keep = loader, batches  # as a traceback does
raise SystemExit(3)
"""


def test_a_hung_worker_does_not_hold_up_the_end(drawn_pennfudan, tmp_path):
    run = start(script(tmp_path, HUNG_AT_EXIT), drawn_pennfudan, "leave")
    pids = run.stdout.readline().split()
    begin = time.monotonic()
    assert run.wait(timeout=30) == 3
    assert time.monotonic() - begin < 3
    assert len(pids) == 2
    assert all(is_gone(int(pid)) for pid in pids)
    run.communicate()


WAITING = HUNG_AT_EXIT.replace("Hanging", "InstanceDataset").replace("while 3 not in", "while 3 in")


def test_workers_end_when_their_main_process_is_killed(drawn_pennfudan, tmp_path):
    run = start(script(tmp_path, WAITING), drawn_pennfudan, "wait")
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 2
    run.kill()
    run.wait()
    assert wait_for(lambda: all(map(is_gone, pids)), seconds=15)
    run.communicate()


STARVED = """
try:
    print(len(list(eval_loader(Large(), 1, False, 60))))
except RuntimeError as error:
    print(type(error).__name__, error)
data = InstanceDataset(read_id_masks(sys.argv[1]))
for record in data.data.images:
    object.__setattr__(record, "width", 1000)
with warnings.catch_warnings(record=True) as caught:
    loader = eval_loader(data, 4, False, 60)
print(loader.loader.num_workers, *(warning.message for warning in caught))
"""


def test_too_little_shared_memory_is_named(drawn_pennfudan, tmp_path):
    """/dev/shm really has one megabyte, in a mount namespace of its own."""
    small = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    alone = ["unshare", "--mount", "sh", "-c", small, "sh"]
    try:
        tried = subprocess.run([*alone, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs the command unshare")
    if tried.returncode:
        pytest.skip("a file system may not be mounted here (needs root)")
    out, errors = start([*alone, *script(tmp_path, STARVED)], drawn_pennfudan).communicate()
    assert out.count("\n") == 2, errors
    starved, fewer = out.splitlines()
    assert starved.startswith("WorkerError sample 0: could not be handed over in shared memory")
    for word in ("1 MB free", "--workers", "--shm-size"):
        assert word in starved
    assert fewer.startswith("0 /dev/shm has 1 MB free, too little for 4 loading process(es)")


def test_no_workers_is_a_plain_loop(faulty):
    batches = eval_loader(faulty()[0], workers=0, pin_memory=False, timeout=1)
    assert len(list(batches)) == 6
    assert batches.processes == []
    assert all(isinstance(image, torch.Tensor) for images, _ in batches for image in images)
