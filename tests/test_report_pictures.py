"""Which images are shown, what is traced in them, and that a damaged one stops nothing."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from report_scene import CAT, SIDE, drawn_assessment, pixels, square

from utils.data.records import DataError, encode_mask
from utils.evaluation.operating_point import OperatingPoint
from utils.report.pictures import (
    FALSE,
    HALO,
    MISSED,
    RIGHT,
    Outline,
    draw_errors,
    outlines_of,
    picture_section,
    random_images,
    worst_images,
)

HALF = OperatingPoint("f1", {"cat": 0.5, "dog": 0.5}, {}, {})


@pytest.fixture(scope="module")
def judged():
    return drawn_assessment(point=HALF)


def outline(colour, number=0, place=(10, 10, 30)):
    return Outline(encode_mask(square(*place)), colour, number, "")


def drawn_colours(picture):
    return {tuple(colour) for colour in np.asarray(picture).reshape(-1, 3).tolist()}


def test_nothing_to_trace():
    picture = draw_errors(pixels(0), [])
    assert max(picture.size) == 4 * SIDE  # small images are enlarged, four times at most
    assert drawn_colours(picture) == {(90, 90, 90)}


def test_large_images_are_reduced():
    picture = draw_errors(np.zeros((600, 1200, 3), dtype=np.uint8), [])
    assert picture.size == (480, 240)
    assert draw_errors(np.zeros((1, 2000, 3), dtype=np.uint8), []).size == (480, 1)


def test_other_channels_are_shown_too():
    assert draw_errors(np.zeros((40, 40, 1), dtype=np.float32), []).mode == "RGB"


@pytest.mark.parametrize(("colour", "number"), [(RIGHT, 0), (FALSE, 1), (MISSED, 2)])
def test_the_edge_is_traced_and_nothing_else(colour, number):
    picture = np.asarray(draw_errors(pixels(0), [outline(colour, number)]))
    left = right = 4 * 25  # a row through the middle of the square, which is 40..160 both ways
    row = picture[left]
    inside, outside = row[40:160], np.concatenate([row[:40], row[160:]])
    assert (outside == 90).all()
    assert (picture[right + 40, 100] == 90).all()  # the middle of the object is seen
    painted = [tuple(value) for value in inside.tolist() if value != [90] * 3]
    assert set(painted) == {colour, HALO}
    width = sum(value != [90] * 3 for value in inside[:20].tolist())
    assert width == (3 if number == 0 else 4)  # errors are thicker; a dark line is beside


def test_what_is_missed_is_dashed():
    solid = np.asarray(draw_errors(pixels(0), [outline(FALSE, 1)]))
    dashed = np.asarray(draw_errors(pixels(0), [outline(MISSED, 1)]))
    lines = [(solid[60:150, 41] == FALSE).all(axis=1), (dashed[60:150, 41] == MISSED).all(axis=1)]
    assert lines[0].all()
    assert 0.4 < lines[1].mean() < 0.6
    assert 15 <= np.abs(np.diff(lines[1].astype(int))).sum() <= 20  # 90 px in dashes of 5


def test_errors_are_on_top():
    both = [outline(RIGHT), outline(FALSE, 1)]
    assert RIGHT not in drawn_colours(draw_errors(pixels(0), both))


def test_an_object_of_one_pixel_is_seen_in_a_large_image():
    mask = np.zeros((2000, 2000), dtype=np.uint8)
    mask[1001, 501] = 1
    picture = draw_errors(
        np.zeros((2000, 2000, 3), dtype=np.uint8), [Outline(encode_mask(mask), RIGHT, 0, "")]
    )
    assert (np.asarray(picture) == RIGHT).all(axis=2).sum() == 1


def test_an_empty_mask_and_one_over_the_whole_image():
    empty = Outline(encode_mask(np.zeros((SIDE, SIDE))), FALSE, 1, "")
    assert drawn_colours(draw_errors(pixels(0), [empty])) == {(90, 90, 90)}
    whole = np.asarray(draw_errors(pixels(0), [outline(RIGHT, 0, (0, 0, SIDE))]))
    assert tuple(whole[0, 100]) == tuple(whole[100, 0]) == tuple(whole[-1, 100]) == RIGHT


def test_outlines_are_what_the_verdicts_say(judged):
    data = judged.data
    told = [
        [
            (one.colour, one.number, one.text)
            for one in outlines_of(record, judged.predictions[record.image_id], of, data.classes)
        ]
        for record, of in zip(data.images, judged.errors, strict=True)
    ]
    assert told == [
        [(RIGHT, 0, ""), (RIGHT, 0, "")],
        [(MISSED, 1, "cat not found: missed")],
        [(RIGHT, 0, ""), (FALSE, 1, "dog 0.60: duplicate")],
        [(FALSE, 1, "cat 0.70: background")],
        [(MISSED, 1, "cat not found: wrong class"), (FALSE, 2, "dog 0.85: wrong class")],
    ]


def test_worst_come_first_and_equals_by_name(judged):
    assert worst_images(judged) == [4, 1, 2, 3]  # image 0 has no error


def test_equals_by_name():
    scene = ([(CAT, 4, 4, 20)], [])
    assert worst_images(drawn_assessment([scene] * 3, HALF, name="{:02}.png")) == [0, 1, 2]
    names = drawn_assessment([scene] * 20, HALF)
    assert worst_images(names) == list(range(12))


def test_random_images_are_the_same_each_time():
    assert random_images(100) == random_images(100)
    assert len(set(random_images(100))) == 12
    assert random_images(100) != list(range(12))
    assert sorted(random_images(3)) == [0, 1, 2]
    assert random_images(0) == []


def test_the_section_holds_jpegs(judged):
    text = picture_section(judged, pixels)
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert len(sources) == 4 + 5
    for source in sources:
        assert Image.open(BytesIO(base64.b64decode(source))).size == (4 * SIDE, 4 * SIDE)
    assert text.count('loading="lazy"') == 9
    assert text.index("04.png") < text.index("01.png")
    assert "1 found, 1 false, 0 not found" in text


@pytest.mark.parametrize("error", [DataError("02.png: is <damaged>"), OSError("02.png: <damaged>")])
def test_a_damaged_picture_is_left_out(judged, error):
    def read(number):
        if number == 2:
            raise error
        return pixels(number)

    text = picture_section(judged, read)
    assert text.count("data:image/jpeg") == 3 + 4
    assert text.count("not shown: 02.png") == 2
    assert "&lt;damaged&gt;" in text


def test_no_errors_and_no_masks():
    perfect = drawn_assessment([([(CAT, 4, 4, 20)], [(CAT, 4, 4, 20, 0.9)])] * 2, HALF)
    assert "No image has an error" in picture_section(perfect, pixels)
    assert picture_section(drawn_assessment(point=HALF, has_masks=False), pixels) == ""


def test_long_captions_are_cut():
    many = [(CAT, x, y, 4, 0.9) for x in range(0, 60, 12) for y in range(0, 60, 12)]
    text = picture_section(drawn_assessment([([], many)] * 2, HALF), pixels)
    assert "and 17 more" in text
    assert "8: cat 0.90: background" in text
    assert "9: cat" not in text
