"""Importing this module imports torch and torchvision, with one clear sentence if they do not fit.

Both ship compiled code. A torchvision built for another torch fails deep inside its import with
``operator torchvision::nms does not exist``; pip can leave such a pair behind.
"""

from __future__ import annotations

import gc
import os
from importlib import import_module, metadata

from packaging.requirements import Requirement

# How often a thread of GNU's OpenMP looks whether the others are done before it sleeps; read when
# torch is imported. By default they stay awake for milliseconds, which makes a training step seven
# times as long beside another process on the same cores (docs/benchmarks.md).
SPINS = "10000"
FIX = "reinstall both: pip install --force-reinstall -r requirements.txt"


def misfit(torch_version: str, torchvision_requires: list[str]) -> str | None:
    """The torch that torchvision's own metadata asks for, if ``torch_version`` is another."""
    for line in torchvision_requires:
        requirement = Requirement(line)
        fits = requirement.specifier.contains(torch_version, prereleases=True)
        if requirement.name == "torch" and not fits:
            return str(requirement.specifier)
    return None


def check_torch_pair() -> None:
    """Import both; ``ImportError`` with the fix if one is missing or they do not fit."""
    installed = {}
    for package in ("torch", "torchvision"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError as error:
            raise ImportError(f"{package} is missing: pip install -r requirements.txt") from error
    pair = f"torch {installed['torch']} and torchvision {installed['torchvision']} do not fit"
    wanted = misfit(installed["torch"], metadata.requires("torchvision") or [])
    if wanted:
        raise ImportError(f"{pair} (torchvision wants torch{wanted}); {FIX}")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    _import_torchvision(pair)


def _import_torchvision(pair: str) -> None:
    collects = gc.isenabled()
    gc.disable()  # half a million objects are made that stay; looking for garbage takes 0.5 s
    try:
        import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        raise ImportError(f"{pair} ({error}); {FIX}") from None
    finally:
        if collects:
            gc.freeze()
            gc.unfreeze()  # now they are in the oldest generation, which is seldom looked through
            gc.enable()


try:
    check_torch_pair()
except ImportError as error:
    raise SystemExit(f"error: {error}") from None
