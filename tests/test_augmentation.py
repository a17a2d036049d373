"""What each name of ``--augment`` does to a sample, step by step."""

import pytest

from utils.data.augmentation import AUGMENTATIONS
from utils.data.transforms import train_transforms

STEPS = {
    "none": ["ToDtype"],
    "flip": ["RandomHorizontalFlip", "ToDtype"],
    "light": ["RandomHorizontalFlip", "ScaleJitter", "ToDtype", "ColorJitter"],
    "strong": ["RandomHorizontalFlip", "ScaleJitter", "ToDtype", "ColorJitter", "GaussianBlur",
               "GaussianNoise"],
    "transpose": ["RandomTranspose", "ToDtype"],
}  # fmt: skip


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_steps_come_in_this_order(name):
    steps = [
        step.transforms[0] if hasattr(step, "transforms") else step  # what RandomApply applies
        for step in train_transforms(name).transforms
    ]
    assert [type(step).__name__ for step in steps] == [*STEPS[name], "ToPureTensor"]


def test_only_strong_pastes():
    pasting = {name: change.copy_paste for name, change in AUGMENTATIONS.items()}
    assert pasting == {"none": 0, "flip": 0, "light": 0, "strong": 0.5, "transpose": 0}
