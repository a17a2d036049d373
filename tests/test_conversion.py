"""Data sets written in one format and read again: the same pictures, classes and pixels."""

import csv
import hashlib
import io
import json
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools.coco import COCO

from my_dataset import read_data
from utils.config import ConfigError
from utils.conversion import converted_images, label_png_files
from utils.conversion.config import FORMATS
from utils.conversion.convert import convert
from utils.conversion.drawn_outlines import one_polygon, polygons_of
from utils.data.contours import trace
from utils.data.images import load_image
from utils.data.records import DataError, ImageRecord, Instance, RecordSet, instance_masks, to_rle

READABLE = tuple(name for name in FORMATS if name != "label-png")
CLASSES = ("cell", "nucléus", "一 thing: #1")
WIDTH, HEIGHT = 57, 43


def mask_of(*boxes, holes=()):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 1
    for x1, y1, x2, y2 in holes:
        mask[y1:y2, x1:x2] = 0
    return mask


def drawn_objects():
    """Apart from each other: a hole with an island, parts that touch by a corner, one pixel, the
    whole width, a thin line, an object that touches the next one."""
    hollow = mask_of((2, 2, 14, 12), holes=[(4, 4, 12, 10)]) | mask_of((6, 6, 8, 8))
    return [
        (1, hollow),
        (2, mask_of((20, 2, 24, 6), (24, 6, 30, 9), (33, 3, 36, 8))),
        (1, mask_of((40, 5, 41, 6))),
        (3, mask_of((0, 41, WIDTH, HEIGHT))),
        (2, mask_of((50, 0, 51, 30))),
        (2, mask_of((51, 4, WIDTH, 30))),
        (3, mask_of((5, 15, 30, 35), holes=[(7, 17, 9, 20), (20, 20, 28, 33), (9, 20, 11, 22)])),
    ]


def picture(path, seed=0, size=(WIDTH, HEIGHT), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


def data_set(root, images, classes=CLASSES, **changes):
    """Records of (name, objects); the pictures are drawn."""
    records = []
    for number, (name, objects) in enumerate(images, start=1):
        picture(root / name, number)
        instances = tuple(
            one if isinstance(one, Instance) else Instance.from_mask(*one) for one in objects
        )
        records.append(ImageRecord(number, root / name, WIDTH, HEIGHT, instances))
    return RecordSet(root, "drawn", classes, tuple(records), **changes)


@pytest.fixture
def drawn(tmp_path):
    objects = drawn_objects()
    images = [("a.png", objects), ("b.JPG", []), ("c d.png", objects[2:4]), ("é.png", objects[:1])]
    return data_set(tmp_path / "drawn", images)


def ellipse(x, y, rx, ry, corners=23):
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + 0.3
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1).ravel().tolist()


@pytest.fixture
def polygons(tmp_path):
    """Outlines with decimals, of one part and of several, that overlap, and beyond the border."""
    outlines = [
        (1, [ellipse(12.35, 11.1, 9.77, 8.3)]),
        (2, [ellipse(30.1, 10, 4.5, 6), ellipse(40.9, 12, 5.2, 7.7)]),
        (3, [ellipse(12, 32, 8, 6), ellipse(18, 32, 8, 6)]),
        (1, [ellipse(50, 38, 15, 9)]),
    ]
    instances = []
    for label, parts in outlines:
        measured = Instance.from_rle(label, to_rle(parts, HEIGHT, WIDTH))
        instances.append(replace(measured, segmentation=parts))
    return data_set(tmp_path / "polygons", [("p.png", instances)])


def content_of(data):
    """What must survive: by name of the picture, class and pixels of every object, sorted."""
    found = {}
    for record in data.images:
        masks = instance_masks(record)
        objects = [
            (data.classes[one.label - 1], one.iscrowd, mask.tobytes(), one.area, one.bbox)
            for one, mask in zip(record.instances, masks, strict=True)
        ]
        key = record.path.name
        assert key not in found
        found[key] = (record.width, record.height, sorted(objects))
    return found


def bytes_of(data):
    return {record.path.name: record.path.read_bytes() for record in data.images}


