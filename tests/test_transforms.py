"""Transforms: boxes and masks follow the pixels, and floats come out as plain tensors."""

import pytest
import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes

from nets.contract import CompactMasks
from utils.data.transforms import eval_transforms, train_transforms


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
