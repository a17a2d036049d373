"""Objects drawn by the tests, cut at the borders of tiles, come back in one part, each once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.records import DataError
from utils.prediction.found_picture import Picture, Unusable
from utils.prediction.pixels import PixelArray
from utils.prediction.stitching import Tile
from utils.prediction.tiling import Tiling, predict_tiled, tile_boxes, tiled_stream


class GroundTruth:
    """A predictor that reads the objects off the pixels: channel k holds object k + 1's mask times
    its label, so that objects may overlap; each is given as what the tile shows of it.

    Args:
        labels: of the objects.
        scores: of the objects.
        jitter: pixels by which masks are moved, by a die.
        in_parts: each connected part of what a tile shows is an object of its own.
    """

    classes = ("one", "two", "three")

    def __init__(self, labels, scores=None, jitter=0, in_parts=False, batch_size=1):
        self.labels = labels
        self.scores = scores or [0.9] * len(labels)
        self.jitter = jitter
        self.in_parts = in_parts
        self.batch_size = batch_size
        self.batches = []
        self.rng = np.random.default_rng(0)

    def predict(self, arrays):
        self.batches.append(len(arrays))
        return [self.look(array) for array in arrays]

    def look(self, array):
        found = []
        for k in range(array.shape[2]):
            mask = array[:, :, k] > 0
            for part in parts_of(mask) if self.in_parts else [mask]:
                shifted = moved(part, *self.rng.integers(-self.jitter, self.jitter + 1, 2))
                if shifted.any():
                    found.append((self.scores[k], self.labels[k], shifted))
        found.sort(key=lambda item: -item[0])
        return prediction_of(found)


def prediction_of(found):
    """A prediction of (score, label, mask)."""
    boxes = []
    for _, _, mask in found:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    masks = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for _, _, mask in found]
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for _, label, _ in found], dtype=torch.int64),
        scores=torch.tensor([score for score, _, _ in found], dtype=torch.float32),
        masks=[{"size": rle["size"], "counts": rle["counts"].decode()} for rle in masks],
    )


def parts_of(mask):
    """The connected parts of a mask, one growing at a time."""
    rest = mask.copy()
    while rest.any():
        part = np.zeros_like(mask)
        part.flat[rest.argmax()] = True
        while True:
            grown = part.copy()
            grown[1:] |= part[:-1]
            grown[:-1] |= part[1:]
            grown[:, 1:] |= part[:, :-1]
            grown[:, :-1] |= part[:, 1:]
            grown &= mask
            if (grown == part).all():
                break
            part = grown
        yield part
        rest &= ~part


def moved(mask, dx, dy):
    """The same mask elsewhere; at a border it goes on as it was."""
    rows = np.clip(np.arange(mask.shape[0]) - dy, 0, mask.shape[0] - 1)
    columns = np.clip(np.arange(mask.shape[1]) - dx, 0, mask.shape[1] - 1)
    return mask[rows][:, columns]


def picture(masks):
    return PixelArray(np.dstack([mask.astype(np.float32) for mask in masks]))


def dense(prediction):
    return [coco_mask.decode(rle).astype(bool) for rle in prediction["masks"]]


def check_equal(prediction, masks, labels):
    """The objects are those that were drawn, in any order, and each once."""
    found = dense(prediction)
    assert len(found) == len(masks)
    left = list(range(len(masks)))
    for mask, label, box in zip(found, prediction["labels"], prediction["boxes"], strict=True):
        equal = [i for i in left if labels[i] == label and (masks[i] == mask).all()]
        assert equal
        left.remove(equal[0])
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert not left


HEIGHT, WIDTH = 210, 260
ROWS, COLUMNS = np.ogrid[:HEIGHT, :WIDTH]


def ellipse(x, y, a, b):
    return ((COLUMNS - x) / a) ** 2 + ((ROWS - y) / b) ** 2 <= 1


def snake():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for k, y in enumerate(range(10, HEIGHT - 10, 40)):
        mask[y : y + 12, 8 : WIDTH - 8] = True
        mask[y : y + 40, (slice(8, 20), slice(WIDTH - 20, WIDTH - 8))[k % 2]] = True
    return mask


def scattered(seed, count=25):
    """Small ellipses that do not overlap, though they may touch."""
    rng = np.random.default_rng(seed)
    taken = np.zeros((HEIGHT, WIDTH), bool)
    masks = []
    for _ in range(count):
        x, y = rng.integers(0, WIDTH), rng.integers(0, HEIGHT)
        mask = ellipse(x, y, *rng.integers(3, 14, 2)) & ~taken
        mask = max(parts_of(mask), key=np.sum, default=mask)
        if mask.sum() > 30:
            masks.append(mask)
            taken |= mask
    return masks


LEFT = (COLUMNS >= 40) & (COLUMNS < 90) & (ROWS >= 50) & (ROWS < 110)
RIGHT = (COLUMNS >= 90) & (COLUMNS < 130) & (ROWS >= 40) & (ROWS < 120)
RING = ellipse(130, 100, 90, 80) & ~ellipse(130, 100, 70, 60)
EVERYTHING = np.ones((HEIGHT, WIDTH), bool)
SCENES = {
    "a stripe": [(ROWS > 95) & (ROWS < 110) & (COLUMNS >= 0)],
    "stripes": [(COLUMNS >= 0) & (k == ROWS // 9) for k in range(1, 22, 2)],
    "a slanted stripe": [abs(COLUMNS - 1.1 * ROWS - 10) < 9],
    "a ring": [RING], "a ring and what is in it": [RING, ellipse(130, 100, 20, 30)],
    "a snake": [snake()], "everything": [EVERYTHING], "a large ellipse": [ellipse(130, 90, 99, 70)],
    "a touching pair": [LEFT, RIGHT], "single pixels": [(ROWS == 99) & (COLUMNS == 103)],
    "ellipses": scattered(0), "more ellipses": scattered(1), "ellipses again": scattered(2),
}  # fmt: skip
TILINGS = [Tiling(64, 0.2), Tiling(64, 0.4), Tiling(100, 0.25), Tiling(97, 0.1), Tiling(209, 0.3),
           Tiling(210, 0.1), Tiling(1024, 0.2)]  # fmt: skip


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
@pytest.mark.parametrize("name", SCENES)
def test_objects_come_back_as_they_were(name, tiling):
    masks = SCENES[name]
    labels = [1 + k % 2 for k in range(len(masks))]
    prediction = predict_tiled(GroundTruth(labels), picture(masks), tiling)
    check_equal(prediction, masks, labels)


@pytest.mark.parametrize("tiling", TILINGS[:4], ids=str)
@pytest.mark.parametrize("name", ["a snake", "a ring", "a ring and what is in it", "ellipses"])
def test_parts_that_one_tile_sees_of_an_object_are_joined(name, tiling):
    masks = SCENES[name]
    labels = [1] * len(masks)
    prediction = predict_tiled(GroundTruth(labels, in_parts=True), picture(masks), tiling)
    check_equal(prediction, masks, labels)


@pytest.mark.parametrize("tiling", TILINGS, ids=str)
@pytest.mark.parametrize("name", ["a large ellipse", "a touching pair", "a ring", "a stripe"])
def test_masks_that_differ_a_little_are_one_object(name, tiling):
    masks = SCENES[name]
    labels = [1] * len(masks)
    prediction = predict_tiled(GroundTruth(labels, jitter=1), picture(masks), tiling)
    found = dense(prediction)
    assert len(found) == len(masks)
    for mask in masks:
        ious = [(mask & other).sum() / (mask | other).sum() for other in found]
        assert sorted(iou > 0.7 for iou in ious).count(True) == 1


@pytest.mark.parametrize("seed", range(20))
def test_random_tilings(seed):
    rng = np.random.default_rng(seed)
    masks = scattered(100 + seed, 15)
    labels = rng.integers(1, 4, len(masks)).tolist()
    tiling = Tiling(int(rng.integers(60, 200)), float(rng.uniform(0.05, 0.49)))
    prediction = predict_tiled(GroundTruth(labels), picture(masks), tiling)
    check_equal(prediction, masks, labels)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (64, 64), (65, 65)])
def test_small_pictures(size):
    masks = [np.ones(size, bool)]
    prediction = predict_tiled(GroundTruth([1]), picture(masks), Tiling(64, 0.2))
    check_equal(prediction, masks, [1])


@pytest.mark.parametrize("size", [(1, 1), (HEIGHT, WIDTH)])
def test_no_objects(size):
    prediction = predict_tiled(GroundTruth([1]), picture([np.zeros(size, bool)]), Tiling(64, 0.2))
    assert prediction["boxes"].shape == (0, 4)
    assert prediction["boxes"].dtype == torch.float32
    assert prediction["labels"].shape == prediction["scores"].shape == (0,)
    assert prediction["labels"].dtype == torch.int64
    assert prediction["masks"] == []


def test_types_and_order():
    masks = SCENES["ellipses"]
    scores = np.random.default_rng(0).uniform(0.1, 1, len(masks)).tolist()
    looking = GroundTruth([1] * len(masks), scores)
    prediction = predict_tiled(looking, picture(masks), Tiling(64, 0.2))
    assert prediction["boxes"].dtype == prediction["scores"].dtype == torch.float32
    assert prediction["scores"].tolist() == pytest.approx(sorted(scores, reverse=True))
    for rle in prediction["masks"]:
        assert rle["size"] == [HEIGHT, WIDTH]
        assert isinstance(rle["counts"], str)


class Script:
    """A predictor that says of each tile what it is told, in the picture's frame.

    Args:
        found: by the tile's corner: (score, label, mask of the picture).
    """

    classes = ("one", "two", "three")
    batch_size = 1

    def __init__(self, found, tiles):
        self.found = found
        self.tiles = iter(tiles)

    def predict(self, arrays):
        tile = next(self.tiles)
        rows, columns = slice(tile.y, tile.y + tile.height), slice(tile.x, tile.x + tile.width)
        seen = [(s, k, m[rows, columns]) for s, k, m in self.found.get((tile.x, tile.y), [])]
        return [prediction_of([item for item in seen if item[2].any()])]


def box(x1, y1, x2, y2):
    mask = np.zeros((100, 180), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def said(left, right):
    """What becomes of what the tiles at x = 0..100 and 80..180 say: (score, label, area)."""
    tiling = Tiling(100, 0.2)
    tiles = tile_boxes(180, 100, tiling)
    assert [(tile.x, tile.y) for tile in tiles] == [(0, 0), (80, 0)]
    script = Script({(0, 0): left, (80, 0): right}, tiles)
    prediction = predict_tiled(script, PixelArray(np.zeros((100, 180, 3), np.uint8)), tiling)
    areas = [int(coco_mask.area(rle)) for rle in prediction["masks"]]
    return list(
        zip(np.round(prediction["scores"].tolist(), 3), prediction["labels"].tolist(), areas,
            strict=True)
    )  # fmt: skip


def test_the_whole_one_wins_against_the_cut_one_though_it_is_surer():
    assert said([(0.9, 1, box(83, 10, 100, 40))], [(0.6, 1, box(84, 10, 130, 40))]) == [
        (0.6, 1, 46 * 30)
    ]


def test_the_picture_s_own_border_cuts_nothing():
    assert said([(0.6, 1, box(0, 10, 94, 40))], [(0.9, 1, box(80, 10, 97, 40))]) == [
        (0.6, 1, 94 * 30)
    ]


def test_a_cut_one_that_is_larger_than_the_whole_one_keeps_its_pixels():
    assert said([(0.6, 1, box(10, 10, 100, 40))], [(0.9, 1, box(84, 10, 100, 40))]) == [
        (0.9, 1, 90 * 30)
    ]


def test_of_two_whole_ones_the_surer_one_stays():
    assert said([(0.6, 1, box(84, 10, 96, 40))], [(0.7, 1, box(85, 11, 96, 40))]) == [
        (0.7, 1, 11 * 29)
    ]


def test_joined_pieces_have_the_highest_score():
    assert said([(0.6, 1, box(10, 10, 100, 40))], [(0.7, 1, box(80, 10, 170, 40))]) == [
        (0.7, 1, 160 * 30)
    ]


def test_pieces_of_two_classes_are_not_joined():
    left, right = (0.6, 1, box(10, 10, 100, 40)), (0.7, 2, box(80, 10, 170, 40))
    assert len(said([left], [right])) == 2


def test_a_cut_piece_taken_for_another_class_is_not_kept_beside_the_whole():
    assert said([(0.9, 2, box(86, 10, 100, 40))], [(0.6, 1, box(86, 10, 130, 40))]) == [
        (0.6, 1, 44 * 30)
    ]


def test_whole_objects_of_two_classes_are_kept():
    assert len(said([(0.9, 2, box(84, 10, 96, 40))], [(0.6, 1, box(84, 10, 96, 40))])) == 2


def test_touching_objects_in_the_overlap_stay_two():
    one, two = (0.9, 1, box(30, 10, 90, 40)), (0.8, 1, box(90, 10, 150, 40))
    assert said([one, two], [one, two]) == [(0.9, 1, 60 * 30), (0.8, 1, 60 * 30)]


def test_an_object_that_pokes_into_its_cut_neighbour_is_not_its_neighbour():
    one, two = (0.9, 1, box(30, 10, 82, 40)), (0.8, 1, box(80, 10, 98, 40))
    assert len(said([one], [two])) == 2


def test_a_small_whole_object_within_a_cut_one_is_another():
    large, small = (0.9, 1, box(10, 10, 100, 90)), (0.8, 1, box(86, 40, 94, 50))
    assert said([large], [small]) == [(0.9, 1, 90 * 80), (0.8, 1, 80)]


def test_objects_of_no_pixel_are_left_out():
    predictor = GroundTruth([1])
    nothing = coco_mask.encode(np.zeros((64, 64), np.uint8, "F"))
    predictor.look = lambda array: Prediction(
        boxes=torch.tensor([[1.0, 1.0, 2.0, 2.0]]), labels=torch.tensor([1]),
        scores=torch.tensor([0.9]),
        masks=[{"size": [64, 64], "counts": nothing["counts"].decode()}],
    )  # fmt: skip
    pixels = PixelArray(np.zeros((64, 64, 1), np.float32))
    assert predict_tiled(predictor, pixels, Tiling(64, 0.2))["masks"] == []


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 100, 128, 1000])
@pytest.mark.parametrize("tiling", [*TILINGS, Tiling(1, 0.0), Tiling(3, 0.49), Tiling(64, 0)])
def test_tiles_cover_the_picture_and_overlap(length, tiling):
    tiles = tile_boxes(length, 50, tiling)
    seen = np.zeros((50, length), int)
    for tile in tiles:
        assert tile.x >= 0 <= tile.y
        assert (tile.width, tile.height) == (min(tiling.side, length), min(tiling.side, 50))
        seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    assert seen.shape == (50, length)
    assert seen.min() == 1 or tiling.overlap
    assert seen.min() >= 1
    assert len(set(tiles)) == len(tiles)
    columns = sorted({tile.x for tile in tiles})
    if tiling.side > 1:
        for one, next_one in itertools.pairwise(columns):
            assert one + tiling.side - next_one >= tiling.overlap * tiling.side


def test_tiles_of_a_known_picture():
    assert tile_boxes(180, 90, Tiling(100, 0.2)) == [Tile(0, 0, 100, 90), Tile(80, 0, 100, 90)]
    assert tile_boxes(181, 90, Tiling(100, 0.2))[1:] == [
        Tile(80, 0, 100, 90), Tile(81, 0, 100, 90)
    ]  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_tiles_go_through_the_network_in_batches(batch_size):
    masks = SCENES["ellipses"]
    predictor = GroundTruth([1] * len(masks), batch_size=batch_size)
    tiling = Tiling(100, 0.2)
    check_equal(predict_tiled(predictor, picture(masks), tiling), masks, [1] * len(masks))
    assert sum(predictor.batches) == len(tile_boxes(WIDTH, HEIGHT, tiling))
    assert set(predictor.batches[:-1]) <= {batch_size}


def test_stream_goes_on_after_what_cannot_be_used():
    class Damaged(PixelArray):
        def window(self, x, y, width, height):
            if x > 0:
                raise DataError("damaged.tif: cannot be decoded")
            return super().window(x, y, width, height)

    masks = SCENES["a ring"]
    pictures = [
        Unusable("gone.png", "no such file"), Picture("ring.png", "ring", picture(masks)),
        Picture("damaged.tif", "damaged", Damaged(picture(masks).array)),
        Picture("again.png", "again", picture(masks)),
    ]  # fmt: skip
    results = list(tiled_stream(GroundTruth([1]), pictures, Tiling(100, 0.2)))
    assert results[0] == pictures[0]
    assert results[2] == Unusable("damaged.tif", "damaged.tif: cannot be decoded")
    for found, given in ((results[1], pictures[1]), (results[3], pictures[3])):
        assert found.picture is given
        assert found.classes == GroundTruth.classes
        check_equal(found.prediction, masks, [1])
