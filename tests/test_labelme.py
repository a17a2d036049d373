"""The labelme reader: shapes against pycocotools and numpy, folders, pictures, refusals."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from my_dataset import InstanceDataset, read_data
from utils.data.formats.labelme import find_labelme, read_labelme
from utils.data.images import load_image
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, instance_masks

WIDTH, HEIGHT = 60, 40
SQUARE = [[10, 10], [20, 10], [20, 20], [10, 20]]


def shape(label="cat", points=None, kind="polygon", **more):
    points = SQUARE if points is None else points
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, **more}


def picture(path, size=(WIDTH, HEIGHT), orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def label(path, shapes=(), image_path=None, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = list(shapes) if isinstance(shapes, tuple) else shapes
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes,
               "imagePath": image_path or f"{path.stem}.jpg", "imageData": None,
               "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}  # fmt: skip
    content = {key: value for key, value in content.items() if value != "absent"}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def one(root, *shapes, **more):
    """A data set of one picture."""
    picture(root / "a.jpg")
    label(root / "a.json", shapes, **more)
    return read_labelme(root)


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def refused(root, *parts):
    """The message of the one error, which must hold all ``parts``."""
    with pytest.raises(DataError) as caught:
        read_labelme(root)
    for part in parts:
        assert part in str(caught.value)


def test_empty_folders_hold_no_data_set(tmp_path):
    assert find_labelme(tmp_path) is None
    assert find_labelme(tmp_path / "gone") is None
    refused(tmp_path, "no labelme data set here", str(tmp_path))
    refused(tmp_path / "gone", "no labelme data set here")


def test_a_file_without_shapes_is_an_image_without_objects(tmp_path):
    picture(tmp_path / "b.jpg")
    label(tmp_path / "b.json")
    refused(tmp_path, "no object in any annotation file", "label_names.txt")
    data = one(tmp_path, shape())
    assert [len(r.instances) for r in data.images] == [1, 0]
    assert data.notes == ()
    assert [r.image_id for r in data.images] == [1, 2]
    assert data.names() == ("a.jpg", "b.jpg")
    assert (data.images[1].width, data.images[1].height) == (WIDTH, HEIGHT)


def test_a_polygon_stays_a_polygon(tmp_path):
    points = [[5.5, 4.25], [30.0, 6.0], [18.0, 33.0]]
    instance = one(tmp_path, shape(points=points)).images[0].instances[0]
    flat = [5.5, 4.25, 30.0, 6.0, 18.0, 33.0]
    assert instance.segmentation == [flat]
    rle = coco_mask.frPyObjects([flat], HEIGHT, WIDTH)[0]
    assert instance.area == coco_mask.area(rle)
    assert instance.bbox == tuple(coco_mask.toBbox(rle))


def box(x1, y1, x2, y2):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        (None, SQUARE, box(10, 10, 20, 20)),
        ("rectangle", [[10, 10], [20, 20]], box(10, 10, 20, 20)),
        ("rectangle", [[20, 10], [10, 20]], box(10, 10, 20, 20)),
        ("rectangle", [[20, 20], [10, 10]], box(10, 10, 20, 20)),
        ("rectangle", SQUARE, box(10, 10, 20, 20)),
        ("oriented_rectangle", [[10, 20], [10, 10], [20, 10], [20, 20]], box(10, 10, 20, 20)),
        ("polygon", [[50, 30], [90, 30], [90, 90], [50, 90]], box(50, 30, 60, 40)),
    ],
)
def test_straight_shapes(tmp_path, kind, points, expected):
    data = one(tmp_path, shape(points=points, kind=kind))
    assert np.array_equal(instance_masks(data.images[0])[0], expected)


def test_circle_is_a_disc(tmp_path):
    picture(tmp_path / "a.jpg", (100, 90))
    circle = shape(points=[[50, 45], [50 + 18, 45 + 24]], kind="circle")  # radius 30
    label(tmp_path / "a.json", [circle], imageWidth=100, imageHeight=90)
    found = instance_masks(read_labelme(tmp_path).images[0])[0] > 0
    rows, columns = np.mgrid[:90, :100] + 0.5
    disc = (columns - 50) ** 2 + (rows - 45) ** 2 <= 30**2
    assert (found & disc).sum() / (found | disc).sum() >= 0.98


def test_mask_shape_keeps_its_hole(tmp_path):
    ring = np.ones((10, 12), np.uint8)
    ring[3:6, 4:8] = 0
    data = one(tmp_path, shape(points=[[20, 15], [31, 24]], kind="mask", mask=png(ring)))
    expected = box(0, 0, 0, 0)
    expected[15:25, 20:32] = ring
    assert np.array_equal(instance_masks(data.images[0])[0], expected)
    instance = data.images[0].instances[0]
    assert isinstance(instance.segmentation, dict)
    assert (instance.area, instance.bbox) == (108, (20, 15, 12, 10))


def test_parts_are_joined_by_label_and_group(tmp_path):
    mask = png(np.ones((4, 4), np.uint8))
    far = [[40, 10], [50, 10], [50, 20], [40, 20]]
    data = one(
        tmp_path,
        shape("cat", group_id=1),
        shape("dog", group_id=1),
        shape("cat"),
        shape("cat", far, group_id=1),
        shape("cat", far),
        shape("dog", [[30, 30], [33, 33]], "mask", group_id=1, mask=mask),
    )
    found = [(i.label, i.area, i.bbox) for i in data.images[0].instances]
    assert data.classes == ("cat", "dog")
    assert found == [
        (1, 200, (10, 10, 40, 10)),
        (2, 116, (10, 10, 24, 24)),
        (1, 100, (10, 10, 10, 10)),
        (1, 100, (40, 10, 10, 10)),
    ]


def test_what_has_no_area_is_left_out_and_counted(tmp_path):
    kinds = ("point", "points", "line", "linestrip", "line")
    data = one(
        tmp_path,
        shape(),
        *(shape(points=[[1, 1]], kind=kind) for kind in kinds),
        shape(points=[[1, 1], [5, 5]]),
        shape(points=[]),
        shape(points=[[1, 1]], kind="rectangle"),
        shape(points=[[70, 50], [80, 50], [80, 60]]),
        shape(points=[[3, 3], [5, 5]], kind="rectangle", group_id=3),
        shape(points=[[3, 3], [3, 3]], kind="circle"),
        shape("_background_"),
        shape("__ignore__"),
    )
    assert len(data.images[0].instances) == 2
    assert data.classes == ("cat",)
    notes = "\n".join(data.notes)
    assert "2 line shape(s) left out, they have no area, first in a.json shapes[3]" in notes
    assert "1 linestrip" in notes
    assert "3 outline(s) with too few points" in notes
    assert "2 object(s) without a pixel" in notes
    assert "1 shape(s) labelled '_background_'" in notes


def test_version_3_lacks_sizes_groups_and_types(tmp_path):
    old = {"label": "cat", "points": SQUARE, "line_color": None, "fill_color": None}
    data = one(tmp_path, old, version="3.16.2", imageHeight="absent", imageWidth="absent")
    assert data.images[0].instances[0].area == 100


def make_pair(folder, names=("a", "b")):
    for name in names:
        picture(folder / f"{name}.jpg")
        label(folder.with_name(f"{folder.name}_json") / f"{name}.json", [shape()])


@pytest.mark.parametrize("json_folder", ["labelme_json", "json"])
@pytest.mark.parametrize("image_folder", ["pic", "images"])
@pytest.mark.parametrize("image_path", ["a.jpg", "..\\{}\\a.jpg", "../{}/a.jpg", "../old/a.jpg"])
def test_json_folder_beside_image_folder(tmp_path, json_folder, image_folder, image_path):
    picture(tmp_path / image_folder / "a.jpg")
    picture(tmp_path / image_folder / "new.jpg")
    image_path = image_path.format(image_folder)
    source = label(tmp_path / json_folder / "a.json", [shape()], image_path)
    assert find_labelme(tmp_path) == [source]
    data = read_labelme(tmp_path)
    assert data.names() == (f"{image_folder}/a.jpg",)
    assert data.notes == (
        "1 image(s) without a JSON file left out as unlabelled, first in "
        f"{tmp_path / image_folder / 'new.jpg'}",
    )


def test_train_and_train_json(tmp_path):
    make_pair(tmp_path / "set" / "train")
    for root in (tmp_path / "set", tmp_path / "set" / "train", tmp_path / "set" / "train_json"):
        assert len(find_labelme(root)) == 2
        data = read_labelme(root)
        assert [name.split("/")[-1] for name in data.names()] == ["a.jpg", "b.jpg"]
        assert [r.path.parent.name for r in data.images] == ["train", "train"]
    make_pair(tmp_path / "set" / "test")
    refused(tmp_path / "set", "2 labelled folders (test, train)", "--val-data")
    assert len(read_labelme(tmp_path / "set" / "test").images) == 2


def test_the_class_list_may_lie_beside_the_pair(tmp_path):
    make_pair(tmp_path / "train")
    (tmp_path / "labelmap.pbtxt").write_text("item { id: 1 name: 'dog' } item { id: 2 name: 'cat'}")
    for root in (tmp_path, tmp_path / "train", tmp_path / "train_json"):
        data = read_labelme(root)
        assert data.classes == ("dog", "cat")
        assert data.images[0].instances[0].label == 2
    (tmp_path / "labelmap.pbtxt").write_text("item { id: 1 name: 'cats' }")
    refused(tmp_path / "train", "'cat'", "nearest: 'cats'", "labelmap.pbtxt")


def test_a_relative_root(tmp_path, monkeypatch):
    make_pair(tmp_path / "train")
    monkeypatch.chdir(tmp_path)
    assert len(read_labelme("train").names()) == 2
    assert len(read_labelme(".").names()) == 2
    monkeypatch.chdir(tmp_path / "train")
    assert len(read_labelme(".").names()) == 2


@pytest.mark.parametrize(
    ("file", "image_path"),
    [
        ("a.JPG", "a.jpg"),
        ("a.png", "a.jpg"),
        ("图像 1 é.jpg", "图像 1 é.jpg"),
        ("sub/a.jpg", "sub\\a.jpg"),
        ("a.jpg", "C:\\Users\\me\\a.jpg"),
        ("a.jpg", "\\\\host\\share\\a.jpg"),
        ("a.jpg", "/home/me/a.jpg"),
        ("a.jpg", "../../a.jpg"),
        ("a.jpg", "./a.jpg"),
    ],
)
def test_pictures_are_found(tmp_path, file, image_path):
    picture(tmp_path / file)
    label(tmp_path / "x.json", [shape()], image_path)
    data = read_labelme(tmp_path)
    assert data.names() == (file,)
    assert data.notes == ()


def test_a_renamed_pair_is_found_and_noted(tmp_path):
    data = one(tmp_path, shape(), image_path="before.jpg")
    assert data.names() == ("a.jpg",)
    assert "1 picture(s) found by their JSON's name" in data.notes[0]


@pytest.mark.parametrize(
    "image_path",
    ["../secret.png", "..\\secret.png", "../../etc/passwd", "/etc/passwd", "C:\\x", "\\\\h\\s",
     "sub/../../secret.png", "link.png", "../a.txt"],
)  # fmt: skip
def test_paths_that_lead_away_are_refused(tmp_path, image_path):
    picture(tmp_path / "secret.png")
    root = tmp_path / "root"
    source = label(root / "b.json", [shape()], image_path)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "sub").mkdir()
    refused(root, str(root), "link" if image_path == "link.png" else source.name)


@pytest.mark.parametrize("image_path", ["gone.jpg", "\x00", "\ud800", "x" * 5000, "..", ".", "/"])
def test_missing_pictures(tmp_path, image_path):
    label(tmp_path / "a.json", [shape()], image_path)
    refused(tmp_path, "a.json", "imagePath is ", "put it there or correct imagePath")
    label(tmp_path / "a.json", [shape()], image_path, imageData="QUJD")
    refused(tmp_path, "a.json", "only embedded in the file (imageData)")


def test_two_pictures_or_two_files_for_one(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.bmp")
    label(tmp_path / "x.json", [shape()], "a.jpg")
    refused(tmp_path, "x.json", "a.bmp", "a.png", "rename one")
    picture(tmp_path / "a.jpg")
    label(tmp_path / "y.json", [shape()], "a.jpg")
    refused(tmp_path, "x.json", "y.json", "both belong to a.jpg")


def test_sizes_are_those_of_the_upright_picture(tmp_path):
    picture(tmp_path / "a.jpg", orientation=6)
    upright = {"imageWidth": HEIGHT, "imageHeight": WIDTH}
    label(tmp_path / "a.json", [shape()], **upright)
    record = read_labelme(tmp_path).images[0]
    assert (record.width, record.height) == (HEIGHT, WIDTH)
    label(tmp_path / "a.json", [shape()])
    refused(tmp_path, "a.json", "60x40", "40x60", "EXIF rotation")
    label(tmp_path / "a.json", [shape()], **(upright | {"imageWidth": 41}))
    refused(tmp_path, "a.json", "41x60", "40x60", "must be equal")


def embedded(size=(WIDTH, HEIGHT), colour="black", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG", **options)
    return base64.b64encode(buffer.getvalue()).decode()


def test_embedded_pictures_are_ignored_beside_a_file(tmp_path):
    assert len(one(tmp_path, shape(), imageData="no picture at all").images) == 1
    data = read_labelme(tmp_path, embedded_images=True)
    assert (data.names(), data.notes) == (("a.jpg",), ())


def test_embedded_pictures_are_read_if_asked_for(tmp_path):
    label(tmp_path / "b.json", [shape()], "C:\\x\\a.jpg", imageData=embedded(colour="red"))
    label(tmp_path / "c.json", imageData=embedded(colour="blue"), image_path="../../a.jpg")
    label(tmp_path / "d.json", [shape()])
    picture(tmp_path / "d.jpg")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    refused(tmp_path, "b.json", "c.json", "--embedded-images", "2 problem(s) in 3")
    data = read_data(tmp_path, options=ReadOptions(embedded_images=True))
    assert data.names() == ("b.json", "c.json", "d.jpg")  # two for one imagePath do not clash
    assert [len(record.instances) for record in data.images] == [1, 0, 1]
    assert [load_image(record.path)[0, 0].tolist() for record in data.images] == [
        [255, 0, 0], [0, 0, 255], [0, 0, 0],
    ]  # fmt: skip
    assert data.notes == (
        "2 picture(s) taken from imageData, no file of their name is here, first in b.json",
    )
    image, target = InstanceDataset(data)[0]
    assert image.shape == (3, HEIGHT, WIDTH)
    assert len(target["labels"]) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_embedded_pictures_beside_a_folder_of_pictures(tmp_path):
    make_pair(tmp_path / "train")
    label(tmp_path / "train_json" / "c.json", imageData=embedded())
    data = read_labelme(tmp_path, embedded_images=True)
    assert data.names() == ("train/a.jpg", "train/b.jpg", "train_json/c.json")
    with pytest.raises(DataError, match="name the folder that holds both"):
        read_labelme(tmp_path / "train", embedded_images=True)


def test_sizes_and_contents_of_embedded_pictures_are_checked(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    label(tmp_path / "a.json", [shape()], imageData=embedded((HEIGHT, WIDTH), exif=exif))
    record = read_labelme(tmp_path, embedded_images=True).images[0]
    assert (record.width, record.height) == (WIDTH, HEIGHT)
    label(tmp_path / "b.json", imageData=embedded(exif=exif))
    label(tmp_path / "c.json", imageData="QUJD")
    label(tmp_path / "d.json", imageData="")
    label(tmp_path / "e.json", imageData=[1])
    with pytest.raises(DataError) as caught:
        read_labelme(tmp_path, embedded_images=True)
    problems = caught.value.problems
    wanted = (
        "EXIF rotation",
        "not a picture Pillow can read",
        "correct imagePath.",
        "no picture (",
    )
    assert len(problems) == len(wanted)
    for name, part, problem in zip("bcde", wanted, problems, strict=True):
        assert problem.startswith(str(tmp_path / f"{name}.json"))
        assert part in problem


def test_all_problems_at_once_or_the_good_images(tmp_path):
    for name in "abcdeg":
        picture(tmp_path / f"{name}.jpg")
    label(tmp_path / "a.json", [shape()])
    label(tmp_path / "b.json", [shape(label=3), shape(), shape(kind="star")])
    (tmp_path / "c.json").write_text("{")
    label(tmp_path / "d.json", [shape()], imageWidth=5)
    label(tmp_path / "e.json", [shape("dog")])
    label(tmp_path / "f.json", [shape()])
    label(tmp_path / "g.json", [shape()])
    label(tmp_path / "h.json", [shape()], "g.jpg")
    parts = ("b.json: shapes[0].label is 3", "b.json: shapes[2].shape_type is 'star'",
             "c.json: cannot be read as JSON", "d.json: imageWidth", "f.json: imagePath is 'f.jpg'",
             "both belong to g.jpg")  # fmt: skip
    refused(tmp_path, "6 problem(s) in 8 image(s)", *parts)
    problems = []
    data = read_data(tmp_path, problems=problems)
    assert len(problems) == 6
    assert all(part in problem for part, problem in zip(parts, problems, strict=True))
    assert (data.names(), data.classes) == (("a.jpg", "e.jpg"), ("cat", "dog"))
    assert data.notes == ()  # g.jpg is not called unlabelled


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"shapes": {}}, ["shapes is an object", "must be a list"]),
        ({"shapes": "absent"}, ["shapes is None"]),
        ({"shapes": [5]}, ["shapes[0] is 5"]),
        ({"imagePath": 5}, ["imagePath is 5"]),
        ({"imagePath": "absent"}, ["imagePath is None"]),
        ({"imageWidth": "60"}, ["imageWidth is '60'"]),
        ({"imageWidth": 60.5}, ["imageWidth is 60.5"]),
        ({"imageHeight": True}, ["imageHeight is True"]),
        ({"shapes": [shape(label=3)]}, ["shapes[0].label is 3"]),
        ({"shapes": [shape(label=" ")]}, ["shapes[0].label", "no class name"]),
        ({"shapes": [shape(label="\x1b[2J")]}, ["shapes[0].label", "control characters"]),
        ({"shapes": [shape(kind="star")]}, ["shapes[0].shape_type is 'star'", "polygon"]),
        ({"shapes": [shape(kind=[1])]}, ["shapes[0].shape_type is a list of 1"]),
        ({"shapes": [shape(group_id=[1])]}, ["shapes[0].group_id is a list of 1"]),
        ({"shapes": [shape(points=None), shape(points=7)]}, ["shapes[1].points is 7"]),
        ({"shapes": [shape(points=[[1, 2], [3]])]}, ["shapes[0].points[1] is a list of 1"]),
        ({"shapes": [shape(points=[[1, 2], [3, "4"]])]}, ["shapes[0].points[1][1] is '4'"]),
        ({"shapes": [shape(points=[[1, 2], [None, 4]])]}, ["shapes[0].points[1][0] is None"]),
        ({"shapes": [shape(points=[[1, float("nan")]])]}, ["NaN"]),
        ({"shapes": [shape(points=SQUARE[:3], kind="circle")]}, ["holds 3 points", "circle has 2"]),
        ({"shapes": [shape(points=SQUARE[:3], kind="rectangle")]}, ["3 points", "2 or 4"]),
        ({"shapes": [shape(points=SQUARE[:1], kind="mask")]}, ["1 points", "mask has 2"]),
        ({"shapes": [shape(points=SQUARE[:2], kind="mask")]}, ["shapes[0].mask is None"]),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(tmp_path, change, parts):
    picture(tmp_path / "a.jpg")
    label(tmp_path / "0.json", [shape()], "b.jpg")  # the folder is labelme's all the same
    picture(tmp_path / "b.jpg")
    label(tmp_path / "a.json", **change)
    refused(tmp_path, "a.json", *parts)


def test_damaged_and_foreign_files(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    refused(tmp_path, "bad.json", "cannot be read as JSON")
    picture(tmp_path / "a.jpg")
    label(tmp_path / "a.json", [shape()])
    refused(tmp_path, "bad.json", "cannot be read as JSON")
    (tmp_path / "bad.json").write_text('{"images": []}')
    assert read_labelme(tmp_path).notes == (
        "1 JSON file(s) of another kind left out, first in bad.json",
    )


def check_records(data):
    """Every object has pixels, and its label, area and box are right."""
    for record in data.images:
        masks = instance_masks(record)
        for mask, instance in zip(masks, record.instances, strict=True):
            assert 1 <= instance.label <= len(data.classes)
            assert instance.area == mask.sum() > 0
            ys, xs = np.nonzero(mask)
            x, y, width, height = instance.bbox
            assert (x, y) == (xs.min(), ys.min())
            assert (x + width, y + height) == (xs.max() + 1, ys.max() + 1)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
JSON = st.recursive(
    SCALARS, lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(), kids, max_size=2)
)
COORDINATES = st.floats(-1e12, 1e12) | st.integers(-20, 80) | st.just(10**400)
SHAPES = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["cat", "dog", "_background_"]) | JSON,
        "points": st.lists(st.lists(COORDINATES, min_size=2, max_size=2), max_size=5) | JSON,
        "shape_type": st.sampled_from(["polygon", "rectangle", "circle", "mask", "line"]) | JSON,
    },
    optional={
        "group_id": st.integers(0, 1) | JSON,
        "mask": st.just(png(np.ones((3, 3), np.uint8))) | JSON,
    },
)


POINTS = st.lists(st.tuples(COORDINATES, COORDINATES).map(list), min_size=4, max_size=4)
GROUPS = st.none() | st.integers(0, 1)
SOUND_SHAPES = st.builds(
    lambda kind, points, group: shape("cat", points[:2] if kind == "circle" else points, kind,
                                      group_id=group),
    st.sampled_from(["polygon", "rectangle", "circle", "oriented_rectangle"]), POINTS, GROUPS,
) | st.builds(
    lambda x, y, group: shape("dog", [[x, y], [x + 2, y + 2]], "mask", group_id=group,
                              mask=png(np.ones((3, 3), np.uint8))),
    st.integers(-5, 70), st.integers(-5, 50), GROUPS,
)  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SOUND_SHAPES, max_size=5))
def test_any_coordinates_give_records(tmp_path_factory, shapes):
    data = one(tmp_path_factory.getbasetemp() / "sound_labelme", shape("bird"), *shapes)
    assert 1 <= len(data.images[0].instances) <= 1 + len(shapes)
    check_records(data)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        {
            "shapes": st.lists(SHAPES, max_size=3) | st.lists(SHAPES | JSON, max_size=2) | JSON,
            "imagePath": st.sampled_from(["a.jpg", "..\\a.jpg"]) | JSON,
        },
        optional={"imageHeight": st.just(HEIGHT) | JSON, "imageWidth": st.just(WIDTH) | JSON},
    )
    | JSON
)
def test_any_json_gives_records_or_one_error(tmp_path_factory, content):
    root = tmp_path_factory.getbasetemp() / "any_labelme"
    picture(root / "a.jpg")
    (root / "a.json").write_text(json.dumps(content))
    data, message = None, ""
    try:
        data = read_labelme(root)
    except DataError as error:
        message = str(error)
    if data is None:
        assert "any_labelme" in message
        return
    assert find_labelme(root)
    check_records(data)