@pytest.mark.parametrize("to", READABLE)
def test_what_is_written_is_read_as_the_same(to, drawn, tmp_path):
    notes = convert(drawn, to, tmp_path / "new")
    data = read_data(tmp_path / "new")

    assert data.format == to
    assert data.classes == CLASSES
    assert content_of(data) == content_of(drawn)
    assert bytes_of(data) == bytes_of(drawn)
    assert [note for note in notes if "no val" not in note] == []
    assert data.notes == ()


@pytest.mark.parametrize("first", READABLE)
@pytest.mark.parametrize("second", READABLE)
def test_there_and_back_is_the_same(first, second, drawn, tmp_path):
    convert(drawn, first, tmp_path / "1")
    one = read_data(tmp_path / "1")
    convert(one, second, tmp_path / "2")
    convert(read_data(tmp_path / "2"), first, tmp_path / "3")
    again = read_data(tmp_path / "3")

    assert again.classes == one.classes
    assert content_of(again) == content_of(one)


@pytest.mark.parametrize("to", READABLE)
def test_one_class_keeps_its_name(to, tmp_path):
    drawn = data_set(tmp_path / "drawn", [("a.png", [(1, mask_of((1, 1, 5, 5)))])], ("lesion",))
    convert(drawn, to, tmp_path / "new")

    assert read_data(tmp_path / "new").classes == ("lesion",)


@pytest.mark.parametrize("to", ["coco", "labelme", "yolo"])
def test_spaces_around_class_names_survive_or_go(to, tmp_path):
    data = data_set(tmp_path / "in", [("a.png", drawn_objects()[:2])], ("Person", "person "))
    convert(data, to, tmp_path / "out")
    second = "person " if to in ("coco", "yolo") else "person"
    assert read_data(tmp_path / "out").classes == ("Person", second)


