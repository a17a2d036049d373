"""torch and torchvision that do not fit each other are named before anything else fails."""

import gc
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from nets import torch_pair
from nets.torch_pair import SPINS, check_torch_pair, misfit


@pytest.mark.parametrize(
    ("torch_version", "requires", "wanted"),
    [
        ("2.15.0", [], None),
        ("2.15.0", ["numpy"], None),
        ("2.15.0", ["numpy>=99", "pillow!=8.3.*,>=5.3.0"], None),
        ("2.15.0", ["numpy", "torch"], None),
        ("2.15.0", ["numpy", "torch==2.15.0", "pillow"], None),
        ("2.15.0+cu130", ["torch==2.15.0"], None),
        ("2.15.0+cpu", ["torch (==2.15.0)"], None),
        ("2.16.0.dev20260101", ["torch>=2.15"], None),
        ("2.15.0", ["torch==2.15.0; python_version >= '3.9'"], None),
        ("2.15.1", ["torch==2.15.0"], "==2.15.0"),
        ("2.14.0+cpu", ["numpy", "torch==2.15.0", "pillow"], "==2.15.0"),
        ("2.9.0", ["torch>=2.10"], ">=2.10"),  # as numbers, not as text
    ],
)
def test_misfit_is_the_torch_that_torchvision_asks_for(torch_version, requires, wanted):
    assert misfit(torch_version, requires) == wanted


def test_the_installed_pair_fits():
    check_torch_pair()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0  # what is frozen is not taken down in order in the end


@pytest.mark.parametrize("missing", ["torch", "torchvision"])
def test_a_missing_package_is_named(missing, monkeypatch):
    def version(package):
        if package == missing:
            raise metadata.PackageNotFoundError(package)
        return "2.15.0"

    monkeypatch.setattr(torch_pair.metadata, "version", version)

    with pytest.raises(ImportError, match=rf"^{missing} is missing: pip install -r"):
        check_torch_pair()


def install(monkeypatch, torch_version, requires):
    versions = {"torch": torch_version, "torchvision": "0.30.0"}
    monkeypatch.setattr(torch_pair.metadata, "version", versions.__getitem__)
    monkeypatch.setattr(torch_pair.metadata, "requires", lambda package: requires)


def test_a_torchvision_for_another_torch_is_refused_unimported(monkeypatch):
    install(monkeypatch, "2.14.0", ["torch==2.15.0"])
    monkeypatch.setattr(torch_pair, "import_module", lambda name: pytest.fail("was imported"))

    with pytest.raises(ImportError) as caught:
        check_torch_pair()

    for part in ("torch 2.14.0", "torchvision 0.30.0", "torch==2.15.0", "--force-reinstall"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        ImportError("cannot import name 'x' from 'torch'"),
        OSError("libcudart.so.13: cannot open shared object file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_pair_that_fails_at_import_is_explained(error, monkeypatch):
    def fail(name):
        raise error

    install(monkeypatch, "2.15.0", None)  # metadata that says nothing
    monkeypatch.setattr(torch_pair, "import_module", fail)

    with pytest.raises(ImportError) as caught:
        check_torch_pair()

    for part in ("torch 2.15.0", "torchvision 0.30.0", str(error), "--force-reinstall"):
        assert part in str(caught.value)
    assert gc.isenabled()


BROKEN = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
sys.meta_path.insert(0, Broken())
{statement}
"""


@pytest.mark.parametrize(
    "statement",
    ["from my_dataset import PennFudanDataset", "import train", "import test", "import predict",
     "import tools.check", "import tools.convert"],
)  # fmt: skip
def test_a_broken_pair_is_one_sentence_wherever_it_is_imported_first(statement):
    root = Path(__file__).resolve().parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN.format(statement=statement)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "do not fit" in ended.stderr
    assert "pip install" in ended.stderr


@pytest.mark.parametrize(("given", "kept"), [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_spin_little_unless_told(given, kept):
    """It must be set before torch comes in."""
    code = """
import os, sys
class Look:
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Look())
import nets.torch_pair
"""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, **given}, check=True,
        cwd=Path(torch_pair.__file__).parents[1], capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split()[0] == kept
