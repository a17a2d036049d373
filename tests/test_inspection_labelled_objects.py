"""What is told of labelled objects is what their pixels say and what the network is taught."""

import numpy as np
import pytest
import torch
from inspected import make_subject
from labelled_scene import comb, disc, make_scene, rectangle
from numpy.testing import assert_array_equal
from torchvision.ops import masks_to_boxes

from nets.mask_rcnn import input_size
from utils.data.records import RecordSet
from utils.evaluation.mask_ceiling import mask_ceiling
from utils.inspection.labelled_objects import labelled_objects

SIZE = (200, 300)


@pytest.fixture(scope="module")
def scene():
    """A disc, an object without a pixel, a crowd with a slope, one pixel, and a comb."""
    masks = [
        disc(SIZE, 60, 70, 31), np.zeros(SIZE, np.uint8),
        np.tril(rectangle(SIZE, 200, 20, 260, 90), 180),
        rectangle(SIZE, 299, 199, 300, 200), comb(SIZE),
    ]  # fmt: skip
    return make_scene(masks, [1, 2, 3, 1, 2], {0: (20, 39, 71, 60)}, crowds=[2])


def test_objects_are_numbered_as_in_the_record(scene):
    objects = labelled_objects(scene)

    assert [one.number for one in objects] == [1, 2, 3, 4, 5]
    assert [one.name for one in objects] == ["square", "circle", "triangle", "square", "circle"]
    assert [one.is_crowd for one in objects] == [False, False, True, False, False]
    assert [one.taught_mask is None for one in objects] == [False, True, True, False, False]
    assert [one.crop is None for one in objects] == [False, True, False, False, False]


def test_boxes_end_one_past_the_last_pixel(scene):
    for one in labelled_objects(scene):
        if one.crop is None:
            assert (one.pixels, one.box, one.box_error) == (0, one.own_box, 0)
            continue
        mask = torch.from_numpy(one.mask())
        wanted = masks_to_boxes(mask[None])[0] + torch.tensor([0, 0, 1, 1])
        x, y = one.last_pixel
        assert list(one.box) == wanted.tolist()
        assert one.pixels == int(mask.sum())
        assert mask[y, x]
        assert x == one.box[2] - 1


def test_the_labels_own_box_is_compared_at_all_edges(scene):
    first, *others = labelled_objects(scene)

    assert first.box == (29, 39, 92, 102)
    assert first.own_box == (20, 39, 91, 99)
    assert first.box_error == 9
    assert not any(one.box_error for one in others)


def test_sizes_are_measured_in_image_and_input(scene):
    pixel = labelled_objects(scene)[3]

    assert pixel.size() == (1, 1)
    assert pixel.size((0.5, 0.25)) == (0.5, 0.25)
    assert pixel.box_in((0.5, 2)) == (149.5, 398, 150, 400)


def test_what_is_taught_is_what_the_network_gets(scene):
    masks = [one.taught_mask for one in labelled_objects(scene) if one.taught_mask]
    taught = scene.training.target

    assert len(masks) == len(taught["masks"]) == 3
    for mask, wanted in zip(masks, taught["masks"], strict=True):
        shown = np.zeros(scene.trace.size, bool)
        (x, y), (height, width) = mask.corner, mask.mask.shape
        shown[y : y + height, x : x + width] = mask.mask
        assert_array_equal(shown, wanted.numpy().astype(bool))


def test_boxes_in_the_input_are_those_that_are_taught(scene):
    objects = [one for one in labelled_objects(scene) if one.taught_mask]
    boxes = torch.tensor([one.box_in(scene.trace.scale) for one in objects])

    torch.testing.assert_close(boxes, scene.training.target["boxes"].as_subclass(torch.Tensor))


def test_the_best_iou_is_the_ceiling_of_the_evaluation(scene):
    data = scene.dataset.data
    ceiling = mask_ceiling(
        RecordSet(data.root, data.format, data.classes, (scene.record,)), input_size(scene.model)
    )
    wanted = {one.instance + 1: one.iou for one in ceiling.objects}
    objects = labelled_objects(scene)

    assert {one.number: one.best_iou for one in objects if one.taught_mask} == wanted
    assert objects[0].best_iou > 0.9
    assert objects[1].best_iou == objects[2].best_iou == 0
    assert objects[4].best_iou < 0.5


def test_pixels_that_differ_make_up_the_iou(scene):
    for one in labelled_objects(scene):
        if one.taught_mask:
            lost, more = (int(part.sum()) for part in one.differing())
            iou = (one.pixels - lost) / (one.pixels + more)
            assert iou == pytest.approx(one.best_iou)


def test_nothing_is_labelled_without_labels_or_objects():
    assert labelled_objects(make_subject(0, with_labels=False)) == []
    assert labelled_objects(make_subject(0, without_objects=True)) == []
