"""Why average precision is 0, where the predictions and the labels themselves show it.

    for sentence in why_zero(data, predictions):        # none: it is not known
        print(sentence)

A network that learned nothing and one whose classes are counted from 0 have the same AP. What
tells them apart is how boxes overlap whatever their class: as many of the surest detections of an
image as it has objects are matched with them. A cause is named only if most of these follow it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.records import ImageRecord, RecordSet, first_ten
from utils.evaluation.box_changes import ImageBoxes, box_change, box_ious
from utils.evaluation.error_kinds import MATCH_IOU, MOSTLY, greedy_pairs, mask_ious
from utils.evaluation.mask_faults import Fit, mask_fault
from utils.evaluation.matches import objects_of

FEWEST = 5  # cases to say something of
CLEARLY = 0.8  # the share of them that follows one rule
ALMOST_NONE = 0.1  # the share of objects found up to which all classes are looked at as one


# As a matrix: x1, y1, x2, y2 to x, y, width, height.
XYXY_TO_XYWH = torch.tensor(
    [[1.0, 0, -1, 0], [0, 1, 0, -1], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.double
)


class Scene(NamedTuple):
    """An image: G objects that are no crowds, and its surest detections, G of them or all."""

    boxes: ImageBoxes
    overlap: np.ndarray  # float64 (D,), each detection's highest box IoU with an object
    fits: list[Fit]
    truth: np.ndarray  # int64 (G,), the objects' labels
    nearest: np.ndarray  # float64 (G,), highest mask IoU with any detection of its class


def boxes_as_masks(
    data: RecordSet, predictions: Mapping[int, Prediction]
) -> tuple[RecordSet, dict[int, Prediction]]:
    """Both with the boxes for outlines, where there are no masks to look at."""
    images, found = [], {}
    for record in data.images:
        size = record.height, record.width
        boxes = np.array([instance.bbox for instance in record.instances], dtype=np.float64)
        filled = coco_mask.frPyObjects(boxes, *size) if len(boxes) else []
        instances = zip(record.instances, filled, strict=True)
        images.append(
            replace(record, instances=tuple(replace(i, segmentation=m) for i, m in instances))
        )
        if record.image_id in predictions:
            one = predictions[record.image_id]
            sides = (one["boxes"].double() @ XYXY_TO_XYWH).numpy()
            masks = coco_mask.frPyObjects(sides, *size) if len(sides) else []
            found[record.image_id] = Prediction(**{**one, "masks": masks})
    return replace(data, images=tuple(images)), found


def why_zero(
    data: RecordSet, predictions: Mapping[int, Prediction], has_masks: bool = True
) -> list[str]:
    """Say what makes AP of all classes, or of single ones, 0.

    To be asked only when it is 0 or nearly so (under 0.005). Crowds are left out.

    Args:
        predictions: by image id; an image that is not there is one in which nothing was found.
        has_masks: whether there are masks to be asked about.

    Returns:
        sentences with numbers; none where the cause is not known.
    """
    if not has_masks:
        data, predictions = boxes_as_masks(data, predictions)
    there = [record for record in data.images if record.image_id in predictions]
    objects = sum(not i.iscrowd for record in data.images for i in record.instances)
    if not objects:
        return []
    if len(there) < ALMOST_NONE * len(predictions):
        return [
            f"{len(there)} of the {len(predictions)} image ids of the predictions are among the "
            f"{len(data.images)} of the data; the lowest is {min(predictions)}, that of the data "
            f"{min(record.image_id for record in data.images)}"
        ]
    found = [predictions[record.image_id] for record in there]
    labels = Counter(label for prediction in found for label in prediction["labels"].tolist())
    if labels.total() <= ALMOST_NONE * objects:
        return [
            f"next to nothing was predicted: {labels.total()} detections in {len(data.images)} "
            f"images with {objects} objects reach the score floor of the network"
        ]
    resized = _resized(there, found)
    if resized:
        return resized
    scenes = [_scene(record, predictions[record.image_id]) for record in there]
    fits = [fit for scene in scenes for fit in scene.fits]
    right = sum(fit.truth == fit.label and fit.mask_iou >= MATCH_IOU for fit in fits)
    strange = _strange(labels, data.classes)
    if right > ALMOST_NONE * objects:
        return strange + _of_single_classes(scenes, labels, data.classes)
    return strange + _of_all_classes(scenes, data.classes)


def _scene(record: ImageRecord, prediction: Prediction) -> Scene:
    objects = objects_of(record)
    counts = ~objects.crowd
    outlines = objects.shapes["segm"]
    order = np.argsort(-prediction["scores"].numpy(), kind="stable")
    masks = [prediction["masks"][index] for index in order]
    boxes = prediction["boxes"].double().numpy()[order]
    labels = prediction["labels"].numpy()[order]
    ious = mask_ious(masks, outlines, objects.crowd)
    sure = np.flatnonzero(~(ious[:, objects.crowd] >= MOSTLY).any(axis=1))[: counts.sum()]
    corners = np.array([(x, y, x + w, y + h) for x, y, w, h in objects.shapes["bbox"]])
    corners = corners.reshape(-1, 4)[counts]
    overlaps = box_ious(boxes[sure], corners)
    fits = []
    for row, column in np.argwhere(greedy_pairs(overlaps)):
        d, g = sure[row], np.flatnonzero(counts)[column]
        pair = int(objects.label[g]), int(labels[d]), float(ious[d, g])
        fits.append(Fit(*pair, masks[d], outlines[g], boxes[d]))
    alike = labels[:, None] == objects.label
    return Scene(
        ImageBoxes(boxes[sure], corners, record.width, record.height),
        overlaps.max(axis=1, initial=0.0),
        fits,
        objects.label[counts],
        np.where(alike, ious, 0.0).max(axis=0, initial=0.0)[counts],
    )


def _of_all_classes(scenes: Sequence[Scene], classes: Sequence[str]) -> list[str]:
    """The first that is known of: all boxes, all classes, training, masks."""
    change = box_change([scene.boxes for scene in scenes])
    if change:
        return [change]
    fits = [fit for scene in scenes for fit in scene.fits]
    moved = _moved(fits)
    if sum(moved.get(fit.truth) == fit.label for fit in fits) > len(fits) / 2:
        return _relabelled(fits, classes, moved)
    overlap = np.concatenate([scene.overlap for scene in scenes])
    if len(overlap) < FEWEST:
        return []
    if np.median(overlap) < MATCH_IOU:
        return [
            f"the boxes are poor: the {len(overlap)} surest detections, as many as there are "
            f"objects, overlap one by IoU {np.median(overlap):.2f} in the median, and "
            f"{len(fits)} of them fit one (0.5 or more). No mistake common to all of them was "
            "found; too little training or too high a learning rate looks like this"
        ]
    same = [fit for fit in fits if fit.truth == fit.label]
    fault = mask_fault(same)
    if fault:
        return [fault]
    if len(same) <= (1 - CLEARLY) * len(fits):
        return [
            f"{len(fits)} of the {len(overlap)} surest boxes fit an object, {len(same)} of them "
            "with its class, and no exchange of classes explains it: the classes are not learned"
        ]
    return []


def _of_single_classes(
    scenes: Sequence[Scene], labels: Mapping[int, int], classes: Sequence[str]
) -> list[str]:
    """Why nothing was found of a class, for each such class, while others were found."""
    truth = np.concatenate([scene.truth for scene in scenes])
    nearest = np.concatenate([scene.nearest for scene in scenes])
    zero = [c for c in np.unique(truth).tolist() if nearest[truth == c].max() < MATCH_IOU]
    fits = [fit for scene in scenes for fit in scene.fits]
    sentences = _relabelled(fits, classes, zero)
    for label in sorted(set(zero) - set(_moved(fits))):
        name, objects = classes[label - 1], int((truth == label).sum())
        if not labels.get(label):
            sentences.append(f"no detection has the class {name}, of which there are {objects}")
            continue
        fault = mask_fault([fit for fit in fits if fit.truth == fit.label == label])
        if fault:
            sentences.append(f"{name}: {fault}")
        elif objects >= FEWEST:
            median = np.median(nearest[truth == label])
            sentences.append(
                f"{name}: the detection of this class nearest to each of the {objects} objects "
                f"overlaps it by mask IoU {median:.2f} in the median, 0.5 would count"
            )
    return first_ten(sentences)


def _resized(records: Iterable[ImageRecord], found: Iterable[Prediction]) -> list[str]:
    sizes = [
        (tuple(mask["size"]), (record.height, record.width))
        for record, prediction in zip(records, found, strict=True)
        for mask in prediction["masks"]
    ]
    wrong = [pair for pair in sizes if pair[0] != pair[1]]
    if not wrong or len(wrong) < CLEARLY * len(sizes):
        return []
    (height, width), (wanted_height, wanted_width) = wrong[0]
    return [
        f"{len(wrong)} of {len(sizes)} masks do not have the size of their image (the first is "
        f"{width} x {height} px in an image of {wanted_width} x {wanted_height})"
    ]


def _strange(labels: Mapping[int, int], classes: Sequence[str]) -> list[str]:
    strange = {label: n for label, n in labels.items() if not 1 <= label <= len(classes)}
    if not strange:
        return []
    return [
        f"{sum(strange.values())} of {sum(labels.values())} detections have labels that the data "
        f"does not have ({', '.join(map(str, sorted(strange)))}; it has 1 to {len(classes)})"
    ]


def _moved(fits: Iterable[Fit]) -> dict[int, int]:
    """The label that is clearly predicted for each label, if it is another one."""
    return {truth: label for truth, label in _renaming(fits).items() if truth != label}


def _renaming(fits: Iterable[Fit]) -> dict[int, int]:
    """The label that is clearly predicted for each label; those without are left out."""
    votes: dict[int, Counter[int]] = {}
    for fit in fits:
        votes.setdefault(fit.truth, Counter())[fit.label] += 1
    most = {truth: counts.most_common(1)[0] for truth, counts in votes.items()}
    return {
        truth: label
        for truth, (label, number) in sorted(most.items())
        if number >= max(FEWEST, CLEARLY * votes[truth].total())
    }


def _relabelled(fits: Sequence[Fit], classes: Sequence[str], wanted: Iterable[int]) -> list[str]:
    """What happened to the labels of the ``wanted`` classes."""
    renaming = _renaming(fits)
    moved = {truth: label for truth, label in _moved(fits).items() if truth in wanted}
    if not moved:
        return []
    steps = {label - truth for truth, label in renaming.items()}
    beyond = any(not 1 <= label <= len(classes) for label in moved.values())
    concerned = [fit for fit in fits if fit.truth in moved]
    follow = sum(moved[fit.truth] == fit.label for fit in concerned)
    numbers = f"{follow} of {len(concerned)} detections whose box fits an object"
    if len(steps) == 1 and (len(moved) > 1 or beyond):
        step = steps.pop()
        where = f"{abs(step)} too {'high' if step > 0 else 'low'}"
        return [f"labels are shifted: {where} for {numbers}"]
    names = {
        label: classes[label - 1] if 1 <= label <= len(classes) else f"label {label}"
        for label in (*moved, *moved.values())
    }
    taken = [f"{names[truth]} is called {names[label]}" for truth, label in moved.items()]
    kind = "classes are exchanged" if set(moved) == set(moved.values()) else "classes are mistaken"
    return [f"{kind}: {'; '.join(first_ten(taken))} ({numbers})"]
