"""Tracks: numbers that follow objects from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utils.data.records import encode_mask
from utils.prediction import tracks
from utils.prediction.tracks import LEAST_IOU, PATIENCE, Tracker

WIDTH = 60


def frame(*objects):
    """A prediction of 10x10 squares, each (left column, label)."""
    masks = []
    for x, _ in objects:
        mask = np.zeros((12, WIDTH), np.uint8)
        mask[1:11, x : x + 10] = 1
        masks.append(encode_mask(mask))
    boxes = [[x, 1, x + 10, 11] for x, _ in objects]
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([label for _, label in objects], dtype=torch.int64),
        "scores": torch.full((len(objects),), 0.9),
        "masks": masks,
    }


def follow(frames):
    tracker = Tracker()
    return [tracker.update(frame(*objects)) for objects in frames]


CASES = {
    "no frames": ([], []),
    "empty frames": ([[], []], [(), ()]),
    "one that moves": ([[(0, 1)], [(3, 1)], [(6, 1)]], [(1,), (1,), (1,)]),
    "one that jumps": ([[(0, 1)], [(20, 1)]], [(1,), (2,)]),
    "the order of the detections changes": (
        [[(0, 1), (30, 1)], [(31, 1), (1, 1)]],
        [(1, 2), (2, 1)],
    ),
    "gone for two frames": ([[(0, 1)], [], [], [(1, 1)]], [(1,), (), (), (1,)]),
    "another class in its place": ([[(0, 1)], [(0, 2)]], [(1,), (2,)]),
    "its class for a frame mistaken": ([[(0, 1)], [(0, 2)], [(0, 1)]], [(1,), (2,), (1,)]),
    "a number is not given twice": ([[(0, 1)], [(30, 1)], [(50, 1)]], [(1,), (2,), (3,)]),
    # A second detection of an object is another one, not the same twice.
    "two detections of one object": ([[(0, 1)], [(0, 1), (1, 1)]], [(1,), (1, 2)]),
    # IoU 9/11 with the nearer of them, 8/12 with the other, which comes first.
    "the pair that overlaps most comes first": (
        [[(10, 1)], [(12, 1), (11, 1)]],
        [(1,), (2, 1)],
    ),
    # Squares of two classes pass through each other.
    "two cross": (
        [[(x, 1), (40 - x, 2)] for x in range(0, 41, 4)],
        [(1, 2)] * 11,
    ),
    # Of one class, they pass each other at some distance: each step overlaps its own square more.
    "two of a class meet and part": (
        [[(0, 1), (26, 1)], [(4, 1), (22, 1)], [(8, 1), (18, 1)], [(4, 1), (22, 1)]],
        [(1, 2)] * 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "expected"), CASES.values(), ids=CASES)
def test_numbers(frames, expected):
    assert follow(frames) == expected


@pytest.mark.parametrize(("gone", "number"), [(0, 1), (PATIENCE, 1), (PATIENCE + 1, 2)])
def test_an_object_is_waited_for(gone, number):
    assert follow([[(0, 1)], *[[]] * gone, [(0, 1)]])[-1] == (number,)


@pytest.mark.parametrize("step", range(11))
def test_the_least_overlap(step):
    iou = (10 - step) / (10 + step)
    assert follow([[(0, 1)], [(step, 1)]])[1] == ((1,) if iou >= 0.3 else (2,))


def test_distinct_objects_are_counted_by_label():
    tracker = Tracker()
    for objects in ([(0, 2), (30, 1)], [(0, 2)], [(0, 2), (45, 2)]):
        tracker.update(frame(*objects))
    assert tracker.counts == {1: 1, 2: 2}


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(tracks, "PATIENCE", 3)
    tracker = Tracker()
    for i in range(50):
        tracker.update(frame((i * 20 % 50, 1)))
    assert len(tracker._tracks) <= 5


def test_frames_of_another_size_match_nothing():
    tracker = Tracker()
    tracker.update(frame((0, 1)))
    other = frame((0, 1))
    other["masks"] = [encode_mask(np.ones((5, 5), np.uint8))]
    assert tracker.update(other) == (2,)


def test_greedy_matching_in_its_plainest_form():
    """Again and again the pair that overlaps most of those that are left."""
    rng = np.random.default_rng(0)
    tracker, known, count = Tracker(), [], 0
    for now in range(60):
        objects = [(int(rng.integers(0, 50)), int(rng.integers(1, 3))) for _ in range(4)]
        known = [track for track in known if now - track["seen"] <= PATIENCE + 1]
        expected = [0] * len(objects)
        free = list(known)
        while pairs := [
            ((10 - abs(x - track["x"])) / (10 + abs(x - track["x"])), -i, -j)
            for i, (x, label) in enumerate(objects)
            for j, track in enumerate(free)
            if not expected[i] and label == track["label"]
        ]:
            iou, i, j = max(pairs)
            if iou < LEAST_IOU:
                break
            expected[-i] = free.pop(-j)["number"]
        for i, (x, label) in enumerate(objects):
            if not expected[i]:
                count += 1
                expected[i] = count
                known.append({"number": count})
            track = next(track for track in known if track["number"] == expected[i])
            track.update(x=x, label=label, seen=now)
        assert tracker.update(frame(*objects)) == tuple(expected)
