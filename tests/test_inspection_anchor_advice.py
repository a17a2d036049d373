"""What anchors of other settings would be worth is what a network that is built with them has."""

from dataclasses import replace

import pytest
import torch
from inspected import make_model
from labelled_scene import make_scene, rectangle
from torch.testing import assert_close
from torchvision.ops import box_iou

from nets.mask_rcnn import build_model
from utils.inspection.anchor_advice import FACTORS, Alternative, advice, alternatives, factors
from utils.inspection.anchors import best_anchors
from utils.inspection.trace import trace_image


def scene(boxes, size=(128, 128), **options):
    """A subject whose image has rectangles, (left, top, width, height)."""
    masks = [rectangle(size, x, y, x + w, y + h) for x, y, w, h in boxes]
    subject = make_scene(masks, model=make_model(**options))
    options = {**subject.weights.options, **options}
    return replace(subject, weights=replace(subject.weights, options=options))


def objects_of(subject):
    return subject.training.target["boxes"]


@pytest.fixture(scope="module")
def small():
    return scene([(20, 30, 14, 14), (90, 64, 11, 16)])


@pytest.fixture(scope="module")
def long():
    return scene([(20, 10, 22, 88), (70, 30, 22, 88)])


def brute_force(subject, **changes):
    """Best IoUs of a subject's objects in a network that is built anew."""
    options = {**subject.weights.options, **changes}
    model = build_model(subject.weights.arch, 2, **options).eval()
    image, target = subject.dataset[0]
    _, targets = model.transform([image], [target])
    return box_iou(targets[0]["boxes"], trace_image(model, image).anchors).amax(1)


def test_too_small_objects_are_enlarged_as_far_as_it_helps(small):
    boxes = objects_of(small)
    larger, fitted = alternatives(small, boxes, torch.tensor([True, True]))
    words = larger.flags.split()

    assert words[::2] == ["--min-size", "--max-size"]
    assert 256 <= int(words[1]) <= 512
    wanted = brute_force(small, min_size=int(words[1]), max_size=int(words[3]))
    assert_close(larger.iou, wanted, atol=1e-4, rtol=0)
    assert larger.shares == (0, float((wanted >= 0.7).double().mean())) > (0, 0)
    assert larger.iou.mean() > best_anchors(small.trace, boxes).iou.mean() + 0.3
    assert fitted.flags == "--anchors auto"


def test_too_large_objects_are_made_smaller():
    sizes = [4, 8, 16, 24, 32]
    subject = scene([(10, 10, 180, 108)], (128, 200), max_size=200, anchor_sizes=sizes)
    smaller = alternatives(subject, objects_of(subject), torch.tensor([True]))[0]
    words = smaller.flags.split()

    assert int(words[1]) < 64
    wanted = brute_force(subject, min_size=int(words[1]), max_size=int(words[3]))
    assert_close(smaller.iou, wanted, atol=1e-4, rtol=0)
    assert smaller.shares == (0, float(wanted >= 0.7))


def test_fitted_anchors_are_worth_what_a_network_with_them_has(long):
    (fitted,) = alternatives(long, objects_of(long), torch.tensor([False, False]))
    sizes, ratios = fitted.about.split(" px, height / width ")
    numbers = [float(x) for x in sizes.removeprefix("sizes ").split(", ")]
    shapes = [float(x) for x in ratios.split(", ")]

    wanted = brute_force(long, anchor_sizes=numbers, aspect_ratios=shapes)
    assert_close(fitted.iou, wanted)
    assert fitted.shares == (0, 1)
    assert max(shapes) > 2


def test_what_helps_reaches_more_objects_and_costs_others_nothing():
    now, poor = torch.tensor([0.2, 0.6, 0.9]), torch.tensor([True, True, False])

    def helps(iou, shares=(0.5, 0.5)):
        one = Alternative("--anchors auto", "", torch.tensor(iou), shares, 9)
        return one.helps(now, poor, (0.3, 0.7))

    assert helps([0.2, 0.8, 0.9])
    assert helps([0.4, 0.6, 0.9])
    assert not helps([0.28, 0.69, 0.9])  # no threshold is reached
    assert not helps([0.31, 0.55, 0.9])  # hardly a gain
    assert not helps([0.2, 0.8, 0.6])  # another object is lost for it
    assert not helps([0.2, 0.8, 0.9], (0.5, 0.4))


def test_a_long_object_is_not_enlarged(long):
    boxes = objects_of(long)
    iou = best_anchors(long.trace, boxes).iou
    (finding,) = advice(long, iou, boxes, ["1 thing", "2 thing"])

    assert "height / width 4, anchors have 0.5 to 2" in finding
    assert "`--anchors auto`" in finding
    assert "--min-size" not in finding
    assert "of 2 sampled objects of this part 100%, now 0%, would have an anchor" in finding
    assert finding.endswith("training may fit others.")


def test_nothing_is_advised_that_does_not_help():
    subject = scene([(20, 30, 3, 3)])
    boxes = objects_of(subject)
    (finding,) = advice(subject, best_anchors(subject.trace, boxes).iou, boxes, ["1 thing"])

    assert "Training with" not in finding
    assert finding.endswith(
        "Fitted anchors (`--anchors auto`) were tried, and inputs 0.25, 0.35, 0.5, 0.71, 1.41, 2, "
        "2.83, 4 times as large; nothing helps them without harm to others."
    )


def test_inputs_beyond_the_limit_are_not_tried(small):
    assert set(factors(small.model)) == set(FACTORS)
    assert max(factors(make_model(max_size=1333))) == 2
    assert max(factors(make_model(max_size=3001))) == 1


def test_objects_that_anchors_meet_need_no_advice(small):
    assert advice(small, torch.tensor([1.0, 0.7]), objects_of(small), ["1 a", "2 b"]) == []


def test_a_large_data_set_is_sampled(small, monkeypatch):
    monkeypatch.setattr("utils.inspection.anchor_advice.MOST_OBJECTS", 4)
    record = small.record
    data = replace(small.dataset.data, images=(record,) * 6)  # 12 objects: every third image
    monkeypatch.setattr(small.dataset, "data", data)
    found = alternatives(small, objects_of(small), torch.tensor([True, True]))

    assert [one.sampled for one in found] == [4, 4]
