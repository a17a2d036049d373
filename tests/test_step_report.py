"""What training steps tell."""

from __future__ import annotations

import pytest
import torch

from utils.training.step_report import (
    LOSSES,
    StepReport,
    loss_tag,
    report_of,
    row_of,
    speed,
    summary,
)


def report(number, lr=0.1, images=2, seconds=1.0, wait=0.25) -> StepReport:
    """Losses 1 to 5 times ``number``, and their sum."""
    parts = {name: number * (place + 1.0) for place, name in enumerate(LOSSES)}
    return StepReport({"loss": number * 15.0, **parts}, lr, images, seconds, wait)


def test_several_steps_are_told_by_their_means():
    told = summary([report(1, lr=0.3), report(2, lr=0.2), report(6, lr=0.1)])
    assert told == {
        "train/loss": 45,
        "train/loss_classifier": 3,
        "train/loss_box_reg": 6,
        "train/loss_mask": 9,
        "train/loss_objectness": 12,
        "train/loss_rpn_box_reg": 15,
        "lr": 0.1,  # the last one
    }


def test_speed_counts_images_over_the_whole_time():
    told = speed([report(1, images=2, seconds=1.0, wait=0.5), report(1, images=4, seconds=2.0)])
    assert told == {"speed/images_per_second": 2, "speed/data_wait_share": 0.25}


def test_a_report_comes_back_from_its_row():
    one = report(3, lr=1 / 3, images=5, seconds=0.1, wait=1e-9)
    saved = torch.tensor([row_of(one)], dtype=torch.double).tolist()
    assert report_of(saved[0]) == one
    assert isinstance(report_of(saved[0]).images, int)


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_loss_has_a_tag(phase):
    assert loss_tag(phase, "loss_mask") == f"{phase}/loss_mask"
