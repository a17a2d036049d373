"""Pictures on their way into another data set: copied where they can be, else fitted and padded."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from my_dataset import read_data
from utils.conversion.convert import convert
from utils.conversion.not_kept import NotKept
from utils.conversion.pictures import Fit, fitted_record, new_name
from utils.data.images import load_image
from utils.data.read_options import ReadOptions
from utils.data.records import ImageRecord, Instance, RecordSet, instance_masks, to_rle

sides = st.integers(1, 3000)


@given(sides, sides, sides, sides)
def test_fitting_is_that_of_pillows_thumbnail(width, height, most_x, most_y):
    picture = Image.new("1", (width, height))
    picture.thumbnail((most_x, most_y))
    inner = Fit((most_x, most_y)).inner(width, height)

    assert inner[0] <= max(1, min(most_x, width))
    assert inner[1] <= max(1, min(most_y, height))
    assert abs(inner[0] - picture.width) <= 1
    assert abs(inner[1] - picture.height) <= 1


@given(sides, sides, st.integers(1, 300))
def test_padding_is_the_least_to_a_multiple(width, height, multiple):
    outer = Fit(None, multiple).outer(width, height)

    assert [side % multiple for side in outer] == [0, 0]
    assert 0 <= outer[0] - width < multiple
    assert 0 <= outer[1] - height < multiple


@pytest.mark.parametrize(
    ("name", "is_resized", "new"),
    [
        ("a.JPG", False, "a.JPG"),
        ("a.JPG", True, "a.JPG"),
        ("x/a.tif", False, "x/a.tif"),
        ("x/a.tif", True, "x/a.png"),
        ("a.json", False, "a.png"),
        ("a.npy", False, "a.npy"),
        ("x.y/a", False, "x.y/a.png"),
    ],
)
def test_new_names(name, is_resized, new):
    assert new_name(name, is_resized) == new


def disc(x, y, radius, size):
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    return np.asarray(picture)


def scene(root, name, size=(120, 90), **options):
    """A white disc on dark, outlined once by run lengths and once by a polygon."""
    root.mkdir(parents=True, exist_ok=True)
    mask = disc(50, 40, 30, size)
    pixels = np.where(mask[:, :, None] > 0, np.uint8(250), np.uint8(60)).repeat(3, axis=2)
    Image.fromarray(pixels).save(root / name, **options)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    polygon = np.stack([50.5 + 30.5 * np.cos(angles), 40.5 + 30.5 * np.sin(angles)], 1).ravel()
    flat = [polygon.tolist()]
    drawn = replace(Instance.from_rle(1, to_rle(flat, size[1], size[0])), segmentation=flat)
    record = ImageRecord(1, root / name, *size, (Instance.from_mask(1, mask), drawn))
    return RecordSet(root, "drawn", ("disc",), (record,))


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("to", ["coco", "labelme", "yolo"])
@pytest.mark.parametrize(
    ("name", "size", "multiple", "wanted", "new"),
    [
        ("a.png", (60, 60), 1, (60, 45), "a.png"),
        ("a.jpg", (60, 60), 32, (64, 64), "a.jpg"),
        ("a.bmp", None, 64, (128, 128), "a.png"),
        ("a.bmp", (200, 200), 30, (120, 90), "a.bmp"),
    ],
)
def test_outlines_follow_the_picture(to, name, size, multiple, wanted, new, tmp_path):
    data = scene(tmp_path / "data", name, **({"quality": 95} if name == "a.jpg" else {}))
    convert(data, to, tmp_path / "new", size=size, multiple_of=multiple)
    (record,) = read_data(tmp_path / "new").images

    assert (record.width, record.height) == wanted
    assert record.path.name == new
    pixels = load_image(record.path)
    bright = pixels[:, :, 0] > 155
    for mask in instance_masks(record):
        assert iou(mask > 0, bright) > 0.95
    scale = min(1, (size or (120,))[0] / 120)
    inner = round(120 * scale), round(90 * scale)
    black = 12 if name == "a.jpg" else 0
    assert pixels[inner[1] + 8 :].max(initial=0) <= black  # a JPEG block may reach 8 pixels over
    assert pixels[:, inner[0] + 8 :].max(initial=0) <= black
    assert pixels[: inner[1], : inner[0]].min() > 20  # resampling overshoots at edges
    if wanted == (120, 90):
        assert record.path.read_bytes() == data.images[0].path.read_bytes()


def test_a_rotated_photo_is_copied_with_its_exif_and_stays_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    data = scene(tmp_path / "data", "a.jpg", exif=exif)
    (record,) = data.images
    mask = np.rot90(instance_masks(record)[0], 3)
    upright = replace(record, width=90, height=120, instances=(Instance.from_mask(1, mask),))
    data = replace(data, images=(upright,))
    convert(data, "coco", tmp_path / "copy")
    convert(data, "coco", tmp_path / "small", size=(60, 60))

    (copied,) = read_data(tmp_path / "copy").images
    assert copied.path.read_bytes() == record.path.read_bytes()
    assert np.array_equal(instance_masks(copied)[0], mask)
    (small,) = read_data(tmp_path / "small").images
    with Image.open(small.path) as picture:
        assert picture.size == (45, 60) == (small.width, small.height)
        assert not picture.getexif()
    assert iou(instance_masks(small)[0] > 0, load_image(small.path)[:, :, 0] > 155) > 0.9


def test_objects_that_vanish_are_counted(tmp_path):
    dot = np.zeros((90, 120), np.uint8)
    dot[41, 41] = 1
    big = disc(60, 45, 30, (120, 90))
    polygon = [[10.2, 10.2, 10.3, 10.2, 10.3, 10.3]]
    speck = Instance(1, polygon, (10, 10, 1, 1), 1)
    instances = (Instance.from_mask(1, dot), Instance.from_mask(1, big), speck)
    not_kept = NotKept()
    record = ImageRecord(1, tmp_path / "a.png", 120, 90, instances)
    fitted = fitted_record(record, Fit((12, 9)), not_kept, "a.png")

    assert len(fitted.instances) == 1
    assert not_kept.notes() == [
        "2 object(s) without a pixel in the smaller picture left out, first in a.png"
    ]
    assert fitted_record(record, Fit((120, 200), 30), not_kept, "a.png") is record


def test_an_embedded_picture_becomes_a_file(tmp_path):
    source = scene(tmp_path / "files", "a.png").images[0].path
    content = {
        "version": "5.0.0", "imagePath": "a.jpg", "imageHeight": 90, "imageWidth": 120,
        "imageData": base64.b64encode(source.read_bytes()).decode(),
        "shapes": [{"label": "disc", "points": [[1, 1], [9, 1], [9, 9]], "group_id": None,
                    "shape_type": "polygon", "flags": {}}],
    }  # fmt: skip
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.json").write_text(json.dumps(content))
    data = read_data(tmp_path / "data", options=ReadOptions(embedded_images=True))
    convert(data, "labelme", tmp_path / "new")
    (record,) = read_data(tmp_path / "new").images

    assert record.path.name == "one.png"
    assert np.array_equal(load_image(record.path), load_image(source))
    assert len(record.instances) == 1
