"""The VIA reader: both versions, every region shape, where the class comes from, refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from my_dataset import read_data
from utils.data.formats.via import find_via, read_via
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, instance_masks

WIDTH, HEIGHT = 100, 80
POLYGON = {"name": "polygon", "all_points_x": [10, 20, 20, 10], "all_points_y": [10, 10, 20, 20]}


def region(shape=None, **attributes):
    return {"shape_attributes": shape or POLYGON, "region_attributes": attributes}


def entry(name, regions=()):
    return {"filename": name, "size": 1234, "regions": list(regions), "file_attributes": {}}


def write(root, entries, name="via_region_data.json", size=(WIDTH, HEIGHT), draw=True):
    root.mkdir(parents=True, exist_ok=True)
    content = entries
    if isinstance(entries, list):
        content = {f"{e['filename']}{e['size']}": e for e in entries}
        for one in entries if draw else ():
            (root / one["filename"]).parent.mkdir(exist_ok=True)
            Image.new("RGB", size).save(root / one["filename"])
    (root / name).write_text(json.dumps(content), encoding="utf-8")
    return root / name


def one(root, *regions):
    write(root, [entry("a.png", regions)])
    return read_via(root)


def refused(root, *parts):
    with pytest.raises(DataError) as caught:
        read_via(root)
    for part in parts:
        assert part in str(caught.value)


def test_empty_folders_and_files(tmp_path):
    assert find_via(tmp_path) is None
    assert find_via(tmp_path / "gone") is None
    refused(tmp_path, "no VIA data set here", str(tmp_path))
    write(tmp_path, {})
    refused(tmp_path, "via_region_data.json", "names no images")
    write(tmp_path, [entry("a.png")])
    refused(tmp_path, "no object in any annotation file")


def test_images_without_regions_are_kept(tmp_path):
    write(tmp_path, [entry("b.png"), entry("a.png", [region(kind="cat")])])
    Image.new("RGB", (5, 5)).save(tmp_path / "new.png")
    data = read_via(tmp_path)
    assert data.names() == ("a.png", "b.png")
    assert [(r.image_id, len(r.instances)) for r in data.images] == [(1, 1), (2, 0)]
    assert (data.images[0].width, data.images[0].height) == (WIDTH, HEIGHT)
    assert data.notes == (
        "1 image(s) that via_region_data.json does not list left out as unlabelled, first new.png",
    )


def test_versions_and_project_files(tmp_path):
    entries = [entry("a.png", [region(kind="cat"), region(kind="dog")])]
    first = write(tmp_path / "two", entries)
    entries[0]["regions"] = dict(enumerate(entries[0]["regions"]))
    write(tmp_path / "one", entries)
    project = {"_via_settings": {}, "_via_img_metadata": {"a.png1234": entries[0]}}
    last = write(tmp_path / "project", project, "my project.json")
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "project" / "a.png")
    assert find_via(tmp_path / "two") == first
    assert find_via(tmp_path / "project") == last
    prints = {read_via(tmp_path / name).fingerprint() for name in ("one", "two", "project")}
    assert len(prints) == 1
    data = read_via(tmp_path / "project")
    assert (data.classes, data.format) == (("cat", "dog"), "via")
    assert [i.label for i in data.images[0].instances] == [1, 2]


def test_files_of_other_kinds_are_not_taken(tmp_path):
    for name, text in {
        "1": "{",
        "2": "[]",
        "3": '{"images": []}',
        "4": "{}",
        "5": '{"a": {}}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    assert find_via(tmp_path) is None
    path = write(tmp_path, [entry("a.png", [region(kind="cat")])], "6.json")
    assert find_via(tmp_path) == path
    write(tmp_path, [entry("a.png")], "7.json")
    assert read_via(tmp_path).notes == ("6.json was read; 7.json, also a VIA file, was not",)


def test_pictures_may_lie_in_images(tmp_path):
    write(tmp_path, [entry("a.png", [region(kind="cat")])])
    (tmp_path / "images").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "images" / "a.png")
    assert read_via(tmp_path).names() == ("images/a.png",)


def test_a_rotated_photo_is_taken_upright(tmp_path):
    rect = {"name": "rect", "x": 60, "y": 70, "width": 20, "height": 30}
    write(tmp_path, [entry("a.png", [region(rect, kind="cat")])])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (120, 80)).save(tmp_path / "a.png", exif=exif)
    record = read_via(tmp_path).images[0]
    assert (record.width, record.height) == (80, 120)
    assert record.instances[0].bbox == (60, 70, 20, 30)


def test_polygon_and_rect_are_exact(tmp_path):
    rect = {"name": "rect", "x": 30, "y": 40, "width": 20, "height": 10}
    data = one(tmp_path, region(kind="cat"), region(rect, kind="cat"))
    found = data.images[0].instances
    assert [(i.area, i.bbox) for i in found] == [(100, (10, 10, 10, 10)), (200, (30, 40, 20, 10))]
    assert found[0].segmentation == [[10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0]]


@pytest.mark.parametrize(
    ("shape", "rx", "ry", "theta"),
    [
        ({"name": "circle", "cx": 50, "cy": 40, "r": 25.5}, 25.5, 25.5, 0),
        ({"name": "ellipse", "cx": 50, "cy": 40, "rx": 40, "ry": 20}, 40, 20, 0),
        ({"name": "ellipse", "cx": 50, "cy": 40, "rx": 35, "ry": 20, "theta": 0.6}, 35, 20, 0.6),
        ({"name": "ellipse", "cx": 50, "cy": 40, "rx": 35, "ry": 20, "theta": None}, 35, 20, 0),
    ],
)
def test_curves_against_pixels(tmp_path, shape, rx, ry, theta):
    found = instance_masks(one(tmp_path, region(shape, kind="cat")).images[0])[0] > 0
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    dx, dy = columns - 50, rows - 40
    along = dx * math.cos(theta) + dy * math.sin(theta)
    across = dy * math.cos(theta) - dx * math.sin(theta)
    expected = (along / rx) ** 2 + (across / ry) ** 2 <= 1
    assert (found & expected).sum() / (found | expected).sum() >= 0.98


def test_what_has_no_area_is_left_out_and_counted(tmp_path):
    short = {"name": "polygon", "all_points_x": [1, 5], "all_points_y": [1, 5]}
    outside = {"name": "rect", "x": 200, "y": 0, "width": 5, "height": 5}
    data = one(
        tmp_path,
        region(kind="cat"),
        region({"name": "point", "cx": 1, "cy": 1}),
        region({"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]}),
        region(short, kind="cat"),
        region(outside, kind="dog"),
        region({"name": "circle", "cx": 5, "cy": 5, "r": 0}, kind="cat"),
        region(kind="_background_"),
    )
    assert len(data.images[0].instances) == 1
    assert data.classes == ("cat",)
    notes = "\n".join(data.notes)
    assert "1 point region(s) left out" in notes
    assert "1 polyline region(s) left out" in notes
    assert "1 outline(s) with too few points" in notes
    assert "2 object(s) without a pixel" in notes
    assert "1 region(s) of class '_background_'" in notes


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"whatever": "cat"}, "cat"),
        ({"colour": "red", "Class": "cat"}, "cat"),
        ({"colour": "red", "label": "cat"}, "cat"),
        ({"name": "cat", "type": "x"}, "cat"),
        ({"type": {"cat": True, "dog": False}}, "cat"),
        ({"number": 7}, "7"),
        ({}, "object"),
    ],
)
def test_where_the_class_comes_from(tmp_path, attributes, name):
    data = one(tmp_path, region(**attributes))
    assert data.classes == (name,)
    assert any("no attributes" in note for note in data.notes) == (not attributes)


def test_the_users_attribute_is_the_class(tmp_path):
    attributes = {"class": "animal", "colour": "red", "size": "big"}
    write(tmp_path, [entry("a.png", [region(**attributes)]), entry("b.png")])
    for chosen, name in (("", "animal"), ("colour", "red"), ("size", "big")):
        data = read_data(tmp_path, options=ReadOptions(class_attribute=chosen))
        assert data.classes == (name,)
    with pytest.raises(DataError) as caught:
        read_via(tmp_path, "color")
    for part in ("no region has the attribute 'color'", "'class', 'colour', 'size'"):
        assert part in str(caught.value)
    write(tmp_path, [entry("a.png", [region(**attributes), region(size="big")])])
    with pytest.raises(DataError, match=r"regions\[1\].*\['colour'\] is missing or empty"):
        read_via(tmp_path, "colour")
    write(tmp_path, [entry("a.png", [region()])])
    with pytest.raises(DataError, match="they have no attributes"):
        read_via(tmp_path, "colour")


def test_a_part_without_regions_lacks_no_attribute(tmp_path):
    write(tmp_path, [entry("a.png")])
    (tmp_path / "classes.txt").write_text("red")
    assert read_via(tmp_path, "colour").classes == ("red",)


def test_all_problems_at_once_or_the_good_images(tmp_path):
    good = entry("good.png", [region(kind="cat"), region(kind="dog")])
    bad = [entry("regions.png", [region(kind="cat"), region({"name": "star"}, kind="x"), region()])]
    bad += [entry("types.png", [5, {"shape_attributes": 5}]), entry("twice.png")]
    bad += [entry("damaged.png"), entry("gone.png"), entry("../a.png")]
    write(tmp_path, [good, *bad])
    (tmp_path / "gone.png").unlink()
    (tmp_path / "damaged.png").write_bytes(b"")
    content = json.loads((tmp_path / "via_region_data.json").read_text())
    content["again"] = entry("twice.png", [region(kind="cat")])
    (tmp_path / "via_region_data.json").write_text(json.dumps(content))
    parts = ["regions.png1234': regions[1].shape_attributes.name is 'star'",
             "regions.png1234': regions[2].region_attributes['kind'] is missing",
             "types.png1234': regions[0] is 5", "regions[1].shape_attributes is 5",
             "'twice.png' is listed twice", "damaged.png: is empty", "'gone.png' is not in",
             "not a file inside"]  # fmt: skip
    refused(tmp_path, "8 problem(s) in 8 image(s)", *parts)
    problems = []
    data = read_data(tmp_path, problems=problems)
    assert len(problems) == 8
    assert all(any(part in problem for problem in problems) for part in parts)
    assert (data.names(), data.classes) == (("good.png",), ("cat", "dog"))
    assert data.notes == ()  # pictures of wrong entries are not called unlabelled


@pytest.mark.parametrize(
    ("regions", "parts"),
    [
        ([region(colour="red", size="big")], ["'colour', 'size'", "--class-attribute", "rename"]),
        ([region(kind="cat"), region()], ["regions[1]", "['kind'] is missing or empty"]),
        ([region(kind="")], ["missing or empty"]),
        ([region(kind={"cat": True, "dog": True})], ["2 boxes ticked ('cat', 'dog')"]),
        ([region(kind={})], ["0 boxes ticked"]),
        ([region(kind=[1])], ["is a list of 1, must be a class name"]),
        ([region(kind=True)], ["is True, must be a class name"]),
        ([region(kind="\x1b[2J")], ["control characters"]),
        ([5], ["regions[0] is 5"]),
        ([{"shape_attributes": 5}], ["regions[0].shape_attributes is 5"]),
        ([{}], ["regions[0].shape_attributes is None"]),
        ([region(kind="cat") | {"region_attributes": []}], ["region_attributes is a list of 0"]),
        ([region({"name": "star"}, kind="cat")], [".name is 'star'", "polygon"]),
        ([region({"name": []}, kind="cat")], [".name is a list of 0"]),
        ([region({"name": "polygon"}, kind="cat")], ["all_points_x is None"]),
        ([region(POLYGON | {"all_points_x": [1, 2]}, kind="cat")], ["2 numbers", "all_points_y 4"]),
        ([region(POLYGON | {"all_points_y": [1, "2"]}, kind="c")], ["all_points_y[1] is '2'"]),
        ([region({"name": "circle", "cx": 1, "cy": 1}, kind="cat")], [".r is None"]),
        ([region({"name": "circle", "cx": 1, "cy": 1, "r": -1}, kind="c")], [".r is -1, must"]),
        ([region({"name": "rect", "x": "1"}, kind="cat")], [".x is '1'"]),
    ],
)  # fmt: skip
def test_wrong_regions_are_named(tmp_path, regions, parts):
    write(tmp_path, [entry("a.png", regions)])
    refused(tmp_path, "via_region_data.json", *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ([], ["a list of 0"]),
        ({"a": 5}, ["image 'a' is 5"]),
        ({"a": {"regions": []}}, ["filename is None"]),
        ({"a": {"filename": "a.png"}}, ["regions is None"]),
        ({"_via_img_metadata": []}, ["a list of 0"]),
        ({"1": entry("a.png"), "2": entry("a.png")}, ["'a.png' is listed twice"]),
    ],
)
def test_wrong_files_are_named(tmp_path, content, parts):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    (tmp_path / "via_region_data.json").write_text(json.dumps(content))
    refused(tmp_path, "via_region_data.json", *parts)


def test_missing_pictures_are_listed(tmp_path):
    write(tmp_path, [entry(f"{n:02}.png") for n in range(12)], draw=False)
    refused(
        tmp_path,
        "12 problem(s) in 12 image(s)",
        "'00.png' is not in",
        "'09.png' is not in",
        "and 2 more",
    )
    write(tmp_path, [entry("x" * 5000)], draw=False)
    refused(tmp_path, "not a file inside")


@pytest.mark.parametrize(
    "name",
    ["../a.png", "..\\a.png", "/etc/passwd", "C:\\x", "\\\\h\\s", "", "a\x00", "sub/../../a.png"],
)
def test_paths_that_lead_away_are_refused(tmp_path, name):
    Image.new("RGB", (5, 5)).save(tmp_path / "a.png")
    write(tmp_path / "root", [entry(name)], draw=False)
    refused(tmp_path / "root", "via_region_data.json", "not a file inside")


def test_a_class_list_gives_the_order(tmp_path):
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    data = one(tmp_path, region(kind="cat"))
    assert (data.classes, data.images[0].instances[0].label) == (("dog", "cat"), 2)
    (tmp_path / "classes.txt").write_text("dog\ncats\n")
    refused(tmp_path, "'cat'", "nearest: 'cats'")


def check_records(data):
    """Every object has pixels, and its label and area are right."""
    for record in data.images:
        for mask, instance in zip(instance_masks(record), record.instances, strict=True):
            assert 1 <= instance.label <= len(data.classes)
            assert instance.area == mask.sum() > 0


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
JSON = st.recursive(
    SCALARS, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(), kids, max_size=2)
)
COORDINATES = st.floats(-1e12, 1e12) | st.integers(-20, 120) | st.just(10**400)
LISTS = st.lists(COORDINATES, min_size=3, max_size=4) | JSON
SHAPES = st.fixed_dictionaries(
    {"name": st.sampled_from(["polygon", "rect", "circle", "ellipse", "point"]) | JSON},
    optional={"all_points_x": LISTS, "all_points_y": LISTS, "theta": COORDINATES | JSON}
    | dict.fromkeys(("x", "y", "width", "height"), COORDINATES | JSON)
    | dict.fromkeys(("cx", "cy", "r", "rx", "ry"), COORDINATES | JSON),
)
REGIONS = st.fixed_dictionaries(
    {"shape_attributes": SHAPES | JSON},
    optional={"region_attributes": st.dictionaries(st.sampled_from(["kind"]), JSON) | JSON},
)
ENTRIES = st.fixed_dictionaries(
    {"filename": st.just("a.png") | JSON, "regions": st.lists(REGIONS | JSON, max_size=3) | JSON}
)


LENGTHS = st.floats(0, 1e12) | st.integers(0, 120)
SOUND_SHAPES = st.one_of(
    st.fixed_dictionaries({"name": st.just(name)} | fields)
    for name, fields in {
        "rect": {"x": COORDINATES, "y": COORDINATES, "width": LENGTHS, "height": LENGTHS},
        "circle": {"cx": COORDINATES, "cy": COORDINATES, "r": LENGTHS},
        "ellipse": {"cx": COORDINATES, "cy": COORDINATES, "rx": LENGTHS, "ry": LENGTHS,
                    "theta": COORDINATES},
        "polygon": dict.fromkeys(("all_points_x", "all_points_y"),
                                 st.lists(COORDINATES, min_size=4, max_size=4)),
    }.items()
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SOUND_SHAPES, max_size=5))
def test_any_coordinates_give_records(tmp_path_factory, shapes):
    root = tmp_path_factory.getbasetemp() / "sound_via"
    data = one(root, region(kind="cat"), *(region(shape, kind="dog") for shape in shapes))
    assert 1 <= len(data.images[0].instances) <= 1 + len(shapes)
    check_records(data)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.text(max_size=3), ENTRIES | JSON, min_size=1, max_size=2) | JSON)
def test_any_json_gives_records_or_one_error(tmp_path_factory, content):
    root = tmp_path_factory.getbasetemp() / "any_via"
    root.mkdir(exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "a.png")
    (root / "via_region_data.json").write_text(json.dumps(content))
    data, message = None, ""
    try:
        data = read_via(root)
    except DataError as error:
        message = str(error)
    if data is None:
        assert "any_via" in message
        return
    check_records(data)
