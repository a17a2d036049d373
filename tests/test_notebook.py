"""The notebook runs from its first cell to its last, and says everything in both languages."""

import re
from pathlib import Path

import nbformat
import pytest
from inspected import ARCH, OPTIONS, make_model
from nbclient import NotebookClient

from nets.weights_file import WeightsFile, save_weights
from utils.data import shapes

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "inside_mask_rcnn.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_runs_on_the_built_in_shapes(notebook, project):
    docs = project / "docs"
    docs.mkdir()
    data = {"format": "shapes", "classes": list(shapes.CLASSES), "root": "shapes"}
    weights = WeightsFile(
        ARCH, 4, shapes.CLASSES, make_model().state_dict(),
        options={"frozen_norm": True, **OPTIONS}, data=data,
    )  # fmt: skip
    (project / "weights" / "shapes").mkdir(parents=True)
    save_weights(project / "weights" / "shapes" / "best.pth", weights)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(docs)}}).execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    pictures = [one for one in outputs if "image/png" in one.get("data", {})]

    assert len(pictures) >= 10
    assert not [one for one in outputs if one.get("name") == "stderr"]


def test_every_text_is_in_english_and_chinese(notebook):
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]

    assert len(texts) > 8
    for text in texts:
        assert re.search(r"[a-z]{3}", text)
        assert re.search(r"[\u4e00-\u9fff]", text)


def test_it_is_committed_with_pictures(notebook):
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]

    assert sum("image/png" in one.get("data", {}) for one in outputs) >= 10
    assert NOTEBOOK.stat().st_size < 2_000_000
