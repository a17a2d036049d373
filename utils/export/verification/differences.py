"""Where an exported file's detections differ from the network's, in an image.

Both compute in float32, in another order, so they are equal to rounding. Detections of equal scores
come in any order, and what hangs on rounding may be there or not: where the score lies at the
threshold or at that of the last place, or where non-maximum suppression decides between boxes that
are alike (found out by changing the image a little and looking whether the network's own answer
stays).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torchvision.models.detection.roi_heads import expand_boxes, paste_masks_in_image
from torchvision.ops import box_iou

from nets.exportable import INSIDE
from utils.export.verification.reference import Detections

# About a hundred times what ONNX Runtime differs by; a network that sees one pixel row more differs
# by more than that.
BOXES = 2e-4  # of an image's longer side
SCORES = 1e-3
MASKS = 1e-3  # of the probability of a mask's pixels, in the mean; less than one pixel of 28x28
TIES = 0.1  # of the detections; rounding does not decide over more, and to find out takes long
ALIKE = 0.5  # IoU of boxes that are told of as one that moved
CORNER = 1e-3  # pixels; a mask's corners are cut to whole ones


class Difference(NamedTuple):
    """What comparing an image gave.

    Attributes:
        found: how many detections the network has.
        undecided: how many of either side hang on rounding.
        boxes: most that a box differs by, in pixels.
        scores: most that a score differs by.
        masks: most that the pixels of a mask differ by in the mean, in probability.
        faults: what differs by more than rounding.
    """

    found: int
    undecided: int
    boxes: float
    scores: float
    masks: float
    faults: tuple[str, ...]


def difference(
    network: Detections,
    file: Detections,
    size: tuple[int, int],
    threshold: float,
    places: int,
    varied: Callable[[], Iterable[Detections]],
) -> Difference:
    """Compare what was found in an image.

    Args:
        network, file: the detections of both.
        size: height and width of the image in pixels.
        threshold: least score of a detection.
        places: most detections of an image.
        varied: gives the network's detections in the same image with pixels changed by rounding.
    """
    most = BOXES * max(size)
    ones, others = same(network, file, most)
    lost = _without(network, ones, file, threshold, places)
    new = _without(file, others, network, threshold, places)
    if len(lost) + len(new) <= TIES * (len(network.scores) + len(file.scores)) + 2:
        runs = iter(varied())
        while (lost or new) and (run := next(runs, None)):
            stays, comes = same(network, run, most)[0], same(file, run, most)[0]
            lost = [one for one in lost if one in stays]
            new = [one for one in new if one not in comes]
    masks = np.abs(network.masks[ones] - file.masks[others]).mean((1, 2))
    faults = _told(network, lost, file, new)
    if (masks > MASKS).any():
        worst = _name(network, ones[int(masks.argmax())])
        faults.append(f"{worst}: its mask differs by {masks.max():.3g} in the mean")
    return Difference(
        found=len(network.scores),
        undecided=len(network.scores) + len(file.scores) - 2 * len(ones) - len(lost) - len(new),
        boxes=float(np.abs(network.boxes[ones] - file.boxes[others]).max(initial=0)),
        scores=float(np.abs(network.scores[ones] - file.scores[others]).max(initial=0)),
        masks=float(masks.max(initial=0)),
        faults=tuple(faults),
    )


def same(ones: Detections, others: Detections, most: float) -> tuple[list[int], list[int]]:
    """Which detections are the same: label, score and box, which may differ by ``most`` pixels.

    Each is paired once at most, with the nearest.
    """
    apart = np.abs(ones.boxes[:, None] - others.boxes).max(-1)
    far = np.abs(ones.scores[:, None] - others.scores) > SCORES
    apart[far | (ones.labels[:, None] != others.labels) | (apart > most)] = np.inf
    pairs: list[tuple[int, int]] = []
    for one, row in enumerate(apart):
        if len(row) and np.isfinite(row.min()):
            pairs.append((one, int(row.argmin())))
            apart[:, pairs[-1][1]] = np.inf
    return [one for one, _ in pairs], [other for _, other in pairs]


def paste_fault(file: Detections, pasted: np.ndarray) -> str:
    """What is wrong with masks of the image's size, uint8 (N, H, W): they must be those that
    torchvision makes of the file's own small ones; empty if they are."""
    boxes, small = torch.from_numpy(file.boxes), torch.from_numpy(file.masks)[:, None, None]
    scale = (small.shape[-1] + 2) / small.shape[-1]
    corners = expand_boxes(boxes, scale)
    is_clear = ((corners - corners.round()).abs() > CORNER).all(1).tolist()
    for number, mask in enumerate(pasted):
        if not is_clear[number]:
            continue  # which pixel the mask ends at hangs on rounding
        chance = paste_masks_in_image(small[number], boxes[number : number + 1], mask.shape)
        soft = chance[0, 0].numpy()
        wrong = (mask != (soft >= INSIDE)) & (np.abs(soft - INSIDE) > MASKS)
        if wrong.any():
            return f"{_name(file, number)}: {wrong.sum()} pixels of its pasted mask are wrong"
    return ""


def _without(
    ones: Detections, paired: Collection[int], others: Detections, threshold: float, places: int
) -> list[int]:
    """Those that are in no pair though their scores lie well above what the other side keeps."""
    is_full = len(others.scores) == places
    least = max(threshold, others.scores[-1]) if is_full else threshold
    return [
        one for one, score in enumerate(ones.scores)
        if one not in paired and score > least + SCORES
    ]  # fmt: skip


def _told(
    network: Detections, lost: Sequence[int], file: Detections, new: Sequence[int]
) -> list[str]:
    """What is told of detections of one side only; first those that are at nearly the same place
    in the other."""
    faults, rest = [], list(new)
    for one in lost:
        like = [other for other in rest if _are_alike(network, one, file, other)]
        if like:
            rest.remove(like[0])
            moved = np.abs(network.boxes[one] - file.boxes[like[0]]).max()
            score = np.abs(network.scores[one] - file.scores[like[0]])
            faults.append(
                f"{_name(network, one)}: box differs by {moved:.3g} px, score by {score:.3g}"
            )
        else:
            faults.append(f"{_name(network, one)}: is missing from the file's")
    return faults + [f"{_name(file, other)}: the network does not have it" for other in rest]


def _are_alike(ones: Detections, one: int, others: Detections, other: int) -> bool:
    boxes = (torch.from_numpy(ones.boxes[[one]]), torch.from_numpy(others.boxes[[other]]))
    return bool(ones.labels[one] == others.labels[other]) and bool(box_iou(*boxes) > ALIKE)


def _name(found: Detections, number: int) -> str:
    label, score = found.labels[number], found.scores[number]
    return f"detection {number + 1} (label {label}, score {score:.3f})"
