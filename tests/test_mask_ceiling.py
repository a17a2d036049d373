"""The ceiling, held against full-size masks that go through torchvision alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import masks_to_boxes, roi_align

from utils.data.records import ImageRecord, Instance, RecordSet, instance_masks
from utils.data.shapes import read_shapes
from utils.evaluation.mask_ceiling import mask_ceiling, perfect_prediction
from utils.evaluation.outlines import boundary_iou

INPUT_SIZE = (800, 1333)


def box(height, width, x1, y1, x2, y2) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def comb(height, width, teeth) -> np.ndarray:
    """A back along the top and so many upright teeth, each as wide as the gap beside it."""
    mask = np.zeros((height, width), bool)
    mask[10 : height // 5, 10 : width - 10] = True
    inside = np.arange(width - 20) * 2 * teeth // (width - 20) % 2 == 0
    mask[10 : height - 10, 10 : width - 10] |= inside
    return mask


def record_set(*images, classes=("cat",)) -> RecordSet:
    """``images``: lists of (label, mask) or (label, mask, iscrowd)."""
    records = tuple(
        ImageRecord(n, Path(f"root/{n}.png"), *(objects[0][1].shape[::-1] if objects else (90, 70)),
                    tuple(Instance.from_mask(*item) for item in objects))
        for n, objects in enumerate(images, start=1)
    )  # fmt: skip
    return RecordSet(Path("root"), "drawn", tuple(classes), records)


def ceiling_of(mask, input_size=INPUT_SIZE) -> float:
    return mask_ceiling(record_set([(1, mask)]), input_size).metrics["ceiling/IoU"]


@pytest.mark.parametrize("images", [(), ([],), ([], [(1, box(50, 60, 10, 10, 40, 40), 1)])])
def test_without_objects_there_is_no_ceiling(images):
    ceiling = mask_ceiling(record_set(*images), INPUT_SIZE)
    assert (ceiling.objects, ceiling.metrics, ceiling.total) == ((), {}, 0)
    assert ceiling.lowest(5) == []


def full_size_path(record, input_size):
    """As a network of torchvision's would be taught and answer, (N, H, W) bool."""
    masks = torch.from_numpy(instance_masks(record))
    boxes = masks_to_boxes(masks) + torch.tensor([0.0, 0, 1, 1])
    height, width = masks.shape[1:]
    scale = min(input_size[0] / min(height, width), input_size[1] / max(height, width))
    resized = F.interpolate(masks[:, None].float(), scale_factor=scale, recompute_scale_factor=True)
    ratios = torch.tensor([resized.shape[3] / width, resized.shape[2] / height]).repeat(2)
    numbers = torch.arange(len(masks))[:, None].float()
    soft = roi_align(resized, torch.cat([numbers, boxes * ratios], 1), (28, 28), 1.0)
    return paste_masks_in_image(soft, boxes, (height, width))[:, 0].numpy() >= 0.5


@pytest.mark.parametrize("input_size", [(128, 128), (97, 300), (300, 500)])
@pytest.mark.parametrize("number", range(4))
def test_it_is_what_torchvision_makes_of_full_size_masks(number, input_size):
    record = read_shapes(range(number, number + 1)).images[0]
    found = perfect_prediction(record, input_size)["masks"]
    wanted = full_size_path(record, input_size)
    assert len(found) == len(wanted) > 0
    for rle, mask in zip(found, wanted, strict=True):
        # Cut to its box, a mask is sampled to float rounding: a pixel may lie at the threshold.
        assert (coco_mask.decode(rle).astype(bool) != mask).sum() <= 1


def test_objects_are_compared_with_their_masks():
    data = read_shapes(range(12))
    ceiling = mask_ceiling(data, (128, 128))
    wanted = []
    for record in data.images:
        answers = perfect_prediction(record, (128, 128))["masks"]
        for number, (instance, answer) in enumerate(zip(record.instances, answers, strict=True)):
            truth, mask = (
                coco_mask.decode(x).astype(bool) for x in (instance.segmentation, answer)
            )
            wanted.append((
                data.name_of(record), number, instance.label, instance.area,
                pytest.approx((truth & mask).sum() / (truth | mask).sum()),
                pytest.approx(boundary_iou(instance.segmentation, answer)),
            ))  # fmt: skip
    assert [tuple(one) for one in ceiling.objects] == wanted
    assert ceiling.total == len(wanted)
    ious = [one.iou for one in ceiling.objects]
    assert ceiling.metrics["ceiling/IoU"] == pytest.approx(np.mean(ious))
    assert [one.iou for one in ceiling.lowest(3)] == sorted(ious)[:3]
    by_label = {k: [o.iou for o in ceiling.objects if o.label == k] for k in (1, 2, 3)}
    for name, ious in zip(data.classes, by_label.values(), strict=True):
        assert ceiling.metrics[f"ceiling/IoU/{name}"] == pytest.approx(np.mean(ious))
    edges = [one.boundary_iou for one in ceiling.objects]
    assert ceiling.metrics["ceiling/BoundaryIoU"] == pytest.approx(np.mean(edges))


