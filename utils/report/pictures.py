"""Test images with what is right and wrong in them: outlines in three colours and line styles."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from nets.contract import Prediction
from utils.data.channels import rgb_view
from utils.data.records import DataError, ImageRecord, Rle, to_rle
from utils.drawing import Colour, text_font
from utils.evaluation.assessment import NOTHING, Assessment
from utils.evaluation.error_kinds import DetectionVerdict, ImageErrors, ObjectVerdict
from utils.report.markup import listed, paragraph, picture

SIDE = 480  # the longer side of a picture
MOST_ENLARGED = 4.0
QUALITY = 80
MOST_PICTURES = 12  # of the worst, and at random
MOST_LISTED = 8  # errors in a caption
LINE, DASH = 2, 5  # pixels
NUMBER_SIZE = 13
RIGHT: Colour = (0, 200, 120)
FALSE: Colour = (255, 130, 0)
MISSED: Colour = (255, 80, 255)
HALO: Colour = (0, 0, 0)
LEGEND = (
    '<p class="legend"><span class="right">found</span> <span class="false">false: thick'
    '</span> <span class="missed">not found: dashed</span> Errors are numbered; the captions say '
    "what they are.</p>"
)

ReadPixels = Callable[[int], np.ndarray]  # from the number of an image to uint8 (H, W, channels)


class Outline(NamedTuple):
    """A mask to be traced: its colour, and for an error its number and what it is."""

    rle: Rle
    colour: Colour
    number: int
    text: str


def picture_section(assessment: Assessment, read_pixels: ReadPixels) -> str:
    """The worst images and some at random; nothing for predictions without masks."""
    if not assessment.errors:
        return ""
    worst = worst_images(assessment)
    drawn = random_images(len(assessment.errors))
    figures = {n: _figure(assessment, n, read_pixels) for n in dict.fromkeys([*worst, *drawn])}
    text = paragraph("No image has an error at these score thresholds.")
    if worst:
        text = f'<div class="pictures">{"".join(figures[n] for n in worst)}</div>'
    return (
        f"{LEGEND}<h3>The images with the most errors</h3>{text}"
        "<h3>Images drawn at random: how it usually looks</h3>"
        f'<div class="pictures">{"".join(figures[n] for n in drawn)}</div>'
    )


def worst_images(assessment: Assessment) -> list[int]:
    """The numbers of the images with the most errors, by name where equal."""
    errors = [sum(_counts(image)[1:]) for image in assessment.errors]
    names = [assessment.data.name_of(record) for record in assessment.data.images]
    order = sorted(range(len(errors)), key=lambda n: (-errors[n], names[n]))
    return [n for n in order if errors[n]][:MOST_PICTURES]


def random_images(count: int, seed: int = 0) -> list[int]:
    """Some numbers below ``count``, always the same ones."""
    return random.Random(seed).sample(range(count), min(MOST_PICTURES, count))


def draw_errors(pixels: np.ndarray, outlines: Sequence[Outline]) -> Image.Image:
    """Trace outlines over an image, errors on top, as large as the page shows it."""
    height, width = pixels.shape[:2]
    scale = min(SIDE / max(height, width), MOST_ENLARGED)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.array(Image.fromarray(rgb_view(pixels)).resize(size, Image.Resampling.BILINEAR))
    places = []
    for outline in outlines:
        mask = _resized(outline.rle, size)
        _trace(canvas, mask, outline)
        places.append(_top(mask))
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    for outline, place in zip(outlines, places, strict=True):
        if outline.number and place:
            _write_number(draw, outline, place, size)
    return image


def outlines_of(
    record: ImageRecord, prediction: Prediction, errors: ImageErrors, classes: Sequence[str]
) -> list[Outline]:
    """What is right, then what is missed and the false alarms, those two numbered from 1 on."""
    right = [
        Outline(prediction["masks"][one.index], RIGHT, 0, "")
        for one in errors.detections
        if one.kind == "correct"
    ]
    wrong: list[Outline] = []
    for missed in filter(_is_missed, errors.objects):
        segmentation = record.instances[missed.index].segmentation
        rle = to_rle(segmentation, record.height, record.width)
        text = f"{classes[missed.label - 1]} not found: {missed.kind}"
        wrong.append(Outline(rle, MISSED, len(wrong) + 1, text))
    for false in filter(_is_false, errors.detections):
        text = f"{classes[false.label - 1]} {false.score:.2f}: {false.kind}"
        wrong.append(Outline(prediction["masks"][false.index], FALSE, len(wrong) + 1, text))
    return right + wrong


def _figure(assessment: Assessment, number: int, read_pixels: ReadPixels) -> str:
    """One image with its caption; a line alone where it cannot be read."""
    record, errors = assessment.data.images[number], assessment.errors[number]
    name = assessment.data.name_of(record)
    prediction = assessment.predictions.get(record.image_id, NOTHING)
    outlines = outlines_of(record, prediction, errors, assessment.data.classes)
    found, false, missed = _counts(errors)
    caption = paragraph(name, "name")
    caption += paragraph(f"{found} found, {false} false, {missed} not found")
    texts = [f"{one.number}: {one.text}" for one in outlines if one.number]
    more = [f"and {len(texts) - MOST_LISTED} more"] if len(texts) > MOST_LISTED else []
    caption += listed([*texts[:MOST_LISTED], *more])
    try:
        shown = draw_errors(read_pixels(number), outlines)
    except (DataError, OSError, ValueError) as error:
        return f"<figure>{caption}{paragraph(f'not shown: {error}')}</figure>"
    file = BytesIO()
    shown.save(file, "JPEG", quality=QUALITY)
    return f"<figure>{picture(file.getvalue(), name)}<figcaption>{caption}</figcaption></figure>"


def _counts(errors: ImageErrors) -> tuple[int, int, int]:
    """How many are found, false and missed."""
    found = sum(one.kind == "found" for one in errors.objects)
    return found, sum(map(_is_false, errors.detections)), sum(map(_is_missed, errors.objects))


def _is_false(one: DetectionVerdict) -> bool:
    return one.kind not in ("correct", "ignored")


def _is_missed(one: ObjectVerdict) -> bool:
    return one.kind not in ("found", "ignored")


def _resized(rle: Rle, size: tuple[int, int]) -> np.ndarray:
    """A mask as large as the picture, bool (height, width); something of it always stays."""
    mask = coco_mask.decode(rle)
    small = Image.fromarray(mask * 255).resize(size, Image.Resampling.BOX)
    shown = np.asarray(small)
    return shown >= min(128, max(int(shown.max()), 1))


def _trace(canvas: np.ndarray, mask: np.ndarray, outline: Outline) -> None:
    """Draw along the inside of the mask's edge, with a dark line next to it, in place."""
    thick = LINE + 1 if outline.number else LINE
    edge = mask & ~_shrunk(mask, thick)
    canvas[(mask & ~edge) & ~_shrunk(mask, thick + 1)] = HALO
    if outline.colour == MISSED:
        rows, columns = np.nonzero(edge)
        gap = (rows + columns) // DASH % 2 == 1
        canvas[rows[gap], columns[gap]] = HALO
        edge[rows[gap], columns[gap]] = False
    canvas[edge] = outline.colour


def _shrunk(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask without its outermost pixels; those at the border of the picture are outermost."""
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        mask = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & mask
    return mask


def _top(mask: np.ndarray) -> tuple[int, int] | None:
    """x and y of the middle of a mask's first row; None if it has no pixel."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0]])
    return int(columns[len(columns) // 2]), int(rows[0])


def _write_number(
    draw: ImageDraw.ImageDraw, outline: Outline, place: tuple[int, int], size: tuple[int, int]
) -> None:
    """The number of an error on its colour, inside the picture."""
    text = str(outline.number)
    font = text_font(text, NUMBER_SIZE)
    width, height = int(draw.textlength(text, font)) + 6, NUMBER_SIZE + 4
    x = min(max(place[0] - width // 2, 0), max(size[0] - width, 0))
    y = min(max(place[1] - height // 2, 0), max(size[1] - height, 0))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=outline.colour)
    draw.text((x + 3, y + height / 2), text, "black", font, anchor="lm")
