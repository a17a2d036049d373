"""Blurred id masks are told from masks of thin objects, and cleared of what blur left."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from utils.data.records import ImageRecord, Instance
from utils.doctor.stray_numbers import stray_objects

SIZE = 300
DISCS = [(60, (20, 20, 130, 130)), (120, (160, 10, 280, 120)),
         (180, (30, 160, 140, 280)), (240, (170, 170, 270, 290))]  # fmt: skip


def record_of(ids):
    """As the reader makes it: objects in the order of their numbers."""
    numbers = [number for number in np.unique(ids) if number]
    objects = tuple(Instance.from_mask(1, ids == number) for number in numbers)
    return ImageRecord(1, "a.png", *ids.shape[::-1], objects), numbers


def strays(ids):
    record, numbers = record_of(np.asarray(ids))
    return {int(numbers[i]) for i in stray_objects(record)}


def drawn(draw_one, count=25, size=1000):
    mask = Image.new("L", (size, size))
    pen = ImageDraw.Draw(mask)
    for k in range(count):
        draw_one(pen, k % 5 * 190 + 20, k // 5 * 190 + 20, k + 1)
    return mask


def discs(shape="ellipse"):
    mask = Image.new("L", (SIZE, SIZE))
    for value, box in DISCS:
        getattr(ImageDraw.Draw(mask), shape)(box, fill=value)
    return mask


def jpeg(mask, quality):
    file = BytesIO()
    mask.save(file, "JPEG", quality=quality)
    return Image.open(file)


def resized(mask, factor, filter):
    return mask.resize([round(side * factor) for side in mask.size], filter)


def membranes(pen, x, y, number):
    """A cell and its thin rim, which lies between the background and a higher number."""
    pen.ellipse((x, y, x + 150, y + 150), fill=2 * number - 1)
    pen.ellipse((x + 1, y + 1, x + 149, y + 149), fill=2 * number)


@pytest.mark.parametrize("ids", [
    drawn(lambda pen, x, y, n: pen.line((x, y, x + 100, y + 100), n, 4)),
    drawn(lambda pen, x, y, n: pen.line((x, y, x + 100, y + 100), n, 1)),
    drawn(lambda pen, x, y, n: pen.line((x, y, 1000 - y, 1000 - x // 2), n, 2)),  # that cross
    drawn(lambda pen, x, y, n: pen.ellipse((x, y, x + 150, y + 150), None, n, 1)),
    drawn(lambda pen, x, y, n: pen.ellipse((x, y, x + 150, y + 150), None, n, 5)),
    drawn(lambda pen, x, y, n: pen.arc((x, y, x + 150, y + 150), 10, 200, n, 2)),
    drawn(membranes),
    discs(),
    Image.new("L", (9, 9)),
], ids=["lines", "fine lines", "crossing", "fine rings", "rings", "arcs", "membranes", "discs",
        "empty"])  # fmt: skip
def test_thin_objects_are_no_debris(ids):
    assert strays(ids) == set()


@pytest.mark.parametrize("shape", ["ellipse", "rectangle"])
@pytest.mark.parametrize("blur", [
    lambda mask: resized(mask, 0.6, Image.Resampling.LANCZOS),
    lambda mask: resized(mask, 1.7, Image.Resampling.BILINEAR),
    lambda mask: mask.filter(ImageFilter.GaussianBlur(2)),
    lambda mask: jpeg(mask, 75),
    lambda mask: jpeg(mask, 95),
], ids=["lanczos", "bilinear", "gauss", "jpeg75", "jpeg95"])  # fmt: skip
def test_debris_of_a_blurred_mask_is_none_of_what_was_drawn(shape, blur):
    ids = np.asarray(blur(discs(shape)))
    stray = strays(ids)
    values = {value for value, _ in DISCS}
    assert len(stray) >= 20
    assert stray.isdisjoint(values)


@pytest.mark.parametrize("radius", [1, 1.5, 2])
@pytest.mark.parametrize("side", [12, 30, 80])
def test_a_blurred_binary_mask_of_straight_sides(radius, side):
    mask = Image.new("L", (260, 120))
    for x in (10, 140):
        ImageDraw.Draw(mask).rectangle((x, 15, x + side, 15 + side), fill=255)
    assert strays(mask) == set()
    blurred = np.asarray(mask.filter(ImageFilter.GaussianBlur(radius)))
    assert len(strays(blurred)) >= 10
    assert strays(blurred) <= {*np.unique(blurred).tolist()} - {0, 255}


@pytest.mark.parametrize("width", [2, 3, 8])
def test_layers_on_each_other_are_objects(width):
    rows = np.arange(30 * width) // width  # retina, wood, sediment
    ids = np.zeros((30 * width + 20, 300), np.uint8)
    ids[10:-10] = (rows + 1)[:, None]
    assert strays(ids) == set()


@pytest.mark.parametrize(("specks", "side", "stray"), [(20, 2, 20), (19, 2, 0), (20, 3, 0)])
def test_few_or_larger_specks_are_objects(specks, side, stray):
    ids = np.zeros((90, 120), np.uint8)
    for n in range(specks):
        ids[:side, 4 * n : 4 * n + side] = n + 1
    ids[20:60, :60] = 99
    assert len(strays(ids)) == stray


def test_stray_numbers_are_at_least_half_of_all():
    ids = np.zeros((100, 300), np.uint8)
    for n in range(41):
        ids[10:20, 7 * n : 7 * n + 5] = 100 + n
    for n in range(41):
        assert len(strays(ids)) == 0
        ids[50, 7 * n] = n + 1
    assert len(strays(ids)) == 41
