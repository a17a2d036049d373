"""NMS and RoIAlign for exporters give what torchvision's give, for all images at once."""

import pytest
import torch
from torchvision.ops import batched_nms, box_iou, roi_align

from nets.export_operators import pool_regions, pool_rows, suppress
from nets.fixed_size import NONE
from nets.roi_align import Pooling


def random_boxes(*shape, side=100.0):
    corners = torch.rand(*shape, 2) * side
    return torch.cat([corners, (corners + torch.rand(*shape, 2) * side / 2).clamp(max=side)], -1)


def brute_force(boxes, scores, groups, most_iou):
    """One image: from the surest box down, and the first of those that are as sure."""
    stays = torch.zeros(len(boxes), dtype=torch.bool)
    overlaps = box_iou(boxes.double(), boxes.double())
    for place in sorted(range(len(boxes)), key=lambda place: (-float(scores[place]), place)):
        rivals = stays & (groups == groups[place])
        stays[place] = scores[place] > NONE and not (overlaps[place][rivals] > most_iou).any()
    return stays


@pytest.mark.parametrize("most_iou", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("groups", [1, 3, 90])
def test_boxes_are_suppressed_one_by_one(groups, most_iou):
    torch.manual_seed(groups)
    boxes, scores = random_boxes(3, 120), torch.rand(3, 120)
    scores[scores < 0.2] = NONE
    numbers = torch.randint(0, groups, (3, 120))

    stays = suppress(boxes, scores, numbers, groups, most_iou)

    for image in range(3):
        wanted = brute_force(boxes[image], scores[image], numbers[image], most_iou)
        assert torch.equal(stays[image], wanted)


def test_it_is_torchvisions_batched_nms():
    torch.manual_seed(0)
    boxes, scores, groups = random_boxes(400), torch.rand(400), torch.randint(0, 5, (400,))

    kept = batched_nms(boxes.double(), scores.double(), groups, 0.5)

    stays = suppress(boxes[None], scores[None], groups[None], 5, 0.5)[0]
    assert torch.where(stays)[0].tolist() == sorted(kept.tolist())


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_of_boxes_that_are_as_sure_the_first_stays(score):
    torch.manual_seed(0)
    boxes, scores = random_boxes(1, 200), torch.full((1, 200), score)
    groups = torch.zeros(1, 200, dtype=torch.long)

    stays = suppress(boxes, scores, groups, 1, 0.3)[0]

    assert torch.equal(stays, brute_force(boxes[0], scores[0], groups[0], 0.3))
    assert (
        torch.where(stays)[0].tolist()
        == batched_nms(boxes[0].double(), scores[0].double(), groups[0], 0.3).tolist()
    )


@pytest.mark.parametrize("most_iou", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("real", [0, 1, 2])
def test_places_without_a_box_neither_stay_nor_suppress(real, most_iou):
    boxes = torch.tensor([[[0.0, 0, 9, 9], [50, 50, 59, 59], [0, 0, 9, 9], [50, 50, 59, 59]]])
    scores = torch.full((1, 4), NONE)
    scores[0, 2 : 2 + real] = 0.0  # what is least sure is a box still
    groups = torch.zeros(1, 4, dtype=torch.long)

    stays = suppress(boxes, scores, groups, 1, most_iou)

    assert stays.tolist() == [[False, False, real > 0, real > 1]]


def test_the_last_class_of_the_last_image_is_as_exact_as_the_first():
    """Boxes that overlap a little more and a little less than allowed, at 4000 pixels."""
    pair = torch.tensor([[3000.0, 3000.0, 3100.0, 3100.0], [3000.0, 3050.0, 3100.0, 3100.0]])
    boxes = pair.repeat(64, 2, 1)
    boxes[:, 1, 1] += 0.01  # an IoU of 0.4999
    boxes[:, 3, 1] -= 0.01  # 0.5001
    scores = torch.tensor([0.9, 0.8, 0.9, 0.8]).repeat(64, 1)
    groups = torch.tensor([88, 88, 89, 89]).repeat(64, 1)

    stays = suppress(boxes, scores, groups, 90, 0.5)

    assert stays.tolist() == [[True, True, True, False]] * 64


@pytest.mark.parametrize("pool", [pool_rows, pool_regions])
@pytest.mark.parametrize("pooling", [Pooling((7, 7), 2, 1 / 8), Pooling((3, 14), 1, 1 / 4)])
def test_boxes_are_pooled_as_by_torchvision(pool, pooling):
    torch.manual_seed(0)
    feature = torch.rand(3, 5, 20, 17)
    boxes, images = random_boxes(40, side=150), torch.randint(0, 3, (40,))
    boxes[:5] = torch.tensor([-20.0, -20.0, 170.0, 180.0])  # over the border
    boxes[5:8, 2:] = boxes[5:8, :2]  # without area

    wanted = roi_align(
        feature,
        torch.cat([images[:, None].float(), boxes], dim=1),
        pooling.size,
        pooling.scale,
        pooling.samples,
    )

    torch.testing.assert_close(pool(feature, images, boxes, pooling), wanted, rtol=0, atol=1e-5)
    assert pool(feature, images[:0], boxes[:0], pooling).shape == (0, 5, *pooling.size)
