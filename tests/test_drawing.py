"""Every picture the program draws, pixel by pixel."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from nets.contract import Prediction, Target
from nets.mask_paste import encode_crop
from utils import drawing
from utils.data.channels import rgb_view
from utils.data.records import ImageRecord, Instance, encode_mask
from utils.drawing import (
    MASK_OPACITY,
    DrawnObject,
    draw_objects,
    instance_colour,
    panel,
    panel_size,
    predicted_objects,
    recorded_objects,
    target_objects,
)


def noise(height, width) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def box_mask(height, width, x1, y1, x2, y2) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def drawn(mask, box, text="cat 0.90") -> DrawnObject:
    return DrawnObject(encode_mask(mask), box, text)


@pytest.fixture
def text_areas(monkeypatch):
    """The pixels that every text covers, as they are drawn."""
    areas = []
    original = ImageDraw.ImageDraw.text

    def spy(self, xy, text, *args, **kwargs):
        areas.append(self.textbbox(xy, text, args[1]))
        return original(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    return areas


def test_no_objects_leave_the_image_as_it_is():
    image = noise(30, 40)
    before = image.copy()
    assert np.array_equal(np.asarray(draw_objects(image, [])), before)


def test_an_objects_pixels_are_tinted_and_others_untouched():
    image = noise(200, 220)
    before = image.copy()
    rows, columns = np.ogrid[:200, :220]
    disc = (columns - 110) ** 2 + (rows - 120) ** 2 <= 40**2
    inner = (columns - 110) ** 2 + (rows - 120) ** 2 <= 36**2
    result = np.asarray(draw_objects(image, [drawn(disc, (60, 70, 160, 170))])).astype(int)

    assert np.array_equal(image, before)  # the caller's pixels stay
    colour = np.array(instance_colour(0))
    wanted = (1 - MASK_OPACITY) * image[inner] + MASK_OPACITY * colour
    assert np.abs(result[inner] - wanted).max() <= 1
    changed = (result != image).any(axis=2)
    frame = box_mask(200, 220, 60, 70, 160, 170) & ~box_mask(200, 220, 61, 71, 159, 169)
    label = box_mask(200, 220, 60, 45, 160, 71)
    assert not (changed & ~(disc | frame | label)).any()
    assert (result[frame & ~label] == colour).all()


@pytest.mark.parametrize(
    ("width", "height", "line"), [(8, 8, 1), (20, 400, 2), (400, 61, 6), (400, 400, 8)]
)
def test_boxes_have_thick_lines_where_they_leave_room(width, height, line):
    empty = np.zeros((4000, 1000), bool)
    item = drawn(empty, (100, 3000, 100 + width, 3000 + height))
    result = np.asarray(draw_objects(np.zeros((4000, 1000, 3), np.uint8), [item]))
    across = result[3000 + height // 2, 100 : 100 + width].any(axis=1)
    assert across.tolist() == [i < line or i >= width - line for i in range(width)]


def test_a_masks_outline_has_the_full_colour():
    mask = box_mask(100, 100, 20, 50, 60, 90)
    result = np.asarray(draw_objects(noise(100, 100), [drawn(mask, (10, 40, 70, 98))]))
    edge = mask & ~box_mask(100, 100, 21, 51, 59, 89)
    assert (result[edge] == instance_colour(0)).all()


def test_the_best_object_lies_on_top():
    mask = box_mask(80, 80, 10, 40, 70, 79)
    objects = [drawn(mask, (10, 40, 70, 79)), drawn(mask, (10, 40, 70, 79))]
    result = np.asarray(draw_objects(np.zeros((80, 80, 3), np.uint8), objects))
    assert (result[78, 10:70] == instance_colour(0)).all()


def test_an_object_without_pixels_is_drawn_by_its_box():
    empty = np.zeros((50, 60), bool)
    result = np.asarray(
        draw_objects(np.zeros((50, 60, 3), np.uint8), [drawn(empty, (5, 30, 50, 45))])
    )
    assert (result[44, 5:50] == instance_colour(0)).all()


BORDER_BOXES = [
    (0, 0, 40, 20), (160, 0, 200, 20), (0, 180, 40, 200), (180, 190, 200, 200), (0, 0, 200, 200),
    (-5, -5, 10, 10), (195, 195, 205, 205), (100, 100, 100, 100),
]  # fmt: skip


@pytest.mark.parametrize("box", BORDER_BOXES)
def test_labels_stay_inside_the_image(box, text_areas):
    empty = np.zeros((200, 200), bool)
    draw_objects(noise(200, 200), [drawn(empty, box, "a long name 0.99")])
    ((left, top, right, bottom),) = text_areas
    assert left >= 0
    assert top >= 0
    assert right <= 200
    assert bottom <= 200


def test_labels_of_one_place_do_not_cover_each_other(text_areas):
    mask = box_mask(300, 300, 50, 100, 250, 280)
    draw_objects(noise(300, 300), [drawn(mask, (50, 100, 250, 280))] * 3)
    first, *others = text_areas
    for left, top, right, bottom in others:
        assert bottom <= first[1] or top >= first[3] or right <= first[0] or left >= first[2]


def test_objects_of_one_place_have_as_many_labels_as_find_room(text_areas):
    mask = box_mask(90, 120, 20, 30, 100, 80)
    picture = draw_objects(noise(90, 120), [drawn(mask, (20, 30, 100, 80))] * 100)
    assert picture.size == (120, 90)
    assert 1 <= len(text_areas) <= 7  # above, below, and five within
    tops = sorted(top for _, top, _, _ in text_areas)
    assert min(b - a for a, b in pairwise(tops)) >= 10


def test_a_label_between_others_finds_the_middle_of_its_box(text_areas):
    mask = box_mask(300, 300, 50, 100, 90, 200)
    draw_objects(noise(300, 300), [drawn(mask, (50, 100, 90, 200))] * 5)
    tops = [top for _, top, _, _ in text_areas]
    assert len(tops) == 5
    assert 100 < tops[1] < tops[4] < tops[2] < 200


@pytest.mark.parametrize("side", [100, 700])
def test_labels_of_many_objects_do_not_hide_the_picture(side, monkeypatch):
    covered = np.zeros((side, side), bool)

    def spy(self, area, fill=None, **kwargs):
        if fill:
            covered[area[1] : area[3], area[0] : area[2]] = True

    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", spy)
    corners = np.random.default_rng(0).integers(0, side - 20, (300, 2)).tolist()
    empty = encode_mask(np.zeros((side, side)))
    objects = [DrawnObject(empty, (x, y, x + 20, y + 20), "person 0.98") for x, y in corners]
    draw_objects(noise(side, side), objects)
    assert 0.15 < covered.mean() <= 1 / 3


def test_more_labels_are_written_smaller_if_they_can_be(text_areas):
    heights = []
    empty = encode_mask(np.zeros((2000, 2000)))
    for count in (1, 30, 1500):
        text_areas.clear()
        corners = [(40 * (i % 50), 30 * (i // 50)) for i in range(count)]
        objects = [DrawnObject(empty, (x, y, x + 9, y + 9), "person 0.98") for x, y in corners]
        draw_objects(np.zeros((2000, 2000, 3), np.uint8), objects)
        heights.append(text_areas[0][3] - text_areas[0][1])
    assert heights[0] > 1.3 * heights[1] > 3 * heights[2] > 20


def test_a_picture_too_small_for_a_label_is_seen_whole(text_areas):
    picture = draw_objects(noise(1, 1), [drawn(np.ones((1, 1)), (0, 0, 1, 1))])
    assert picture.getpixel((0, 0)) == instance_colour(0)
    draw_objects(noise(10, 500), [drawn(np.ones((10, 500)), (0, 0, 500, 10))])
    assert text_areas == []


@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 20), (5, 3000), (2000, 3000)])
def test_images_of_any_size_keep_it(height, width):
    mask = np.ones((height, width), bool)
    picture = draw_objects(noise(height, width), [drawn(mask, (0, 0, width, height))])
    assert picture.size == (width, height)
    assert picture.mode == "RGB"


def test_large_images_have_larger_text(text_areas):
    for side in (200, 2000):
        empty = np.zeros((side, side), bool)
        draw_objects(noise(side, side), [drawn(empty, (50, 100, 150, 150))])
    small, large = (bottom - top for _, top, _, bottom in text_areas)
    assert large > 3 * small


@pytest.mark.parametrize("text", ["", "行人 0.99", "naïve 😀", "a\nb", "\x1b[2J"])
def test_any_text_can_be_a_label(text):
    mask = box_mask(100, 100, 10, 30, 80, 80)
    assert draw_objects(noise(100, 100), [drawn(mask, (10, 30, 80, 80), text)]).size == (100, 100)


def test_a_picture_can_be_drawn_larger():
    image = np.zeros((50, 40, 3), np.uint8)
    mask = box_mask(50, 40, 10, 20, 30, 40)
    picture = draw_objects(image, [drawn(mask, (10, 20, 30, 40))], (120, 150))
    assert picture.size == (120, 150)
    changed = np.asarray(picture).any(axis=2)
    assert changed[60:120, 30:90].all()
    assert not changed[121:].any()


def naive(image, objects, size) -> np.ndarray:
    """Masks over an image as they were once drawn: every mask whole, decoded by pycocotools and
    resized by Pillow."""
    canvas = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    for i, item in reversed(list(enumerate(objects))):
        whole = Image.fromarray(coco_mask.decode(item.rle))
        mask = np.array(whole.resize(size, Image.Resampling.NEAREST)).astype(bool)
        wide = np.pad(mask, 1)
        core = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        tint = np.array(instance_colour(i), np.float32)
        canvas[mask] = (1 - MASK_OPACITY) * canvas[mask] + MASK_OPACITY * tint
        canvas[mask & ~core] = instance_colour(i)
    return canvas


SIZES = [None, (120, 150), (7, 5), (97, 61), (1, 1), (80, 7)]


@pytest.mark.parametrize("size", SIZES)
def test_masks_are_drawn_as_whole_ones_would_be(size, monkeypatch):
    monkeypatch.setattr(drawing, "write_labels", lambda *_: None)
    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", lambda *_, **__: None)
    random = np.random.default_rng(1)
    image = noise(50, 40)
    rows, columns = np.ogrid[:50, :40]
    masks = [(rows - y) ** 2 + (columns - x) ** 2 < 90 for y, x in random.integers(0, 40, (6, 2))]
    masks += [random.random((50, 40)) < 0.3, np.zeros((50, 40)), np.ones((50, 40))]
    masks += [box_mask(50, 40, 39, 49, 40, 50), box_mask(50, 40, 0, 0, 1, 50)]
    objects = [drawn(mask, (0, 0, 9, 9), "") for mask in masks]
    result = np.asarray(draw_objects(image, objects, size))
    assert np.array_equal(result, naive(image, objects, size or (40, 50)))


@pytest.mark.parametrize("size", [None, (40, 20), (300, 150)])
def test_objects_find_their_place_in_an_image_that_was_made_smaller(size):
    mask = box_mask(1000, 2000, 500, 300, 1500, 900)
    item = drawn(mask, (500, 300, 1500, 900), "")
    result = np.asarray(draw_objects(np.zeros((100, 200, 3), np.uint8), [item], size))
    width, height = size or (200, 100)
    assert result.shape == (height, width, 3)
    left, top, right, bottom = width // 4, 3 * height // 10, 3 * width // 4, 9 * height // 10
    shown = result.any(axis=2)
    shown[:top] = False  # where the label is
    assert np.array_equal(shown, box_mask(height, width, left, top, right, bottom))
    frame = shown & ~box_mask(height, width, left + 1, top + 1, right - 1, bottom - 1)
    frame[: top + 12, : left + 12] = False
    assert (result[frame] == instance_colour(0)).all()


def test_a_mask_never_becomes_a_full_size_array():
    mask = encode_crop(np.ones((30, 40), np.uint8), 700, 8000, 20_000, 20_000)
    objects = [DrawnObject(mask, (700, 8000, 740, 8030), "")] * 30
    tracemalloc.start()
    picture = draw_objects(np.zeros((200, 200, 3), np.uint8), objects)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert picture.size == (200, 200)
    assert peak < 20e6  # bytes; a full-size mask has 400e6


def test_an_object_can_have_the_colour_of_another_place():
    mask = encode_mask(box_mask(40, 40, 5, 25, 35, 35))
    items = [DrawnObject(mask, (5, 25, 35, 35), "", colour) for colour in (None, 0, 7)]
    pictures = [np.asarray(draw_objects(np.zeros((40, 40, 3), np.uint8), [i])) for i in items]
    assert np.array_equal(pictures[0], pictures[1])
    assert (pictures[2][34, 5:35] == instance_colour(7)).all()


def test_colours_differ():
    colours = [instance_colour(n) for n in range(20)]
    assert len(set(colours)) == 20
    assert all(0 <= value <= 255 for colour in colours for value in colour)


def test_predictions_are_named_with_their_scores():
    rle = encode_mask(box_mask(10, 10, 1, 2, 3, 4))
    prediction = Prediction(
        boxes=torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]), labels=torch.tensor([2, 1]),
        scores=torch.tensor([0.9, 0.25], dtype=torch.float64), masks=[rle, rle],
    )  # fmt: skip
    objects = predicted_objects(prediction, ("cat", "dog"))
    assert [item.text for item in objects] == ["dog 0.90", "cat 0.25"]
    assert [item.box for item in objects] == [(1, 2, 3, 4), (5, 6, 7, 8)]


def test_tracks_are_named_and_give_the_colours():
    rle = encode_mask(box_mask(10, 10, 1, 2, 3, 4))
    prediction = Prediction(
        boxes=torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]), labels=torch.tensor([2, 1]),
        scores=torch.tensor([0.9, 0.25], dtype=torch.float64), masks=[rle, rle],
    )  # fmt: skip
    objects = predicted_objects(prediction, ("cat", "dog"), (12, 3))
    assert [item.text for item in objects] == ["12: dog 0.90", "3: cat 0.25"]
    assert [item.colour for item in objects] == [12, 3]
    assert [item.colour for item in predicted_objects(prediction, ("cat", "dog"))] == [None, None]


def test_nothing_found_is_no_object():
    nothing = Prediction(
        boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0),
        masks=[],
    )  # fmt: skip
    assert predicted_objects(nothing, ("cat",)) == []


def test_records_and_targets_give_the_same_objects():
    mask = box_mask(30, 40, 5, 6, 20, 25)
    record = ImageRecord(1, Path("a.png"), 40, 30, (Instance.from_mask(2, mask),))
    target = Target(
        boxes=torch.tensor([[5.0, 6, 20, 25]]), labels=torch.tensor([2]), image_id=1,
        masks=torch.from_numpy(mask[None].astype(np.uint8)), area=torch.tensor([float(mask.sum())]),
        iscrowd=torch.tensor([0]),
    )  # fmt: skip
    wanted = [DrawnObject(encode_mask(mask), (5, 6, 20, 25), "dog")]
    assert recorded_objects(record, ("cat", "dog")) == wanted
    assert target_objects(target, ("cat", "dog")) == wanted


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_an_image_of_any_channels_can_be_drawn(channels):
    image = np.random.default_rng(0).random((20, 30, channels), np.float32)
    drawn = np.asarray(draw_objects(image, [], (60, 40)))
    assert drawn.shape == (40, 60, 3)
    assert np.array_equal(drawn, np.asarray(draw_objects(rgb_view(image), [], (60, 40))))
    assert drawn[:, :, 0].std() > 10


def test_crowds_are_named_as_such():
    crowd = Instance.from_mask(1, np.ones((4, 4)), iscrowd=1)
    record = ImageRecord(1, Path("a.png"), 4, 4, (crowd,))
    assert recorded_objects(record, ("cat",))[0].text == "cat (crowd)"


@pytest.mark.parametrize(
    ("count", "columns", "grid"), [(1, 4, (1, 1)), (4, 4, (4, 1)), (5, 2, (2, 3))]
)
def test_a_panel_shows_every_picture(count, columns, grid):
    colours = [instance_colour(n) for n in range(count)]
    pictures = [Image.new("RGB", (50, 40 - n), colour) for n, colour in enumerate(colours)]
    sheet = panel(pictures, [f"{n}.png" for n in range(count)], columns)
    pixels = np.asarray(sheet)
    for picture, colour in zip(pictures, colours, strict=True):
        area = (pixels == colour).all(axis=2).sum()
        assert area == picture.width * picture.height
    assert (sheet.width // 50, sheet.height // 60) == grid


def test_long_captions_are_cut_to_their_picture(text_areas):
    pictures = [Image.new("RGB", (80, 40))] * 2
    panel(pictures, ["a/very/long/folder/name/image_0001.png", "图像" * 30], 2)
    for left, _, right, _ in text_areas:
        assert right - left <= 80


@pytest.mark.parametrize(
    ("height", "width", "size"), [(1, 1, (360, 360)), (480, 640, (360, 270)), (1, 4000, (360, 1))]
)
def test_panel_pictures_have_one_longer_side(height, width, size):
    assert panel_size(np.zeros((height, width, 3), np.uint8)) == size
