"""One pass for detections and losses, held against torchvision's two."""

import pytest
import torch
from pycocotools import mask as coco_mask
from torch.testing import assert_close
from torchvision.models.detection import MaskRCNN

from nets.detect import detect
from nets.mask_rcnn import build_model

SIZES = [(64, 96), (100, 72)]  # height, width
OBJECTS = [[(5, 8, 40, 60), (30, 10, 90, 50)], [(10, 20, 60, 90)]]


def make_model(**options):
    """A small random network whose scores differ: the box predictor's weights are scaled up."""
    torch.manual_seed(0)
    options = {"min_size": 64, "max_size": 96, "box_detections_per_img": 12, **options}
    model = build_model("maskrcnn_resnet18_fpn_small", 3, frozen_norm=True, **options)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
        model.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(20)
    return model.eval()


def make_images():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, height, width, generator=generator) for height, width in SIZES]


def make_targets(objects=OBJECTS):
    targets = []
    for (height, width), boxes in zip(SIZES, objects, strict=True):
        masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1:y2, x1:x2] = 1
        targets.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.arange(len(boxes)) + 1,
                "masks": masks,
            }
        )
    return targets


def decoded(masks):
    return [torch.from_numpy(coco_mask.decode(mask)).bool() for mask in masks]


@torch.no_grad()
def test_a_model_that_finds_nothing_predicts_nothing():
    predictions, losses = detect(make_model(box_score_thresh=1.1), make_images())

    assert losses == {}
    for found in predictions:
        assert (found["boxes"].shape, found["boxes"].dtype) == ((0, 4), torch.float32)
        assert (found["labels"].shape, found["labels"].dtype) == ((0,), torch.int64)
        assert (found["scores"].shape, found["scores"].dtype) == ((0,), torch.float32)
        assert found["masks"] == []


@torch.no_grad()
def test_predictions_are_those_of_torchvision():
    model, images = make_model(), make_images()
    wanted = MaskRCNN.forward(model, images)
    predictions, losses = detect(model, images)

    assert losses == {}
    assert len(predictions) == len(images)
    for found, expected, (height, width) in zip(predictions, wanted, SIZES, strict=True):
        assert len(found["scores"]) > 3
        for field in ("boxes", "labels", "scores"):
            assert torch.equal(found[field], expected[field])
        assert (found["scores"].diff() <= 0).all()
        assert all(rle["size"] == [height, width] for rle in found["masks"])
        masks = torch.stack(decoded(found["masks"]))
        assert torch.equal(masks, expected["masks"][:, 0] >= 0.5)
        assert masks.any()


@torch.no_grad()
def test_losses_do_not_change_the_predictions():
    model, images = make_model(), make_images()
    alone, _ = detect(model, images)
    beside, _ = detect(model, images, make_targets())

    for a, b in zip(alone, beside, strict=True):
        assert all(torch.equal(a[field], b[field]) for field in ("boxes", "labels", "scores"))
        assert a["masks"] == b["masks"]


@pytest.mark.parametrize("objects", [[[], []], [[], OBJECTS[1]], OBJECTS])
@torch.no_grad()
def test_losses_are_those_of_training(objects):
    # All anchors and all RoIs are taken, so that no sampling differs.
    everything = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    model = make_model(**everything)
    images, targets = make_images(), make_targets(objects)

    _, losses = detect(model, images, targets)

    wanted = model.train()(images, targets)
    assert losses.keys() == wanted.keys()
    assert len(losses) == 5
    for name, loss in losses.items():
        assert loss.isfinite()
        assert_close(loss, wanted[name], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_losses_repeat_whatever_the_global_seed():
    model, images, targets = make_model(box_batch_size_per_image=8), make_images(), make_targets()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(detect(model, images, targets)[1])

    assert results[0] == results[1]


@torch.no_grad()
def test_global_random_state_is_untouched():
    model = make_model()
    before = torch.get_rng_state()
    detect(model, make_images(), make_targets())

    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_model_stays_in_evaluation_mode():
    model, images, targets = make_model(), make_images(), make_targets()
    detect(model, images, targets)
    assert not any(module.training for module in model.modules())

    del targets[1]["labels"]
    before = torch.get_rng_state()
    with pytest.raises(KeyError):
        detect(model, images, targets)
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)