@pytest.mark.parametrize("to", ["labelme", "id-masks", "label-png"])
def test_classes_that_differ_only_by_outer_spaces_are_refused(to, tmp_path):
    data = data_set(tmp_path / "in", [("a.png", drawn_objects()[:2])], ("y", " y"))
    with pytest.raises(DataError, match="differ only by spaces around 'y'"):
        convert(data, to, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", READABLE)
def test_polygons_fill_the_same_pixels(to, polygons, tmp_path):
    convert(polygons, to, tmp_path / "new")
    data = read_data(tmp_path / "new")

    assert content_of(data) == content_of(polygons)


@pytest.mark.parametrize("to", ["coco", "labelme"])
def test_polygons_stay_as_they_are(to, polygons, tmp_path):
    convert(polygons, to, tmp_path / "new", simplify=3)
    (before,), (after,) = polygons.images, read_data(tmp_path / "new").images
    for one, other in list(zip(before.instances, after.instances, strict=True))[:3]:
        assert one.segmentation == other.segmentation


def test_overlapping_objects_in_id_masks_are_counted(tmp_path):
    objects = [(1, mask_of((0, 0, 10, 10))), (2, mask_of((2, 2, 4, 4))), (3, mask_of((0, 5, 9, 9))),
               (1, mask_of((2, 2, 4, 4)))]  # fmt: skip
    drawn = data_set(tmp_path / "drawn", [("a.png", objects)])
    notes = convert(drawn, "id-masks", tmp_path / "new")
    (record,) = read_data(tmp_path / "new").images

    assert any(note.startswith("44 pixel(s) of objects that later ones cover") for note in notes)
    assert any(note.startswith("1 object(s) left out that later ones cover") for note in notes)
    assert [one.area for one in record.instances] == [60, 36, 4]
    assert [CLASSES[one.label - 1] for one in record.instances] == [CLASSES[0], CLASSES[2],
                                                                     CLASSES[0]]  # fmt: skip


def test_more_objects_than_8_bits_hold(tmp_path):
    masks = [mask_of((x, y, x + 1, y + 1)) for y in range(0, 40, 2) for x in range(0, 56, 2)]
    drawn = data_set(tmp_path / "drawn", [("a.png", [(1, mask) for mask in masks])])
    convert(drawn, "id-masks", tmp_path / "new")

    assert len(masks) > 255
    assert np.asarray(Image.open(tmp_path / "new" / "masks" / "a.png")).max() == len(masks)
    assert content_of(read_data(tmp_path / "new")) == content_of(drawn)


def test_crowds_stay_in_coco_and_are_counted_elsewhere(tmp_path):
    crowd = Instance.from_mask(1, mask_of((0, 0, 9, 9)), iscrowd=1)
    objects = [crowd, (2, mask_of((20, 20, 30, 30))), (2, mask_of((30, 20, 40, 30)))]
    drawn = data_set(tmp_path / "drawn", [("a.png", objects)])

    assert convert(drawn, "coco", tmp_path / "coco") == []
    assert content_of(read_data(tmp_path / "coco")) == content_of(drawn)
    for to in ("labelme", "id-masks", "yolo", "label-png"):
        notes = convert(drawn, to, tmp_path / to)
        assert sum(note.startswith("1 crowd region(s) left out") for note in notes) == 1
        if to in READABLE:
            assert len(read_data(tmp_path / to).images[0].instances) == 2


def test_coco_is_a_file_that_pycocotools_reads(drawn, tmp_path, capsys):
    convert(drawn, "coco", tmp_path / "new")
    content = json.loads((tmp_path / "new" / "annotations.json").read_text(encoding="utf-8"))
    coco = COCO(str(tmp_path / "new" / "annotations.json"))

    assert [entry["id"] for entry in content["annotations"]] == list(range(1, 11))
    assert [entry["name"] for entry in coco.loadCats([1, 2, 3])] == list(CLASSES)
    for record in drawn.images:
        found = coco.loadAnns(coco.getAnnIds([record.image_id]))
        masks = instance_masks(record)
        assert len(found) == len(masks)
        for entry, mask in zip(found, masks, strict=True):
            assert np.array_equal(coco.annToMask(entry), mask)
            assert entry["area"] == mask.sum()


def test_labelme_shapes(drawn, tmp_path):
    convert(drawn, "labelme", tmp_path / "new")
    content = json.loads((tmp_path / "new" / "a.json").read_text(encoding="utf-8"))

    assert content["imagePath"] == "a.png"
    assert (content["imageWidth"], content["imageHeight"]) == (WIDTH, HEIGHT)
    assert content["imageData"] is None
    kinds = [(shape["shape_type"], shape["group_id"]) for shape in content["shapes"]]
    assert kinds == [("mask", None)] + 3 * [("polygon", 2)] + 4 * [("polygon", None)] + [
        ("mask", None)
    ]
    (x1, y1), (x2, y2) = content["shapes"][0]["points"]
    assert (x1, y1, x2, y2) == (2, 2, 13, 11)  # first and last pixel
    assert content["shapes"][4]["points"] == [[40, 6], [40, 5], [41, 5], [41, 6]]


def test_yolo_rows(drawn, tmp_path):
    convert(drawn, "yolo", tmp_path / "new")
    rows = (tmp_path / "new" / "labels" / "c d.txt").read_text().splitlines()

    first = [float(text) for text in rows[0].split()]
    assert first[0] == 0
    assert np.allclose(np.reshape(first[1:], (-1, 2)) * (WIDTH, HEIGHT),
                       [[40, 6], [40, 5], [41, 5], [41, 6]], atol=1e-4)  # fmt: skip
    assert (tmp_path / "new" / "labels" / "b.txt").read_text() == ""
    names = (tmp_path / "new" / "data.yaml").read_text(encoding="utf-8")
    assert names == (
        'train: images\nnames:\n  0: "cell"\n  1: "nucléus"\n  2: "一 thing: #1"\n'
    )  # fmt: skip


def test_mask_classes_table(drawn, tmp_path):
    convert(drawn, "id-masks", tmp_path / "new")
    text = (tmp_path / "new" / "mask_classes.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))

    assert rows[0] == {"mask": "a.png", "id": "1", "class": "cell"}
    assert [row["class"] for row in rows if row["mask"] == "c d.png"] == ["cell", CLASSES[2]]
    listed = (tmp_path / "new" / "label_names.txt").read_text(encoding="utf-8")
    assert listed.splitlines() == ["_background_", *CLASSES]


@pytest.mark.filterwarnings("ignore:no font here")
@pytest.mark.parametrize("by_kind", [False, True])
def test_label_png(by_kind, drawn, tmp_path):
    convert(drawn, "label-png", tmp_path / "new", by_kind=by_kind)
    place = (lambda kind, suffix: f"{kind}/a.{suffix}") if by_kind else (
        lambda kind, suffix: f"a_json/{kind}.{suffix}")  # fmt: skip
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, mask in drawn_objects():
        wanted[mask > 0] = label
    with Image.open(tmp_path / "new" / place("label", "png")) as label:
        assert label.mode == "P"
        assert label.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
        assert np.array_equal(np.asarray(label), wanted)
    image = load_image(tmp_path / "new" / place("img", "png"))
    assert np.array_equal(image, load_image(drawn.images[0].path))
    view = load_image(tmp_path / "new" / place("label_viz", "png")).astype(int)
    inside = (wanted > 0)[:, :, None]
    tint = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]])[wanted]
    assert np.abs(view[:HEIGHT, :WIDTH] - (image.astype(int) + tint) / (1 + inside)).max() <= 0.5
    legend = view[:, WIDTH:].reshape(-1, 3).tolist()
    assert all(colour in legend for colour in ([128, 0, 0], [0, 128, 0], [128, 128, 0]))
    listed = (tmp_path / "new" / place("label_names", "txt")).read_text(encoding="utf-8")
    assert listed.splitlines()[wanted[2, 2]] == "cell"
    assert len(list((tmp_path / "new").rglob("*.*"))) == 16


