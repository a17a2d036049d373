"""Transforms: boxes and masks follow the pixels, and floats come out as plain tensors."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_targets import drawn_sample, same_targets
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from nets.contract import CompactMasks, check_target
from utils.data.transforms import (
    AUGMENTATIONS,
    DEFAULT_AUGMENTATION,
    ColorJitter,
    RandomTranspose,
    eval_transforms,
    train_transforms,
)


def sample(objects):
    """An image whose red channel is the mask of its objects, and their target."""
    masks = torch.zeros(objects, 20, 30, dtype=torch.uint8)
    for i in range(objects):
        masks[i, 3 + i : 9 + 2 * i, 2 + 4 * i : 7 + 5 * i] = 1
    image = torch.randint(0, 200, (3, 20, 30), dtype=torch.uint8)
    image[0] = 255 * masks.sum(0).clamp(max=1).to(torch.uint8)
    boxes = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])
    target = {
        "boxes": tv_tensors.BoundingBoxes(
            boxes.reshape(-1, 4).float(), format="XYXY", canvas_size=(20, 30)
        ),
        "labels": torch.arange(1, objects + 1),
        "masks": tv_tensors.Mask(masks),
        "image_id": 5,
        "area": masks.sum((1, 2)).float(),
        "iscrowd": torch.zeros(objects, dtype=torch.int64),
    }
    return tv_tensors.Image(image), target


@pytest.mark.parametrize("objects", [0, 1, 3])
def test_evaluation_only_makes_floats(objects):
    image, target = sample(objects)
    found, after = eval_transforms()(image, target)
    assert torch.allclose(found * 255, image.float(), atol=1e-4)
    for field, value in target.items():
        assert torch.equal(torch.as_tensor(after[field]), torch.as_tensor(value))


@pytest.mark.parametrize("transforms", [eval_transforms(), train_transforms()])
@pytest.mark.parametrize("objects", [0, 2])
def test_plain_tensors_of_the_contract_come_out(transforms, objects):
    image, target = transforms(*sample(objects))
    assert type(image) is torch.Tensor
    assert image.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() == (1 if objects else image.max())
    assert type(target["boxes"]) is type(target["masks"]) is torch.Tensor
    assert (target["boxes"].dtype, target["boxes"].shape) == (torch.float32, (objects, 4))
    assert (target["masks"].dtype, target["masks"].shape) == (torch.uint8, (objects, 20, 30))


def test_half_of_the_training_images_are_flipped_and_boxes_with_them():
    image, target = sample(3)
    flips = 0
    for seed in range(100):
        torch.manual_seed(seed)
        found, after = train_transforms()(image, target)
        flipped = torch.allclose(found * 255, image.flip(2).float(), atol=1e-4)
        assert flipped or torch.allclose(found * 255, image.float(), atol=1e-4)
        expected = target["masks"].flip(2) if flipped else target["masks"]
        assert torch.equal(after["masks"], expected)
        boxes = masks_to_boxes(after["masks"]) + torch.tensor([0, 0, 1, 1])
        assert torch.equal(after["boxes"], boxes)
        assert torch.equal(after["labels"], target["labels"])
        flips += flipped
    assert 30 < flips < 70


def test_compact_masks_are_flipped_like_full_size_ones():
    image, target = sample(2)
    full = target["masks"].as_subclass(torch.Tensor)
    crops = [mask[2:, 1:] for mask in full]
    masks = CompactMasks.from_crops(crops, [(1, 2)] * 2, full.shape[1:])
    assert torch.equal(masks.dense(), full), "the objects lie in the crops"
    for seed in range(6):
        torch.manual_seed(seed)
        _, expected = train_transforms()(image, target)
        torch.manual_seed(seed)
        _, found = train_transforms()(image, target | {"masks": masks})
        assert torch.equal(found["masks"].dense(), expected["masks"])
        assert torch.equal(found["boxes"], expected["boxes"])


@given(st.sampled_from(sorted(AUGMENTATIONS)), st.integers(0, 999), st.integers(8, 60),
       st.integers(8, 60), st.integers(0, 6), st.sampled_from([1, 2, 3, 5]))  # fmt: skip
def test_every_preset_keeps_the_contract(name, seed, height, width, count, channels):
    found = []
    for kind in ("compact", "full size"):
        torch.manual_seed(seed)
        sample = drawn_sample(seed, height, width, count, kind, channels)
        image, target = train_transforms(name)(*sample)
        assert type(image) is torch.Tensor
        assert image.dtype == torch.float32
        assert -1e-5 < image.min() <= image.max() < 1 + 1e-5  # a blur rounds
        size = tuple(image.shape[1:])
        assert size == (height, width) or (name == "transpose" and size == (width, height))
        check_target(target, *size, 7, "drawn")
        found.append(target)
    assert same_targets(*found)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_draws_come_from_the_default_generator_alone(name, dtype):
    transforms = pickle.loads(pickle.dumps(train_transforms(name)))  # as a spawned worker has them
    image, target = drawn_sample(1, 40, 50, 3)
    image = v2.functional.to_dtype(image, dtype, scale=True)
    given_pixels = image.clone()
    pictures = []
    for seed in (1, 1, *range(2, 12)):
        torch.manual_seed(seed)
        found, after = transforms(image, target)
        pictures.append((found, after["boxes"]))
        assert torch.equal(image, given_pixels)
    same = [torch.equal(found, pictures[0][0]) for found, _ in pictures]
    assert same[1]
    assert torch.equal(pictures[0][1], pictures[1][1])
    assert all(same) == (name == "none")


def test_a_preset_that_only_flips_draws_one_number():
    assert DEFAULT_AUGMENTATION == "flip"
    image, target = sample(2)
    for name in ("flip", "transpose"):
        for seed in range(20):
            torch.manual_seed(seed)
            changes = bool(torch.rand(1) < 0.5)
            following = torch.rand(1)
            torch.manual_seed(seed)
            found, _ = train_transforms(name)(image, target)
            assert torch.rand(1) == following
            expected = image if not changes else image.flip(2) if name == "flip" else image.mT
            assert torch.allclose(found * 255, expected.float(), atol=1e-4)


@pytest.mark.parametrize("kind", ["compact", "full size"])
def test_a_transposed_map_is_a_matrix_transposed(kind):
    image, target = drawn_sample(3, 20, 30, 5, kind)
    found, after = RandomTranspose(1.0)(image, target)
    assert torch.equal(found, image.mT)
    masks = CompactMasks.from_masks(after["masks"]).dense()
    assert torch.equal(masks, CompactMasks.from_masks(target["masks"]).dense().mT)
    assert torch.equal(after["boxes"], target["boxes"][:, [1, 0, 3, 2]])
    assert after["boxes"].canvas_size == (30, 20)
    again = RandomTranspose(1.0)(found, after)
    assert torch.equal(again[0], image)
    assert same_targets(again[1], target)
    assert RandomTranspose(0.0)(image, target)[0] is image


def test_colours_of_three_channels_are_torchvisions():
    image, target = drawn_sample(0, 20, 30, 2)
    image = v2.functional.to_dtype(image, torch.float32, scale=True)
    torch.manual_seed(4)
    found, after = ColorJitter(0.4)(image, target)
    torch.manual_seed(4)
    assert torch.equal(found, v2.ColorJitter(0.4, 0.4, 0.4)(image))
    assert type(found) is tv_tensors.Image
    assert not torch.equal(found, image)
    assert after is target


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_other_channels_change_alike_in_brightness_and_contrast(channels):
    plane = torch.rand(1, 20, 30) / 2 + 0.25
    image = tv_tensors.Image(plane.expand(channels, -1, -1))
    lines = set()
    for seed in range(10):
        torch.manual_seed(seed)
        found, _ = ColorJitter(0.2)(image, {})
        assert all(torch.equal(found[0], other) for other in found)
        inside = (found[0] > 0) & (found[0] < 1)
        slope, offset = (  # brightness and contrast are a line through the pixels
            torch.linalg.lstsq(
                torch.stack([plane[0][inside], torch.ones(int(inside.sum()))], 1),
                found[0][inside][:, None],
            ).solution.flatten()
        )
        assert torch.allclose(found[0][inside], slope * plane[0][inside] + offset, atol=1e-5)
        assert 0.8**2 - 0.01 < slope < 1.2**2 + 0.01
        lines.add(round(float(slope), 3))
    assert len(lines) > 5
