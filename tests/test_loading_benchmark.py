"""The loading benchmark: all ways load the same, and its figures are medians of each stage."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import masks_to_boxes

from tools import loading_benchmark
from tools.loading_benchmark import (
    coco_ways,
    compare,
    draw_coco,
    draw_id_masks,
    id_mask_ways,
)


def drawn_ways(kind, root):
    if kind == "id masks":
        draw_id_masks(root, 6, (64, 80))
        return id_mask_ways(root)
    draw_coco(root, 6, (96, 112), 9)
    return coco_ways(root)


def mirrored(image, boxes, masks):
    x1, y1, x2, y2 = boxes.unbind(1)
    width = image.shape[2]
    return image.flip(2), torch.stack([width - x2, y1, width - x1, y2], 1), masks.flip(2)


# The tutorial's boxes end in the last pixel of a mask, ours and COCO's behind it.
@pytest.mark.parametrize(("kind", "objects", "apart"), [("id masks", 1, 1), ("coco", 9, 0)])
def test_all_ways_load_the_same_picture_boxes_and_masks(tmp_path, kind, objects, apart):
    ways = drawn_ways(kind, tmp_path / "set")
    torch.manual_seed(0)
    flips = set()
    for number in range(6):
        image, target = ways.reference(number)
        masks = target["masks"]
        boxes = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
        assert (target["boxes"] - boxes).abs().max() == apart
        assert masks.shape == (objects, *image.shape[1:])
        assert type(image) is type(target["boxes"]) is type(masks) is torch.Tensor
        for load in (ways.first, ways.cached, ways.cached):
            found, ours = load(number)
            wanted = (image, boxes, masks)
            flips.add(is_flipped := not torch.equal(found, image))
            if is_flipped:
                wanted = mirrored(*wanted)
            assert torch.equal(found, wanted[0])
            assert torch.equal(ours["boxes"], wanted[1])
            assert torch.equal(ours["masks"].dense(), wanted[2])
            assert torch.equal(ours["labels"], target["labels"])
    assert flips == {True, False}


@pytest.mark.parametrize("kind", ["id masks", "coco"])
def test_later_epochs_decode_nothing(tmp_path, kind):
    ways = drawn_ways(kind, tmp_path / "set")
    before = [ways.cached(number) for number in range(6)]
    for path in (tmp_path / "set").rglob("*.*g"):
        path.unlink()
    for number, (image, _) in enumerate(before):
        assert torch.equal(ways.cached(number)[0], image)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Tiny drawn pictures, the real ones being away."""
    monkeypatch.setenv("PENNFUDAN_ROOT", str(tmp_path / "missing"))
    for name, value in {"PERSON": (64, 80), "CROWD": (96, 112), "PICTURES": 3, "OBJECTS": 3,
                        "MIN_SIZE": 64, "MAX_SIZE": 128}.items():  # fmt: skip
        monkeypatch.setattr(loading_benchmark, name, value)


def test_people_are_pennfudans_where_they_are(tiny, drawn_pennfudan, monkeypatch):
    monkeypatch.setenv("PENNFUDAN_ROOT", str(drawn_pennfudan))
    ways = []
    monkeypatch.setattr(
        loading_benchmark, "_compared", lambda _, way, rounds: ways.append(way) or ()
    )
    compare(1)
    people, crowd = ways
    assert people.images == 2, "those with one object"
    assert [people.first(number)[0].shape[1:] for number in range(2)] == [(72, 64), (64, 80)]
    assert crowd.images == 3


def test_figures_are_medians_of_each_stage(tiny, monkeypatch):
    # In turn: reference, first epoch, cached; each with its start, its sample and its input.
    of_a_picture = [0, 8, 20, 0, 4, 9, 0, 2, 5]
    warm_up = [0, 99] * 3
    of_another = [9 * time for time in of_a_picture]
    clock = iter(2 * (3 * warm_up + of_a_picture + of_another + of_a_picture))
    monkeypatch.setattr(loading_benchmark.time, "perf_counter", lambda: next(clock))
    results = compare(1)
    assert next(clock, None) is None
    assert [result["name"] for result in results] == [
        f"load {objects}, {epoch}, to the {end}"
        for objects in ("1 object", "3 objects")
        for end in ("sample", "network's input")
        for epoch in ("first epoch", "cached")
    ]
    figures = [(result["reference_s"], result["ours_s"], result["ratio"]) for result in results]
    assert figures == 2 * [(8, 4, 2), (8, 2, 4), (20, 9, 20 / 9), (20, 5, 4)]