@pytest.mark.filterwarnings("ignore:no font here")
def test_label_png_decodes_and_draws_every_picture_once(drawn, tmp_path, monkeypatch):
    calls = Counter()

    def counted(work, *args):
        calls[work.__name__] += 1
        return work(*args)

    for module, name in ((converted_images, "load_image"), (label_png_files, "paint_objects")):
        monkeypatch.setattr(module, name, partial(counted, getattr(module, name)))
    convert(drawn, "label-png", tmp_path / "new")

    assert calls == {"load_image": 4, "paint_objects": 4}


def test_label_png_counts_what_another_class_covers(tmp_path):
    objects = [
        (1, mask_of((0, 0, 10, 10))),
        (1, mask_of((5, 5, 12, 12))),
        (2, mask_of((0, 0, 3, 3))),
    ]
    drawn = data_set(tmp_path / "drawn", [("a.png", objects)])
    (note,) = convert(drawn, "label-png", tmp_path / "new")

    assert note.startswith("9 pixel(s) of objects that later ones cover")


def test_label_png_refuses_more_classes_than_a_palette_has(tmp_path):
    names = tuple(f"class {n}" for n in range(256))
    drawn = data_set(tmp_path / "drawn", [("a.png", [(256, mask_of((0, 0, 2, 2)))])], names)
    with pytest.raises(DataError, match="255 classes"):
        convert(drawn, "label-png", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 11), st.integers(1, 11)), elements=st.integers(0, 1)
    )
)
def test_any_mask_as_polygons_is_exact(mask):
    height, width = mask.shape
    record = ImageRecord(1, None, width, height)
    instance = Instance.from_mask(1, mask)
    parts = polygons_of(instance, record, 0)
    if not mask.any():
        assert parts == []
        return
    wanted = instance.segmentation
    if any(region.holes for region in trace(mask)):
        assert parts is None
    else:
        assert to_rle(parts, height, width) == wanted
    shares = [float(f"{share:.17g}") for share in one_polygon(instance, record, 0)]
    assert 0 <= min(shares) <= max(shares) <= 1
    back = [share * (height if i % 2 else width) for i, share in enumerate(shares)]
    assert to_rle([back], height, width) == wanted


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-20, 80).map(lambda v: round(v, 1)), min_size=6, max_size=14)
        .filter(lambda flat: len(flat) % 2 == 0),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_any_polygons_as_one_fill_the_same_pixels(parts):
    record = ImageRecord(1, None, WIDTH, HEIGHT)
    wanted = to_rle(parts, HEIGHT, WIDTH)
    measured = Instance.from_rle(1, wanted)
    if not measured.area:
        return
    shares = one_polygon(replace(measured, segmentation=parts), record, 0)
    back = [share * (HEIGHT if i % 2 else WIDTH) for i, share in enumerate(shares)]
    assert to_rle([back], HEIGHT, WIDTH) == wanted


