"""Where to compute and in which number format."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from utils.config import PRECISIONS, ConfigError

AMPERE = (8, 0)  # first CUDA compute capability with bfloat16 matrix units


@dataclass(frozen=True)
class Precision:
    """A number format for convolutions and matrix products; parameters stay float32."""

    name: str  # of PRECISIONS
    device_type: str

    @property
    def dtype(self) -> torch.dtype:
        """What convolutions compute in."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.name]

    def autocast(self) -> torch.autocast:
        """The context for forward passes; no effect for fp32."""
        is_reduced = self.name != "fp32"  # of which autocast has no kind
        dtype = self.dtype if is_reduced else torch.bfloat16
        return torch.autocast(self.device_type, dtype, enabled=is_reduced)

    @property
    def memory_format(self) -> torch.memory_format:
        """How images lie in memory: channels last, as reduced precision convolutions want them."""
        return torch.contiguous_format if self.name == "fp32" else torch.channels_last

    def scaler(self) -> torch.amp.GradScaler:
        """The gradient scaler; it only acts for fp16."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA if there is a GPU, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: the device that was asked for is not there, or there is none of that name.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, there in available.items() if there)
    if name not in available:
        raise ConfigError(f"no device is called {name!r}; there are {', '.join(available)}")
    if not available[name]:
        raise ConfigError(f"--device {name}: this machine has none that torch {torch.__version__} "
                          "can use; --device cpu works everywhere")  # fmt: skip
    if name != "cuda" or "LOCAL_RANK" not in os.environ:
        return torch.device(name)
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))  # of torchrun: a GPU for each
    if device.index >= torch.cuda.device_count():
        raise ConfigError(
            f"this is process {device.index + 1} of this machine, it has "
            f"{torch.cuda.device_count()} GPU(s); lower --nproc-per-node"
        )
    torch.cuda.set_device(device)
    return device


def make_deterministic(wanted: bool) -> None:
    """Let a GPU give the same numbers every time, where PyTorch has a way to; a warning names the
    operations that have none. A CPU does anyway."""
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def choose_precision(name: str, device: torch.device, trained: str = "") -> Precision:
    """``auto`` is bf16 where the device computes it faster than fp32, else fp32.

    A trained model is judged in the precision it was ``trained`` in, so that its numbers are those
    of the training, unless the device is not fast at it.

    Raises:
        ConfigError: fp16 was asked for on a device other than CUDA, or there is no such format.
    """
    if name not in ("auto", *PRECISIONS):
        raise ConfigError(f"no precision is called {name!r}; there are {', '.join(PRECISIONS)}")
    if name == "fp16" and device.type != "cuda":
        raise ConfigError("--precision fp16 needs a CUDA device; bf16 and fp32 work on the CPU")
    if name == "auto":
        fast = {"bf16": _fast_bf16(device), "fp16": device.type == "cuda", "fp32": True}
        wanted = trained if trained in fast else "bf16"
        name = wanted if fast[wanted] else "fp32"
    return Precision(name, device.type)


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= AMPERE
    if device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, check, bool)() for check in checks)
    return False


def describe(device: torch.device) -> str:
    """The device in words, for logs and ``environment.json``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return device.type
