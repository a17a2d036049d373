"""Exported files: written, held against their network, and run."""

import os

# Before anything in here imports ONNX Runtime, which else tells its makers of its use.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
