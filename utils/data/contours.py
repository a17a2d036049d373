"""From pixels to outlines: masks traced along pixel edges, outlines with fewer points, seams.

Coordinates are COCO's: pixel ``i`` covers ``i`` to ``i + 1``, a polygon is a flat list
``[x1, y1, x2, y2, ...]``. pycocotools decides a pixel column at its middle and rounds rows to pixel
edges, so a polygon with whole-number corners is filled exactly, with no offset. It fills by parity:
a seam that is walked forth and back fills nothing, and a hole within a polygon stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

REACH = 2048  # corners; what a new part is sewn to is looked for among so many


class Region(NamedTuple):
    """A 4-connected set of pixels: its outline and those of its holes."""

    outer: list[float]
    holes: list[list[float]]


class _Edges(NamedTuple):
    """Straight stretches of outline in one direction, sorted by line, then place on it.

    Stretch ``i`` lies on the line ``line[i]`` from ``low[i]`` to ``high[i]``, in pixels;
    ``forward[i]`` says that it is walked from low to high.
    """

    line: np.ndarray
    low: np.ndarray
    high: np.ndarray
    forward: np.ndarray


def trace(mask: np.ndarray) -> list[Region]:
    """The regions of a mask, outlined along pixel edges.

    Args:
        mask: (H, W), anything nonzero is object. Pixels that touch by a corner only are of two
            regions.

    Returns:
        Corners are whole numbers, none lies on the line between its neighbours. Every outer polygon
        minus its own holes, filled by pycocotools, is its region again, pixel by pixel.
    """
    rows = np.flatnonzero((mask != 0).any(axis=1))
    columns = np.flatnonzero((mask != 0).any(axis=0))
    if not len(rows):
        return []
    x, y = int(columns[0]), int(rows[0])
    box = np.pad(mask[y : rows[-1] + 1, x : columns[-1] + 1] != 0, 1)  # a rim of background
    across, down = _edges(box), _edges(box.T)
    down = down._replace(forward=~down.forward)  # an object's left side is walked up
    rings = _rings(box, across, down)
    # Clockwise around objects and the other way around holes: a hole's leftmost side goes down.
    lines = down.line.tolist()
    leftmost = [min(ring, key=lines.__getitem__) for ring in rings]
    regions: dict[int, Region] = {}
    for number, (ring, first) in enumerate(zip(rings, leftmost, strict=True)):
        if not down.forward[first]:
            regions[number] = Region(_polygon(ring, down, x - 1, y - 1), [])
    to_the_left = _to_the_left(box, down, rings, leftmost)
    for number, ring in enumerate(rings):
        if number not in regions:
            outer = to_the_left[number]
            while outer not in regions:
                outer = to_the_left[outer]
            regions[outer].holes.append(_polygon(ring, down, x - 1, y - 1))
    return list(regions.values())


def simplify(polygon: Sequence[float], tolerance: float) -> list[float]:
    """Leave out corners, after Douglas and Peucker (1973), on the closed outline.

    Args:
        polygon: flat, in pixels.
        tolerance: how far a corner that is left out may lie from the new outline, in pixels.

    Returns:
        Some of the polygon's points in their order; all of them if fewer than three would be left.
    """
    points = np.reshape(np.asarray(polygon, np.float64), (-1, 2))
    if len(points) <= 3 or tolerance <= 0:
        return list(polygon)
    far = int(np.argmax(np.hypot(*(points - points[0]).T)))
    closed = np.concatenate([points, points[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far]] = True
    open_ends = [(0, far), (far, len(points))]
    while open_ends:
        start, end = open_ends.pop()
        if end - start < 2:
            continue
        distances = _distances(closed[start + 1 : end], closed[start], closed[end])
        worst = int(np.argmax(distances))
        if distances[worst] > tolerance:
            middle = start + 1 + worst
            keep[middle] = True
            open_ends += [(start, middle), (middle, end)]
    kept = points[keep[:-1]]
    return kept.ravel().tolist() if len(kept) >= 3 else list(polygon)


def with_seams(region: Region) -> list[float]:
    """One polygon that reaches the region's holes by seams of no width."""
    return _sewn([region.outer, *sorted(region.holes, key=lambda hole: min(hole[::2]))])


def joined(regions: Sequence[Region]) -> list[float]:
    """One polygon for several regions, and for their holes, connected by seams of no width.

    Regions that overlap cancel where they do, as parity has it; those of ``trace`` never overlap.
    """
    return _sewn([with_seams(region) for region in regions])