def distance(point, polygon) -> float:
    """From a point to an outline, the plain way."""
    corners = np.reshape(polygon, (-1, 2))
    nearest = np.inf
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        share = np.clip((point - start) @ (end - start) / max((end - start) @ (end - start), 1e-9),
                        0, 1)  # fmt: skip
        nearest = min(nearest, np.hypot(*(point - start - share * (end - start))))
    return nearest


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 11), st.integers(1, 11)), elements=st.integers(0, 1)
    ),
    st.sampled_from([0.3, 0.5, 0.75, 1.0, 2.0]),
)
def test_every_corner_of_any_mask_lies_near_its_simplified_outline(mask, tolerance):
    regions = trace(mask)
    if not regions or any(region.holes for region in regions):
        return
    height, width = mask.shape
    parts = polygons_of(Instance.from_mask(1, mask), ImageRecord(1, None, width, height), tolerance)
    for region, part in zip(regions, parts, strict=True):
        assert len(part) >= 6
        for corner in np.reshape(region.outer, (-1, 2)):
            assert distance(corner, part) <= tolerance + 1e-9


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (["#"], [0, 0, 1, 0, 1, 1, 0, 1]),
        (["####"], [0, 0, 4, 0, 4, 1, 0, 1]),
        (["##", "##"], [0, 0, 2, 0, 2, 2, 0, 2]),
        # A stair of slope 1: the middles of its steps lie on one line.
        (["#   ", "##  ", "### ", "####"], [0, 0, 1, 0, 1, 0.5, 3.5, 3, 4, 3, 4, 4, 0, 4]),
        # Of slope 1/2, from tip to tip.
        (["##    ", "####  ", "######"], [0, 0, 2, 0, 2, 0.5, 6, 2, 6, 3, 0, 3]),
    ],
)
def test_slanted_sides_go_through_the_middles_of_their_steps(rows, wanted):
    mask = np.array([[letter == "#" for letter in row] for row in rows], np.uint8)
    record = ImageRecord(1, None, mask.shape[1], mask.shape[0])
    (part,) = polygons_of(Instance.from_mask(1, mask), record, 0.75)
    corners = {tuple(corner) for corner in np.reshape(part, (-1, 2)).tolist()}
    assert corners == {tuple(corner) for corner in np.reshape(wanted, (-1, 2)).tolist()}


def test_tips_of_one_pixel_get_no_point_in_their_middle():
    instance = Instance.from_mask(1, np.ones((1, 4), np.uint8))
    (part,) = polygons_of(instance, ImageRecord(1, None, 4, 1), 0.5)
    assert len(part) == 8


@pytest.mark.parametrize("radius", [5.7, 6, 8, 11.5, 20])
def test_a_disc_of_a_hundred_pixels_keeps_its_place_in_few_corners(radius):
    y, x = np.mgrid[:48, :48]
    mask = ((x - 24) ** 2 + (y - 23.5) ** 2 < radius**2).astype(np.uint8)
    instance = Instance.from_mask(1, mask)
    (part,) = polygons_of(instance, ImageRecord(1, None, 48, 48), 0.75)
    back = instance_masks(ImageRecord(1, None, 48, 48, (replace(instance, segmentation=[part]),)))
    assert (back[0] & mask).sum() / (back[0] | mask).sum() >= 0.95
    assert back[0].sum() == pytest.approx(mask.sum(), rel=0.02)
    assert len(part) < 0.75 * len(trace(mask)[0].outer)


@pytest.mark.parametrize("to", ["coco", "labelme", "yolo"])
def test_simplified_outlines_are_near_and_have_fewer_corners(to, tmp_path):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = ((x - 25) ** 2 + (y - 20) ** 2 < 17**2).astype(np.uint8)
    drawn = data_set(tmp_path / "drawn", [("a.png", [(1, disc), (2, mask_of((50, 40, 51, 41)))])])
    convert(drawn, to, tmp_path / "exact")
    convert(drawn, to, tmp_path / "simple", simplify=1)
    (record,) = read_data(tmp_path / "simple").images
    near, dot = instance_masks(record)

    assert (near & disc).sum() / (near | disc).sum() > 0.93
    assert np.array_equal(dot, mask_of((50, 40, 51, 41)))
    simple, exact = (
        sum(len(path.read_bytes()) for path in (tmp_path / name).rglob("*.*")
            if path.suffix in (".txt", ".json"))
        for name in ("simple", "exact")
    )  # fmt: skip
    assert to == "coco" or simple < exact
    assert isinstance(record.instances[0].segmentation, list)
    assert len(record.instances[0].segmentation[0]) < 60


