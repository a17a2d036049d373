"""Where to compute, and in which number format."""

from __future__ import annotations

import os

import pytest
import torch

from utils.config import ConfigError
from utils.device import choose_device, choose_precision, describe, make_deterministic

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def pretend(monkeypatch, cuda=False, mps=False, bf16=False, capability=(8, 0)):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)


@pytest.mark.parametrize(
    ("cuda", "mps", "wanted"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_takes_the_fastest_device(monkeypatch, cuda, mps, wanted):
    pretend(monkeypatch, cuda, mps)
    assert choose_device("auto").type == wanted


def test_a_device_that_is_there_is_taken(monkeypatch):
    pretend(monkeypatch, cuda=True)
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_missing_device_is_an_error_with_a_way_on(monkeypatch, name):
    pretend(monkeypatch)
    with pytest.raises(ConfigError, match=f"--device {name}.*--device cpu"):
        choose_device(name)


@pytest.mark.parametrize(
    ("device", "bf16", "capability", "wanted"),
    [
        (CPU, False, None, "fp32"),
        (CPU, True, None, "bf16"),
        (CUDA, False, (7, 5), "fp32"),
        (CUDA, False, (8, 0), "bf16"),
        (CUDA, False, (9, 0), "bf16"),
        (torch.device("mps"), False, None, "fp32"),
    ],
)
def test_auto_precision_is_bf16_where_it_is_fast(monkeypatch, device, bf16, capability, wanted):
    pretend(monkeypatch, bf16=bf16, capability=capability)
    assert choose_precision("auto", device).name == wanted


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_named_precision_is_kept(monkeypatch, name):
    pretend(monkeypatch, bf16=name == "fp32")
    assert choose_precision(name, CPU).name == name


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_fp16_is_refused_without_cuda(device):
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        choose_precision("fp16", torch.device(device))


def test_fp16_is_taken_on_cuda():
    assert choose_precision("fp16", CUDA).name == "fp16"


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_products_in_the_format(name, dtype):
    a = torch.ones(2, 2)
    with choose_precision(name, CPU).autocast():
        assert (a @ a).dtype == dtype


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_only_fp16_scales_gradients(name):
    assert not choose_precision(name, CPU).scaler().is_enabled()


def test_cpu_is_described_with_its_threads():
    assert describe(CPU).startswith(f"CPU, {torch.get_num_threads()} threads")


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine that seems to have two GPUs; which one was chosen last."""
    chosen = []
    pretend(monkeypatch, cuda=True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize("rank", ["0", "1"])
def test_each_process_of_torchrun_has_a_gpu(monkeypatch, two_gpus, rank):
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", int(rank))
    assert two_gpus == [torch.device("cuda", int(rank))] * 2
    assert choose_device("cpu") == CPU


def test_without_torchrun_the_gpu_is_left_open(monkeypatch, two_gpus):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert choose_device("cuda") == CUDA
    assert two_gpus == []


def test_more_processes_than_gpus_are_refused(monkeypatch, two_gpus):
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ConfigError, match=r"process 3 .* has 2 GPU\(s\); lower --nproc-per-node"):
        choose_device("auto")


@pytest.fixture
def restored(monkeypatch):
    """What is made deterministic is so for this test alone."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_deterministic_is_what_pytorch_wants_for_it(restored):
    make_deterministic(True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_a_workspace_that_was_chosen_is_kept(restored, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    make_deterministic(True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_else_nothing_changes(restored):
    make_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_names_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="no device is called 'bla'; there are cuda, mps, cpu"):
        choose_device("bla")
    with pytest.raises(ConfigError, match="no precision is called 'fp8'"):
        choose_precision("fp8", torch.device("cpu"))
