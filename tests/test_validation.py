"""The held-out images after an epoch: numbers and pictures."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

from my_dataset import PennFudanDataset
from nets.losses import LOSSES
from nets.mask_rcnn import build_model
from utils.data.epoch_batches import EpochBatches
from utils.data.loader import eval_loader
from utils.data.records import instance_masks
from utils.data.transforms import train_transforms
from utils.device import Precision
from utils.interruption import Interruption, Stopped
from utils.training.panels import ValidationPanels, training_panel
from utils.training.validation import Validation


@pytest.fixture
def dataset(drawn_pennfudan):
    return PennFudanDataset(drawn_pennfudan)


def perfect(record):
    """A prediction that repeats the labels."""
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (i.bbox for i in record.instances)]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([i.label for i in record.instances], dtype=torch.int64),
        "scores": torch.full((len(record.instances),), 0.9),
        "masks": [i.segmentation for i in record.instances],
    }


@pytest.fixture
def finds_all(dataset, monkeypatch):
    """A stand-in for the network's forward pass that finds every labelled object."""
    records = {image.image_id: image for image in dataset.data.images}
    order = iter(sorted(records) * 2)

    def detect(model, images, targets):
        losses = dict.fromkeys(LOSSES, torch.tensor(0.5))
        return [perfect(records[next(order)]) for _ in images], losses

    monkeypatch.setattr("utils.evaluation.judge.detect", detect)


def validation(dataset) -> Validation:
    return Validation(dataset, eval_loader(dataset, 0, False, 0), Precision("fp32", "cpu"))


def test_a_perfect_model_has_ap_1_epoch_after_epoch(dataset, finds_all):
    checked, model = validation(dataset), torch.nn.Linear(1, 1)
    for _ in range(2):
        losses, metrics, point = checked.run(model, Interruption())
        assert losses["loss"] == pytest.approx(2.5)
        assert metrics["segm/AP"] == metrics["bbox/AP"] == pytest.approx(1)
        assert metrics["segm/AP/person"] == pytest.approx(1)
        assert point["rule"] == "f1"
        assert point["costs"][0]["missed"] == 0


def test_a_real_network_gives_losses_and_numbers(dataset):
    torch.manual_seed(0)
    model = build_model("maskrcnn_resnet18_fpn_small", 2, min_size=64, max_size=96,
                        rpn_post_nms_top_n_test=20)  # fmt: skip
    losses, metrics, _ = validation(dataset).run(model, Interruption())
    assert set(losses) == {"loss", *LOSSES}
    assert all(np.isfinite(value) for value in losses.values())
    assert 0 <= metrics["segm/AP"] < 0.5


def test_a_model_that_finds_nothing_has_ap_0_and_losses(dataset):
    torch.manual_seed(0)
    model = build_model("maskrcnn_resnet18_fpn_small", 2, min_size=64, max_size=96)
    with torch.no_grad():  # all is background
        model.roi_heads.box_predictor.cls_score.bias[:] = torch.tensor([100.0, -100.0])
    checked = validation(dataset)
    losses, metrics, point = checked.run(model, Interruption())
    assert all(np.isfinite(value) for value in losses.values())
    assert metrics["segm/AP"] == metrics["bbox/AP"] == 0
    assert point["thresholds"] == [0.5]
    assert "nothing is detected" in point["notes"][0]
    assert all(len(found["masks"]) == 0 for found in checked.panels.predictions.values())
    assert checked.panels.found([0.5]).size == checked.panels.labels().size


def test_validation_ends_when_it_is_asked_to(dataset, finds_all):
    interruption = Interruption()
    interruption.signal = signal.SIGTERM
    with pytest.raises(Stopped) as caught:
        validation(dataset).run(torch.nn.Linear(1, 1), interruption)
    assert caught.value.number == signal.SIGTERM


def test_validation_is_finished_when_the_time_is_up(dataset, finds_all):
    interruption = Interruption(minutes=1e-9)
    assert validation(dataset).run(torch.nn.Linear(1, 1), interruption)[1]
    with pytest.raises(Stopped, match="time limit"):
        interruption.check()


def test_found_objects_are_drawn_where_the_labels_are(dataset, finds_all):
    checked = validation(dataset)
    empty = np.asarray(checked.panels.found([0.5])).astype(int)
    checked.run(torch.nn.Linear(1, 1), Interruption())
    found = np.asarray(checked.panels.found([0.5])).astype(int)
    labels = np.asarray(checked.panels.labels()).astype(int)
    assert empty.shape == found.shape == labels.shape
    assert (empty != found).any()
    same = (found == labels).all(axis=2)
    assert same.mean() > 0.97  # only the label texts differ: a score follows the name


def test_objects_below_the_threshold_are_not_drawn(dataset):
    panels = ValidationPanels(dataset)
    before = np.asarray(panels.found([0.95]))
    for record in dataset.data.images:
        panels.take(record.image_id, perfect(record))
    assert np.array_equal(before, np.asarray(panels.found([0.95])))
    assert not np.array_equal(before, np.asarray(panels.found([0.85])))


def test_images_that_are_not_shown_are_not_kept(dataset):
    panels = ValidationPanels(dataset)
    panels.take(999, {})
    assert 999 not in panels.predictions


def test_training_panel_shows_the_epochs_first_samples(drawn_pennfudan):
    dataset = PennFudanDataset(drawn_pennfudan, train_transforms())
    batches = EpochBatches(len(dataset), 2, seed=0)
    first = np.asarray(training_panel(dataset, batches))
    assert np.array_equal(first, np.asarray(training_panel(dataset, batches)))
    assert first.shape[1] > 4 * 250  # four pictures in a row
    objects = sum(len(instance_masks(record)) for record in dataset.data.images)
    assert objects == 9
