"""Objects of a changed image: their boxes and areas are made anew, and slivers go."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes

from nets.contract import CompactMasks, check_target
from utils.data.targets import changed_target, joined_objects, selected_objects


def target_of(full, kind="compact"):
    """A target of full-size masks, without using the code under test."""
    count = len(full)
    boxes = masks_to_boxes(full) + torch.tensor([0, 0, 1, 1])
    masks = CompactMasks.from_crops(list(full), [(0, 0)] * count, tuple(full.shape[1:]))
    return {
        "boxes": tv_tensors.BoundingBoxes(
            boxes.reshape(-1, 4).float(), format="XYXY", canvas_size=tuple(full.shape[1:])
        ),
        "labels": torch.arange(1, count + 1),
        "masks": masks if kind == "compact" else tv_tensors.Mask(full),
        "image_id": 5,
        "area": full.sum((1, 2)).float(),
        "iscrowd": torch.arange(count) % 2,
    }


def drawn_sample(seed, height, width, count, kind="compact", channels=3):
    """An image whose first channel is 255 where an object is and 0 elsewhere, and its target.
    Objects are random, one of each four a pixel, and many touch the border."""
    generator = torch.Generator().manual_seed(seed)
    full = torch.zeros((count, height, width), dtype=torch.uint8)
    for number, mask in enumerate(full):
        (top, bottom), (left, right) = (
            torch.randint(-length // 2, length + length // 2 + 1, (2,), generator=generator)
            .clamp(0, length - 1)
            .sort()
            .values.tolist()
            for length in (height, width)
        )
        if number % 4 == 3:
            bottom, right = top, left
        mask[top : bottom + 1, left : right + 1] = 1
    image = torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=generator)
    image[0] = 255 * full.sum(0).clamp(max=1)
    return tv_tensors.Image(image), target_of(full, kind)


def same_targets(one, other):
    """Whether two targets are equal, whatever the kinds of their masks."""
    masks = [CompactMasks.from_masks(target["masks"]).dense() for target in (one, other)]
    fields = ("boxes", "labels", "area", "iscrowd")
    return torch.equal(*masks) and all(torch.equal(one[field], other[field]) for field in fields)


def strips(*lengths, size=(20, 50)):
    """Masks of one row of pixels each, of these lengths."""
    full = torch.zeros((len(lengths), *size), dtype=torch.uint8)
    for number, length in enumerate(lengths):
        full[number, 2 * number, 5 : 5 + length] = 1
    return full


# Pixels before, pixels after, factor of the area, whether the object stays.
CUTS = [
    (40, 40, 1.0, True),
    (40, 4, 1.0, True),
    (40, 3, 1.0, False),
    (41, 4, 1.0, False),  # less than a tenth
    (6, 3, 1.0, False),  # less than 4 pixels, of more
    (3, 3, 1.0, True),
    (3, 2, 1.0, False),
    (1, 1, 1.0, True),
    (1, 0, 1.0, False),
    (10, 4, 4.0, True),
    (11, 4, 4.0, False),  # a tenth of the enlarged object
    (40, 4, 0.25, True),
    (8, 2, 0.25, False),
    (1, 1, 0.25, True),
]


@pytest.mark.parametrize("kind", ["compact", "full size"])
@pytest.mark.parametrize(("before", "after", "zoom", "stays"), CUTS)
def test_which_cut_objects_stay(kind, before, after, zoom, stays):
    target = target_of(strips(before, 30), kind)
    new = strips(after, 30)
    loose = CompactMasks.from_crops(list(new), [(0, 0)] * 2, (20, 50))
    found = changed_target(target, loose, zoom)
    check_target(found, 20, 50, 3, "drawn")
    assert found["labels"].tolist() == ([1, 2] if stays else [2])
    kept = new if stays else new[1:]
    masks = found["masks"] if kind == "full size" else found["masks"].dense()
    assert type(masks) is (tv_tensors.Mask if kind == "full size" else torch.Tensor)
    assert torch.equal(masks, kept)
    assert torch.equal(found["boxes"], masks_to_boxes(kept) + torch.tensor([0, 0, 1, 1]))
    assert found["area"].tolist() == kept.sum((1, 2)).tolist()
    assert found["iscrowd"].tolist() == ([0, 1] if stays else [1])
    assert found["image_id"] == 5


@pytest.mark.parametrize("kind", ["compact", "full size"])
def test_no_object_may_be_left(kind):
    for target in (target_of(strips(), kind), target_of(strips(9, 9), kind)):
        count = len(target["labels"])
        nothing = CompactMasks.from_masks(strips(*[0] * count, size=(30, 10)))
        found = changed_target(target, nothing)
        check_target(found, 30, 10, 3, "drawn")
        assert found["masks"].shape == (0, 30, 10)
        assert found["boxes"].canvas_size == (30, 10)


@pytest.mark.parametrize("kind", ["compact", "full size"])
def test_objects_are_chosen_and_joined_in_all_fields(kind):
    full = strips(3, 5, 7)
    target = target_of(full, kind)
    kept = torch.tensor([False, True, True])
    chosen = selected_objects(target, kept)
    both = joined_objects(chosen, target)
    for found, order in ((chosen, [1, 2]), (both, [1, 2, 0, 1, 2])):
        check_target(found, 20, 50, 4, "drawn")
        expected = target_of(full, kind)
        assert torch.equal(CompactMasks.from_masks(found["masks"]).dense(), full[order])
        assert type(found["masks"]) is type(expected["masks"])
        assert type(found["boxes"]) is tv_tensors.BoundingBoxes
        for field in ("boxes", "labels", "area", "iscrowd"):
            assert torch.equal(found[field], expected[field][order])
