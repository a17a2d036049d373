"""What --classes means to predict.py: some of the classes, or the names of all of them."""

from __future__ import annotations

import pytest
import torch

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsError, WeightsFile, save_weights
from utils.config import ConfigError
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
        ("plain", (), ("class_1", "class_2"), ()),
        ("plain", ("cell", "gap"), ("cell", "gap"), ()),
        ("plain", ("class_2",), ("class_1", "class_2"), ("class_2",)),
    ],
)
def test_names_choose_classes_or_name_them(files, file, names, known, wanted):
    model, chosen = load_wanted(files / f"{file}.pth", names)
    assert (model.weights.classes, chosen) == (known, wanted)


@pytest.mark.parametrize("names", [("bird",), ("a", "b", "c"), ("lion", "wolf"), ("dog", "bird")])
def test_names_that_the_weights_do_not_know_are_refused(files, names):
    with pytest.raises(ConfigError, match=r"know no '\w+'; they know cat, dog"):
        load_wanted(files / "ours.pth", names)


def test_a_plain_file_needs_a_name_for_each_class(files):
    with pytest.raises(WeightsError, match=r"holds 2 class\(es\) \(class_1, class_2\)"):
        load_wanted(files / "plain.pth", ("cell",))