def test_a_large_box_is_found_whole():
    mask = box(600, 800, 100, 100, 660, 520)
    ceiling = mask_ceiling(record_set([(1, mask)]), INPUT_SIZE)
    assert ceiling.metrics["ceiling/IoU"] > 0.995
    assert ceiling.metrics["ceiling/AP"] == pytest.approx(1)


def test_a_comb_with_more_teeth_than_numbers_is_not():
    coarse, fine = comb(600, 800, 3), comb(600, 800, 40)
    assert ceiling_of(coarse) > 0.9
    assert ceiling_of(fine) < 0.7
    both = mask_ceiling(record_set([(1, coarse)], [(1, fine)]), INPUT_SIZE)
    # One of two is right up to IoU 0.7: precision 1 to recall 0.5 is 51 of 101 steps.
    assert both.metrics["ceiling/AP75"] == pytest.approx(51 / 101)
    assert both.lowest(1)[0].image == "2.png"


def test_a_smaller_input_loses_thin_objects():
    rows, columns = np.ogrid[:400, :400]
    ring = (abs(np.hypot(rows - 200, columns - 200) - 20) <= 2) & (columns < 210)
    ious = [ceiling_of(ring, (side, side)) for side in (800, 400, 200, 100, 50)]
    assert ious == sorted(ious, reverse=True)
    assert ious[0] > 0.7
    assert ious[-1] < 0.6


def test_a_pixel_is_found_but_may_fall_between_those_of_the_input():
    pixel = box(100, 100, 51, 51, 52, 52)
    assert ceiling_of(pixel, (800, 800)) > 0
    assert ceiling_of(pixel, (50, 50)) == 0.0


def test_sizes_classes_and_crowds():
    small, medium = box(300, 300, 5, 5, 25, 25), box(300, 300, 100, 100, 150, 150)
    large, nothing = box(300, 300, 160, 160, 290, 290), box(300, 300, 0, 0, 0, 0)
    data = record_set(
        [(1, small), (2, medium), (2, nothing)], [(2, large), (1, medium, 1)], [],
        classes=("cat", "dog", "cow"),
    )  # fmt: skip
    ceiling = mask_ceiling(data, (300, 300))
    assert [(o.image, o.instance, o.label) for o in ceiling.objects] == [
        ("1.png", 0, 1), ("1.png", 1, 2), ("2.png", 0, 2),
    ]  # fmt: skip
    ious = [one.iou for one in ceiling.objects]
    named = {"s": ious[0], "m": ious[1], "l": ious[2], "/cat": ious[0], "/dog": np.mean(ious[1:])}
    for name, value in named.items():
        assert ceiling.metrics[f"ceiling/IoU{name}"] == pytest.approx(value)
    assert not any(name.endswith("cow") for name in ceiling.metrics)
    # Two of three dogs can be found, the third has no pixel: precision 1 to recall 2 / 3.
    assert ceiling.metrics["ceiling/AP50/dog"] == pytest.approx(67 / 101)
    assert ceiling.total == 4
    assert all(name.startswith("ceiling/") and "bbox" not in name for name in ceiling.metrics)


@pytest.mark.parametrize(
    ("most", "images"), [(100, 7), (14, 7), (13, 4), (7, 4), (5, 3), (2, 1), (1, 1)]
)
def test_a_large_set_is_sampled_evenly(most, images):
    two = [(1, box(60, 60, 2, 2, 20, 20)), (1, box(60, 60, 30, 30, 50, 50))]
    ceiling = mask_ceiling(record_set(*[two] * 7), (60, 60), most_objects=most)
    assert len(ceiling.objects) == 2 * images
    assert ceiling.total == 14
    assert ceiling.metrics["ceiling/AR100"] > 0.6
    names = list(dict.fromkeys(one.image for one in ceiling.objects))
    assert names == [f"{n}.png" for n in range(1, 8)][:: -(-14 // most)]


def test_only_so_many_detections_count():
    boxes = [(1, box(60, 200, 20 * n, 5, 20 * n + 15, 45)) for n in range(8)]
    ceiling = mask_ceiling(record_set(boxes), (60, 200), max_dets=2)
    assert ceiling.metrics["ceiling/AP50"] == pytest.approx(26 / 101)  # recall 0.25
    assert len(ceiling.objects) == 8