@pytest.mark.parametrize("to", READABLE)
def test_folders_below_are_kept_or_flattened(to, tmp_path):
    objects = drawn_objects()
    drawn = data_set(
        tmp_path / "drawn", [("x/1/a.png", objects), ("x/2/a.png", []), ("x/2/b_mask.png", [])]
    )
    convert(drawn, to, tmp_path / "new")
    data = read_data(tmp_path / "new")
    names = [name.removeprefix("images/") for name in data.names()]

    between = "_" if to == "labelme" else "/"
    assert names == [f"1{between}a.png", f"2{between}a.png", f"2{between}b_mask.png"]
    assert [len(record.instances) for record in data.images] == [len(objects), 0, 0]


def test_a_path_with_dots_stays_inside(tmp_path):
    drawn = data_set(tmp_path / "drawn", [("x/a.png", []), ("b.png", [(1, mask_of((0, 0, 3, 3)))])])
    odd = replace(drawn.images[0], path=tmp_path / "drawn" / "y" / ".." / "x" / "a.png")
    (tmp_path / "drawn" / "y").mkdir()
    convert(replace(drawn, images=(odd, drawn.images[1])), "coco", tmp_path / "new" / "deep")

    files = {path.relative_to(tmp_path / "new").as_posix() for path in
             (tmp_path / "new").rglob("*") if path.is_file()}  # fmt: skip
    assert files == {f"deep/{name}" for name in
                     ("annotations.json", "images/b.png", "images/x/a.png")}  # fmt: skip
    assert read_data(tmp_path / "new" / "deep").names() == ("b.png", "x/a.png")


@pytest.mark.parametrize("to", ["labelme", "id-masks", "yolo"])
def test_names_that_would_collide_are_refused_before_anything_is_written(to, tmp_path):
    drawn = data_set(tmp_path / "drawn", [("a.png", []), ("a.jpg", [(1, mask_of((0, 0, 3, 3)))])])
    with pytest.raises(DataError, match="two pictures of the data set would both have"):
        convert(drawn, to, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    convert(drawn, "coco", tmp_path / "coco")
    assert len(read_data(tmp_path / "coco").images) == 2


def test_names_that_are_not_utf_8_are_refused(drawn, tmp_path):
    odd = replace(drawn.images[0], path=drawn.root / "a\udcff.png")
    with pytest.raises(DataError, match="not UTF-8"):
        convert(replace(drawn, images=(odd,)), "yolo", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("to", FORMATS)
def test_files_that_are_there_stay_unless_told(to, drawn, tmp_path):
    convert(drawn, to, tmp_path / "new")
    states = {p: p.read_bytes() for p in (tmp_path / "new").rglob("*.*") if p.is_file()}
    last = sorted(states)[-1]
    for path in states.keys() - {last}:
        path.unlink()
    with pytest.raises(ConfigError, match="is there already") as error:
        convert(drawn, to, tmp_path / "new")
    assert str(last) in str(error.value)
    assert [p for p in (tmp_path / "new").rglob("*.*") if p.is_file()] == [last]

    last.write_bytes(b"stale")
    convert(drawn, to, tmp_path / "new", overwrite=True)
    assert {p: p.read_bytes() for p in (tmp_path / "new").rglob("*.*") if p.is_file()} == states


def test_what_is_left_of_an_earlier_conversion_is_told(drawn, tmp_path):
    assert convert(drawn, "coco", tmp_path / "new") == []
    (tmp_path / "new" / ".DS_Store").write_text("")
    assert convert(drawn, "coco", tmp_path / "new", overwrite=True) == []
    fewer = replace(drawn, images=drawn.images[2:])
    (note,) = convert(fewer, "coco", tmp_path / "new", overwrite=True)

    assert note.startswith(f"2 other file(s) were in {tmp_path / 'new'} before and stay")
    assert "first 'images/a.png'" in note
    assert (tmp_path / "new" / "images" / "a.png").exists()


def test_pictures_that_links_lead_to_are_not_written_over(drawn, tmp_path):
    (tmp_path / "links").mkdir()
    for record in drawn.images:
        try:
            (tmp_path / "links" / record.path.name).symlink_to(record.path)
        except OSError:
            pytest.skip("needs symbolic links")
    images = [replace(r, path=tmp_path / "links" / r.path.name) for r in drawn.images]
    linked = replace(drawn, root=tmp_path / "links", images=tuple(images))
    with pytest.raises(ConfigError, match="overlaps with the data"):
        convert(linked, "labelme", drawn.root, overwrite=True)


@pytest.mark.parametrize("place", [".", "new", "x/y", ".."])
def test_the_data_and_the_new_folder_lie_apart(place, drawn, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match="overlaps with the data"):
        convert(drawn, "coco", drawn.root / place)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        convert(drawn, "coco", tmp_path / "file")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "file"])


