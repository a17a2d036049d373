"""Objects of a video, followed from frame to frame by the overlap of their masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from nets.contract import Prediction

LEAST_IOU = 0.3  # of the masks of one object in two frames
PATIENCE = 10  # frames for which an object may be out of sight


@dataclass
class _Track:
    number: int
    label: int
    rle: dict[str, Any]  # where it was seen last
    frame: int  # when


class Tracker:
    """Numbers the objects of one video.

    An object keeps its number as long as its mask overlaps the one it had when it was last seen,
    in the same class; the pairs that overlap most are matched first. Numbers are never given
    twice.

    Attributes:
        counts: how many objects there were so far, by label.
    """

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.frame = 0
        self._tracks: list[_Track] = []

    def update(self, prediction: Prediction) -> tuple[int, ...]:
        """The numbers, from 1, of the objects in the next frame; frames have one size."""
        self.frame += 1
        labels, masks = prediction["labels"].tolist(), prediction["masks"]
        self._tracks = [t for t in self._tracks if self.frame - t.frame <= PATIENCE + 1]
        matched = _match(labels, masks, self._tracks)
        tracks = []
        for i, (label, rle) in enumerate(zip(labels, masks, strict=True)):
            track = matched.get(i)
            if track is None:
                self.counts[label] += 1
                track = _Track(self.counts.total(), label, rle, self.frame)
                self._tracks.append(track)
            track.rle, track.frame = rle, self.frame
            tracks.append(track)
        return tuple(track.number for track in tracks)


def _match(labels: list[int], masks: list[Any], tracks: list[_Track]) -> dict[int, _Track]:
    """Tracks by the index of the object; each at most once, greedily by IoU."""
    if not masks or not tracks:
        return {}
    ious = coco_mask.iou(masks, [track.rle for track in tracks], [0] * len(tracks))
    same = np.array(labels)[:, None] == [track.label for track in tracks]
    ious = np.where(same, ious, 0)
    matched: dict[int, _Track] = {}
    taken: set[int] = set()
    for pair in np.argsort(-ious, axis=None, kind="stable"):
        i, j = divmod(int(pair), len(tracks))
        if ious[i, j] < LEAST_IOU:
            break
        if i not in matched and j not in taken:
            matched[i] = tracks[j]
            taken.add(j)
    return matched