def _edges(box: np.ndarray) -> _Edges:
    """The horizontal stretches of a padded mask's outline, walked forward along objects' tops; of
    a transposed mask, the vertical ones."""
    step = box[1:].astype(np.int8) - box[:-1]  # +1 where an object begins below the line
    before = np.pad(step, ((0, 0), (1, 0)))
    after = np.pad(step, ((0, 0), (0, 1)))
    change = before != after
    line, low = np.nonzero(change & (after != 0))
    _, high = np.nonzero(change & (before != 0))
    return _Edges(line + 1, low, high, step[line, low] > 0)


def _rings(box: np.ndarray, across: _Edges, down: _Edges) -> list[list[int]]:
    """Every closed outline as the numbers of its vertical stretches, in walking order."""

    def corners(edges: _Edges, ends: bool, turn: np.ndarray) -> np.ndarray:
        """A number for the corner where each stretch ends, or starts."""
        place = np.where(edges.forward == ends, edges.high, edges.low)
        y, x = (place, edges.line) if edges is down else (edges.line, place)
        touching = (box[y - 1, x - 1] == box[y, x]) & (box[y - 1, x] != box[y, x])
        touching &= box[y, x - 1] != box[y, x]
        # Four stretches meet there; the outline turns right and so stays with its own object.
        return (y * (box.shape[1] + 1) + x) * 2 + (touching & turn)

    ends, starts = corners(across, True, across.forward), corners(down, False, down.forward)
    after_across = _matched(ends, starts)
    ends, starts = corners(down, True, down.forward), corners(across, False, ~across.forward)
    after_down = _matched(ends, starts)
    following = after_across[after_down].tolist()
    seen = [False] * len(following)
    rings = []
    for start in range(len(following)):
        ring, place = [], start
        while not seen[place]:
            seen[place] = True
            ring.append(place)
            place = following[place]
        if ring:
            rings.append(ring)
    return rings


def _matched(ends: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each of ``ends``, the place of its equal in ``starts``."""
    order = np.argsort(starts)
    return order[np.searchsorted(starts[order], ends)]


def _to_the_left(
    box: np.ndarray, down: _Edges, rings: list[list[int]], leftmost: list[int]
) -> list[int]:
    """For each ring that is a hole, the ring that bounds the same object next on the left.

    It reaches further left than the hole does, so that from hole to hole one comes to the outline.
    """
    ring_of = np.empty(len(down.line), np.int64)
    for number, ring in enumerate(rings):
        ring_of[ring] = number
    keys = down.line * len(box) + down.low  # ascending, as the stretches are sorted
    found = []
    for number, first in enumerate(leftmost):
        if not down.forward[first]:
            found.append(number)
            continue
        x, y = down.line[first], down.low[first]
        object_start = int(np.flatnonzero(~box[y, :x])[-1]) + 1
        edge = int(np.searchsorted(keys, object_start * len(box) + y, side="right")) - 1
        found.append(int(ring_of[edge]))
    return found


def _polygon(ring: list[int], down: _Edges, x: int, y: int) -> list[float]:
    """The corners of a ring, moved by x and y."""
    forward = down.forward[ring]
    points = np.empty((len(ring), 4))
    points[:, 0] = points[:, 2] = down.line[ring] + x
    points[:, 1] = np.where(forward, down.low[ring], down.high[ring]) + y
    points[:, 3] = np.where(forward, down.high[ring], down.low[ring]) + y
    return points.ravel().tolist()


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far points (N, 2) lie from a line segment."""
    along = end - start
    length = float(along @ along)
    share = ((points - start) @ along / length).clip(0, 1)[:, None] if length else 0.0
    return np.hypot(*(points - start - share * along).T)


def _sewn(polygons: Sequence[list[float]]) -> list[float]:
    """One outline from several: from a corner of the first to each next one, around it, and back.

    Each is sewn on where it starts, to the nearest of the ``REACH`` corners before it. Neighbours
    follow each other in what ``trace`` finds, so a seam is short without a look at all corners.
    """
    rings = [np.reshape(polygon, (-1, 2)) for polygon in polygons]
    corners = np.concatenate(rings)
    place = list(range(len(corners)))  # of each step of the walk, its corner
    following = [*range(1, len(corners)), 0]  # of each step, the next one
    first = len(rings[0])
    following[first - 1] = 0
    for ring in rings[1:]:
        start = max(0, first - REACH)
        apart = corners[start:first] - corners[first]
        near = start + int(np.argmin(np.einsum("ij,ij->i", apart, apart)))
        after = first + len(ring)
        # From the near corner into the ring, to its start again, to the near corner and on.
        place += [first, near]
        following += [len(place) - 1, following[near]]
        following[near], following[after - 1] = first, len(place) - 2
        first = after
    walk = [0]
    while following[walk[-1]]:
        walk.append(following[walk[-1]])
    return corners[[place[step] for step in walk]].ravel().tolist()