def test_a_file_in_the_place_of_a_folder_is_named(drawn, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "images").write_text("")
    with pytest.raises(ConfigError, match="images: is a file"):
        convert(drawn, "coco", tmp_path / "new", overwrite=True)
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_the_data_is_left_alone(drawn, tmp_path):
    def state():
        return {
            path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in drawn.root.rglob("*.*")
        }

    before = state()
    for to in FORMATS:
        convert(drawn, to, tmp_path / to, size=(30, 30), multiple_of=8)
    assert state() == before


def test_a_damaged_picture_is_named_and_annotations_are_not_written(drawn, tmp_path):
    drawn.images[2].path.unlink()
    with pytest.raises(OSError, match=r"c d\.png"):
        convert(drawn, "coco", tmp_path / "new")
    assert not (tmp_path / "new" / "annotations.json").exists()
    drawn.images[2].path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"c d\.png"):
        convert(drawn, "coco", tmp_path / "other", size=(20, 20))
    assert not list((tmp_path / "other").rglob("*.part"))


@pytest.mark.parametrize("to", READABLE)
def test_parts_stay_parts(to, tmp_path):
    train = data_set(tmp_path / "1", [("a.png", drawn_objects()), ("b.png", [])])
    val = data_set(tmp_path / "2", [("a.png", drawn_objects()[:1])], CLASSES[:1])
    convert({"train": train, "val": val}, to, tmp_path / "new")
    if to == "yolo":
        data = read_data(tmp_path / "new")
        assert data.given_split == (("images/train/a.png", "images/train/b.png"),
                                    ("images/val/a.png",))  # fmt: skip
        parts = [data.subset(names) for names in data.given_split]
    else:
        parts = [read_data(tmp_path / "new" / name) for name in ("train", "val")]
    assert [content_of(part) for part in parts] == [content_of(train), content_of(val)]
    assert [part.classes for part in parts] == [CLASSES, CLASSES]


@pytest.mark.parametrize("to", READABLE)
def test_a_divided_set_stays_divided(to, tmp_path):
    images = [("in/t/a.png", drawn_objects()), ("in/t/b.png", []), ("in/v/c.png", []),
              ("in/v/rest.png", [])]  # fmt: skip
    split = (("in/t/a.png", "in/t/b.png"), ("in/v/c.png",))
    drawn = data_set(tmp_path / "drawn", images, given_split=split)
    notes = convert(drawn, to, tmp_path / "new")

    assert notes == ["1 image(s) in no part of the data left out, first in in/v/rest.png"]
    place = "images/{}/{}" if to == "yolo" else "{}/images/{}" if to != "labelme" else "{}/{}"
    for part, name in (("train", "a.png"), ("train", "b.png"), ("val", "c.png")):
        assert (tmp_path / "new" / place.format(part, name)).is_file()


def test_parts_of_other_classes_are_refused(tmp_path):
    train = data_set(tmp_path / "1", [("a.png", drawn_objects())])
    val = data_set(tmp_path / "2", [("a.png", drawn_objects()[:1])], ("dog", "cat", "cell"))
    with pytest.raises(DataError, match="classes 'dog', 'cat' are not one of"):
        convert({"train": train, "val": val}, "coco", tmp_path / "new")
