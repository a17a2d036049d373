"""Selections of fixed size choose what selections of any size would."""

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import clip_boxes_to_image, remove_small_boxes

from nets.fixed_size import (
    NONE,
    are_large,
    candidates_of,
    clipped,
    decoded,
    places_of,
    ranked,
    spread,
    surest,
    taken,
)

LOW = -torch.inf


@pytest.mark.parametrize(("chosen", "nothing"), [(surest, LOW), (ranked, NONE)])
@pytest.mark.parametrize(
    ("scores", "count", "wanted", "places"),
    [
        ([0.5, 0.25, 0.75], 2, [0.75, 0.5], [2, 0]),
        ([0.5, 0.25, 0.75], 3, [0.75, 0.5, 0.25], [2, 0, 1]),
        ([0.5, 0.25], 4, [0.5, 0.25], [0, 1]),
        ([0.0], 1, [0.0], [0]),
    ],
)
def test_the_surest_come_first(chosen, nothing, scores, count, wanted, places):
    found, where = chosen(torch.tensor([scores, scores]), count)

    assert found.tolist() == [wanted + [nothing] * (count - len(wanted))] * 2
    assert where[:, : len(places)].tolist() == [places, places]
    assert where.min() >= 0
    assert where.max() < len(scores)  # any place will do, but it must be one


@pytest.mark.parametrize("count", [10, 300, 1000, 1200])
def test_of_equal_scores_the_first_is_the_surer(count):
    torch.manual_seed(0)
    scores = torch.randint(0, 4, (2, 1000)).float()
    found, places = ranked(scores, count)
    for row in range(2):
        wanted = sorted(range(1000), key=lambda place: (-float(scores[row, place]), place))
        assert places[row, :1000].tolist() == wanted[:count]
        assert found[row, :1000].tolist() == scores[row, wanted[:count]].tolist()


def test_candidates_keep_their_order():
    torch.manual_seed(0)
    scores = torch.rand(2, 50)
    found, places = candidates_of(scores, 20)
    for row in range(2):
        least = scores[row].sort(descending=True).values[19]
        assert places[row].tolist() == torch.where(scores[row] >= least)[0].tolist()
        assert torch.equal(found[row], scores[row, places[row]])


def test_rows_are_taken_from_their_own_image():
    values = torch.arange(24).view(2, 3, 4)

    assert taken(values, torch.tensor([[2, 0], [1, 1]])).tolist() == [
        [[8, 9, 10, 11], [0, 1, 2, 3]],
        [[16, 17, 18, 19], [16, 17, 18, 19]],
    ]


@pytest.mark.parametrize(
    ("found", "places"),
    [
        ([[True, False], [True, True]], [0, 2, 3]),
        ([[False, False], [True, False]], [0, 2]),  # the first one always
        ([[False, False], [False, False]], [0]),
    ],
)
def test_values_of_the_filled_places_are_spread_over_all(found, places):
    found = torch.tensor(found)
    assert places_of(found).tolist() == places

    values = torch.arange(1, 4 * len(places) + 1).view(-1, 2, 2).float()
    whole = spread(values, torch.tensor(places), found)

    wanted = torch.zeros(4, 2, 2)
    for place, value in zip(places, values, strict=True):
        wanted[place] = value * found.flatten()[place]
    assert torch.equal(whole, wanted.view(2, 2, 2, 2))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (1, 2, 3, 4)])
def test_boxes_are_decoded_as_by_torchvision(weights):
    torch.manual_seed(0)
    coder = BoxCoder(weights)
    corners = torch.rand(500, 2) * 300
    boxes = torch.cat([corners, corners + torch.rand(500, 2) * 200], dim=1)
    codes = torch.randn(500, 4) * 20  # many beyond the limit of a box's growth
    boxes[0, 2:] = boxes[0, :2]

    wanted = coder.decode_single(codes, boxes)

    torch.testing.assert_close(decoded(codes, boxes, coder), wanted, rtol=1e-5, atol=1e-3)
    found = decoded(codes.view(2, 250, 4), boxes.view(2, 250, 4), coder)
    torch.testing.assert_close(found.view(500, 4), wanted, rtol=1e-5, atol=1e-3)


def test_boxes_are_clipped_as_by_torchvision():
    torch.manual_seed(0)
    boxes = torch.randn(200, 4) * 100 + 50
    boxes[0] = torch.tensor([0.0, 0, 120, 70])

    assert torch.equal(clipped(boxes, 70, 120), clip_boxes_to_image(boxes, (70, 120)))


@pytest.mark.parametrize("smallest", [1e-3, 1e-2, 2.0])
def test_large_boxes_are_those_that_torchvision_keeps(smallest):
    torch.manual_seed(0)
    corners = torch.rand(400, 2) * 10
    sides = torch.rand(400, 2) * 4 * smallest
    sides[:100] = smallest  # just large enough, or not, by rounding
    sides[100:110] = 0
    boxes = torch.cat([corners, corners + sides], dim=1)

    wanted = remove_small_boxes(boxes, smallest)

    assert torch.where(are_large(boxes, smallest))[0].tolist() == wanted.tolist()
    assert 0 < len(wanted) < 400
