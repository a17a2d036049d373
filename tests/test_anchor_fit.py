"""Fitted anchors, held against the network's real ones listed one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from nets.mask_rcnn import build_model
from utils.data.records import ImageRecord, Instance, RecordSet
from utils.doctor.network_view import NetworkView
from utils.training import anchor_fit
from utils.training.anchor_fit import fit_anchors

SMALL = "maskrcnn_resnet18_fpn_small"
MOBILENET = "maskrcnn_mobilenet_v3_large_fpn"
VIEW = NetworkView(256, 256)
OWN = ((32, 64, 128, 256, 512), (0.5, 1.0, 2.0))


def data_of(*images, iscrowd=0):
    """A data set of images, each (width, height, boxes (x, y, width, height))."""
    root = Path("drawn")
    records = [
        ImageRecord(
            number,
            root / f"{number}.png",
            width,
            height,
            tuple(Instance(1, [], tuple(map(float, b)), b[2] * b[3], iscrowd) for b in boxes),
        )
        for number, (width, height, boxes) in enumerate(images)
    ]
    return RecordSet(root, "drawn", ("thing",), tuple(records))


def best_by_listing(data, view, arch, **options):
    """The largest IoU of each object with an anchor: the network resizes, torchvision lists."""
    model = build_model(arch, 2, min_size=view.min_size, max_size=view.max_size, **options).eval()
    found = []
    for record in data.images:
        x, y, w, h = torch.tensor([one.bbox for one in record.instances]).unbind(1)
        target = {"boxes": torch.stack([x, y, x + w, y + h], 1)}
        images, targets = model.transform([torch.rand(3, record.height, record.width)], [target])
        with torch.no_grad():
            features = list(model.backbone(images.tensors).values())
        anchors = model.rpn.anchor_generator(
            ImageList(images.tensors, images.image_sizes), features
        )
        found.append(box_iou(targets[0]["boxes"], anchors[0]).amax(1))
    return torch.cat(found)


def shares(best):
    return tuple(float((best >= least).double().mean()) for least in (0.7, 0.5))


def drawn_boxes(count, width, height, seed=0):
    """Boxes of all sizes and shapes that lie within the image, some at its edge."""
    draw = torch.Generator().manual_seed(seed)
    boxes = []
    for _ in range(count):
        a, b, c, d = torch.rand(4, generator=draw, dtype=torch.float64).tolist()
        w, h = 3 + a**2 * (width - 3), 3 + b**2 * (height - 3)
        boxes.append((c * (width - w), d * (height - h), w, h))
    return [*boxes, (0, 0, 20, 20), (width - 15, height - 25, 15, 25)]


@pytest.mark.parametrize("arch", [SMALL, MOBILENET])
@pytest.mark.parametrize(
    ("size", "view"),
    [
        ((256, 256), VIEW),
        ((200, 160), NetworkView(80, 200)),  # shrunk, to sides that are padded
        ((96, 64), NetworkView(230, 400)),  # enlarged, and rounded down to a whole pixel
        ((300, 40), NetworkView(100, 320)),  # as the longer side allows
    ],
)
def test_best_ious_are_those_of_the_networks_anchors(arch, size, view):
    data = data_of((*size, drawn_boxes(60, *size)))
    anchors = {"anchor_sizes": [11, 24, 50, 90, 170], "aspect_ratios": [0.3, 0.9, 4.0]}
    objects, own = objects_of(data, view, arch, anchors)

    wanted = best_by_listing(data, view, arch, **anchors)
    torch.testing.assert_close(objects.best_ious(own).float(), wanted, rtol=0, atol=2e-3)


def objects_of(data, view, arch, options):
    """What the fit works with, and the anchors it starts from."""
    kept = {}

    def climb(own, objects):
        kept.update(own=own, objects=objects)
        return own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anchor_fit, "_climb", climb)
        fit_anchors(data, view, arch, options)
    return kept["objects"], kept["own"]


@pytest.mark.parametrize("arch", [SMALL, MOBILENET])
def test_shares_are_told_for_before_and_after(arch):
    # At one scale: IoUs lie on no threshold that rounding could cross.
    boxes = [(10 + 3.7 * i, 20 + 2.9 * i, 21.3 + i, 70.7 + i) for i in range(20)]
    data = data_of((256, 256, boxes), (256, 256, []))
    fit = fit_anchors(data, VIEW, arch, {})

    assert fit.options == {"anchor_sizes": list(fit.sizes), "aspect_ratios": list(fit.ratios)}
    data = data_of((256, 256, boxes))
    assert fit.before == pytest.approx(shares(best_by_listing(data, VIEW, arch)))
    assert fit.after == pytest.approx(shares(best_by_listing(data, VIEW, arch, **fit.options)))
    assert sum(fit.after) > sum(fit.before)


def drawn_size(low, high):
    return st.floats(low, high).map(lambda value: round(value, 1))


BOX = st.tuples(drawn_size(0, 100), drawn_size(0, 100), drawn_size(1, 156), drawn_size(1, 156))


@settings(max_examples=12, deadline=None)
@given(st.lists(BOX, max_size=8), st.sampled_from([SMALL, MOBILENET]))
def test_fitted_anchors_ascend_fit_the_network_and_are_no_worse(boxes, arch):
    data = data_of((256, 256, boxes))
    fit = fit_anchors(data, VIEW, arch, {})

    assert sum(fit.after) >= sum(fit.before)
    assert list(fit.sizes) == sorted(set(fit.sizes))
    assert list(fit.ratios) == sorted(set(fit.ratios))
    with torch.device("meta"):
        own, model = build_model(arch, 2), build_model(arch, 2, **fit.options)
    counts = [m.rpn.anchor_generator.num_anchors_per_location() for m in (own, model)]
    assert counts[0] == counts[1]
    assert all(a / 4 <= b <= 2 * a for a, b in zip(OWN[0], fit.sizes, strict=True))


def grid_of(side, height=None, step=16, image=256):
    """Equal boxes all over an image, at every place against the grids."""
    height = height or side
    return (
        image,
        image,
        [
            (x + x % 7, y + y % 5, side, height)
            for x in range(0, image - side - 7, step + 1)
            for y in range(0, image - height - 5, step + 1)
        ],
    )


@pytest.mark.parametrize(("side", "level"), [(12, 0), (20, 0), (45, 1), (90, 1), (90, 2)])
def test_equal_objects_move_a_size_near_them(side, level):
    fit = fit_anchors(data_of(grid_of(side)), VIEW, SMALL, {})

    nearest = min(fit.sizes, key=lambda size: abs(size - side))
    assert nearest == pytest.approx(side, rel=0.2)
    assert sum(fit.after) >= sum(fit.before)
    assert fit.sizes[-1] == 512  # no object asks for another


def test_tall_objects_move_a_ratio():
    fit = fit_anchors(data_of(grid_of(16, 96)), VIEW, SMALL, {})

    assert max(fit.ratios) > 4
    assert fit.before[1] == 0
    assert fit.after[1] > 0.9


def test_wide_objects_move_a_ratio():
    fit = fit_anchors(data_of(grid_of(96, 16)), VIEW, SMALL, {})
    assert min(fit.ratios) < 1 / 4


def test_objects_are_fitted_as_the_network_sees_them():
    small = data_of(grid_of(10, step=4, image=64))
    seen = fit_anchors(small, VIEW, SMALL, {})  # four times as large
    same = fit_anchors(data_of(grid_of(40)), VIEW, SMALL, {})

    assert min(seen.sizes, key=lambda s: abs(s - 40)) == pytest.approx(40, rel=0.2)
    assert min(same.sizes, key=lambda s: abs(s - 40)) == pytest.approx(40, rel=0.2)


def test_one_object_is_enough():
    fit = fit_anchors(data_of((256, 256, [(100, 100, 12, 12)])), VIEW, SMALL, {})

    assert fit.before == (0, 0)
    assert fit.after[1] == 1
    assert fit.sizes[1:] == OWN[0][1:]


@pytest.mark.parametrize("iscrowd", [0, 1])
def test_without_objects_the_anchors_stay(iscrowd):
    boxes = [(10, 10, 7, 90)] * iscrowd  # a crowd trains nothing
    fit = fit_anchors(data_of((256, 256, boxes), iscrowd=iscrowd), VIEW, SMALL, {})

    assert (fit.sizes, fit.ratios) == OWN
    assert fit.options == {}


def test_anchors_that_fit_stay():
    boxes = [(96, 96, 64, 64), (64, 64, 128, 128), (112, 112, 32, 32)]
    fit = fit_anchors(data_of((256, 256, boxes)), VIEW, SMALL, {})

    assert (fit.sizes, fit.ratios, fit.options) == (*OWN, {})
    assert fit.before == fit.after == (1, 1)
    assert "the network's own fit best, sizes 32, 64, 128, 256, 512 px" in str(fit)
    assert ">= 0.7: 100.0%, >= 0.5: 100.0%" in str(fit)


def test_a_better_anchor_than_a_good_one_is_not_asked_for():
    fit = fit_anchors(data_of((256, 256, [(109.5, 109.5, 37, 37)])), VIEW, SMALL, {})
    assert (fit.sizes, fit.ratios, fit.options) == (*OWN, {})  # 32² / 37² is 0.75


def test_a_fit_that_would_be_worse_is_dropped(monkeypatch):
    monkeypatch.setattr(
        anchor_fit, "_climb", lambda own, objects: own._replace(sizes=(1, 2, 3, 4, 5))
    )
    fit = fit_anchors(data_of((256, 256, [(96, 96, 64, 64)])), VIEW, SMALL, {})
    assert (fit.sizes, fit.ratios, fit.options) == (*OWN, {})
    assert fit.before == fit.after == (1, 1)


def test_the_fit_starts_from_the_anchors_of_the_network_as_it_is_built():
    sizes = [10, 20, 40, 80, 160]
    options = {"anchor_sizes": sizes, "min_size": 256, "frozen_norm": True}
    fit = fit_anchors(data_of(), VIEW, SMALL, options)
    assert list(fit.sizes) == sizes


def test_the_line_says_what_changed():
    fit = fit_anchors(data_of((256, 256, [(100, 100, 12, 12)])), VIEW, SMALL, {})
    assert str(fit) == (
        "anchors: fitted to the objects, sizes 16, 64, 128, 256, 512 px of the network's input, "
        "height / width 0.5, 1, 2; objects with an anchor of IoU >= 0.7: 0.0% -> 0.0%, "
        ">= 0.5: 0.0% -> 100.0%"
    )


def test_a_large_data_set_is_sampled_evenly(monkeypatch):
    monkeypatch.setattr(anchor_fit, "MOST_OBJECTS", 10)
    boxes = [(5 * i, 5 * i, 10 + i, 10) for i in range(25)]
    objects, _ = objects_of(data_of((256, 256, boxes)), VIEW, SMALL, {})
    assert (2 * objects.halves[:, 0]).tolist() == [10 + i for i in range(0, 25, 3)]
