"""What several tests share: a drawn data set, the real one where it is present, the GPU mark."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from PIL import Image

torch.set_num_threads(1)  # the networks here are small; on busy cores a second thread costs

SHARED = "FOLDER_SHARED_BY_TESTS"  # an environment variable
REPOSITORY = Path(__file__).resolve().parent.parent

# name: (width, height, objects); an object is (kind, id, x1, y1, x2, y2). Ids have gaps, "empty"
# has no object, and the sizes all differ.
DRAWN = {
    "crowded": (96, 80, [("box", 1, 4, 6, 30, 40), ("oval", 4, 36, 10, 62, 70),
                         ("box", 9, 66, 30, 92, 76)]),
    "empty": (72, 64, []),
    "one_box": (64, 72, [("box", 3, 20, 12, 44, 60)]),
    "one_oval": (80, 64, [("oval", 1, 10, 8, 60, 56)]),
    "two_boxes": (88, 96, [("box", 2, 6, 6, 40, 50), ("box", 5, 48, 44, 82, 90)]),
    "two_kinds": (70, 90, [("oval", 1, 4, 4, 34, 44), ("box", 7, 30, 50, 66, 86)]),
}  # fmt: skip


def pytest_configure(config):
    """Make a folder that all processes of a run of the tests share."""
    if SHARED not in os.environ:
        folder = TemporaryDirectory(prefix="shared-by-tests-")
        os.environ[SHARED] = folder.name
        config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory):
    """What is remembered of decoded pictures stays out of the user's cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(folder))
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the code, to follow in it what a document says."""
    root = tmp_path_factory.mktemp("project")
    for path in (*REPOSITORY.glob("*.py"), *map(REPOSITORY.joinpath, ("nets", "utils", "tools"))):
        if path.is_dir():
            shutil.copytree(path, root / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, root)
    return root


@pytest.fixture
def drawn_pennfudan(tmp_path) -> Path:
    """A folder in PennFudan's layout: 6 drawn images with 0 to 3 objects each."""
    root = tmp_path / "people"
    (root / "PNGImages").mkdir(parents=True)
    (root / "PedMasks").mkdir()
    for seed, (name, (width, height, objects)) in enumerate(DRAWN.items()):
        picture = np.random.default_rng(seed).integers(0, 60, (height, width, 3), np.uint8)
        ids = np.zeros((height, width), np.uint8)
        for kind, number, x1, y1, x2, y2 in objects:
            inside = _drawn_object(kind, x1, y1, x2, y2, width, height)
            ids[inside] = number
            picture[inside] = (200, 40 + 20 * number, 90)
        Image.fromarray(picture).save(root / "PNGImages" / f"{name}.png")
        Image.fromarray(ids).save(root / "PedMasks" / f"{name}_mask.png")
    return root


@pytest.fixture
def pennfudan_root() -> Path:
    """The real data set, which is not ours to ship."""
    root = Path(os.environ.get("PENNFUDAN_ROOT", REPOSITORY.parent / "shared" / "PennFudanPed"))
    if not (root / "PNGImages").is_dir():
        pytest.skip(f"the PennFudan data set is not at {root}; set PENNFUDAN_ROOT")
    return root


def _drawn_object(kind, x1, y1, x2, y2, width, height) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    if kind == "box":
        return (columns >= x1) & (columns < x2) & (rows >= y1) & (rows < y2)
    dx = (columns - (x1 + x2) / 2) / ((x2 - x1) / 2)
    dy = (rows - (y1 + y2) / 2) / ((y2 - y1) / 2)
    return dx**2 + dy**2 <= 1
