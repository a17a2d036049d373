"""What --classes means to predict.py: some of the classes, or the names of all of them."""

from __future__ import annotations

import pytest
import torch

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsError, WeightsFile, save_weights
from utils.prediction.wanted_classes import load_wanted

ARCH = "maskrcnn_resnet18_fpn_small"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights of ours that know cat and dog, and the same as a plain ``state_dict``."""
    folder = tmp_path_factory.mktemp("weights")
    model = build_model(ARCH, 3).state_dict()
    save_weights(folder / "ours.pth", WeightsFile(ARCH, 3, ("cat", "dog"), model))
    torch.save(model, folder / "plain.pth")
    return folder


@pytest.mark.parametrize(
    ("file", "names", "known", "wanted"),
    [
        ("ours", (), ("cat", "dog"), ()),
        ("ours", ("dog",), ("cat", "dog"), ("dog",)),
        ("ours", ("dog", "cat"), ("cat", "dog"), ("dog", "cat")),  # chosen, not renamed
        ("ours", ("dog", "bird"), ("cat", "dog"), ("dog", "bird")),  # which Predictor refuses
        ("ours", ("lion", "wolf"), ("lion", "wolf"), ()),
        ("plain", (), ("class_1", "class_2"), ()),
        ("plain", ("cell", "gap"), ("cell", "gap"), ()),
        ("plain", ("class_2",), ("class_1", "class_2"), ("class_2",)),
    ],
)
def test_names_choose_classes_or_name_them(files, file, names, known, wanted):
    weights, chosen = load_wanted(files / f"{file}.pth", names)
    assert (weights.classes, chosen) == (known, wanted)


@pytest.mark.parametrize("names", [("bird",), ("a", "b", "c")])
def test_names_that_are_neither_are_refused(files, names):
    with pytest.raises(WeightsError, match=r"holds 2 class\(es\) \(cat, dog\)"):
        load_wanted(files / "ours.pth", names)
