"""The errors that say that memory ran out."""

from __future__ import annotations

import errno

import torch

# PyTorch has an error of its own only for its allocator on the GPU; all else is a RuntimeError.
IN_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "alloc_failed",  # cuDNN and cuBLAS
    "could not create a primitive",  # oneDNN, which says no more
    "failed to allocate memory",  # ONNX Runtime
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not, on the GPU or beside it."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # The errors of ONNX Runtime are of no kind but Exception.
    if not isinstance(error, RuntimeError) and "onnxruntime" not in type(error).__module__:
        return False
    return any(words in str(error).lower() for words in IN_WORDS)
