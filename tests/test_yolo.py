"""The YOLO reader: its layouts against the same outlines in COCO, rows, parts, refusals."""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from my_dataset import fitting_formats, read_data
from utils.data.formats.coco import read_coco
from utils.data.formats.yolo import read_yolo
from utils.data.formats.yolo_folders import find_yolo
from utils.data.records import DataError, instance_masks

WIDTH, HEIGHT = 60, 40
SQUARE = "0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5"  # 15,10 to 30,20
SQUARE_PIXELS = 150
NAMES = "names: [cat, dog]\n"


def picture(path, size=(WIDTH, HEIGHT), orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def pair(root, image, rows=f"0 {SQUARE}\n"):
    """A picture and, unless ``rows`` is None, its label file."""
    picture(root / image)
    stem = image.rsplit(".", 1)[0]
    head, middle, tail = f"/{stem}".rpartition("/images/")
    label = f"{head}/labels/{tail}" if middle else stem
    if rows is not None:
        write(root / f"{label.lstrip('/')}.txt", rows)


def one(root, rows, problems=None, names="names: [cat, dog, bird]"):
    """A data set of one picture."""
    write(root / "data.yaml", f"train: images\n{names}\n")
    pair(root, "images/a.jpg", rows)
    return read_yolo(root, problems)


def refused(root, *parts, problems=None):
    with pytest.raises(DataError) as caught:
        read_yolo(root, problems)
    for part in parts:
        assert str(part) in str(caught.value)
    return caught.value.problems


# The same scenes in YOLO and in COCO.

LAYOUTS = {
    "images/train": ("images/train", "images/val", "train: images/train\nval: images/val\n"),
    "path of elsewhere": (
        "images/train", "images/val",
        "path: /content/drive/coco8-seg\ntrain: images/train\nval: images/val\n",
    ),
    "path of windows": (
        "images/train", "images/val",
        "path: C:\\Users\\me\\set\ntrain: images\\train\nval: images\\val\n",
    ),
    "path beside": (
        "data/images/train", "data/images/val",
        "path: ./data\ntrain: images/train\nval: images/val\n",
    ),
    "roboflow": (
        "train/images", "valid/images",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\n",
    ),
    "absolute of elsewhere": (
        "train/images", "valid/images",
        "train: /home/me/set/train/images\nvalid: /home/me/set/valid/images\n",
    ),
    "beside": ("train", "val", "train: train\nval: val\n"),
    "lists": ("images/a", "images/b", "train: train.txt\nval: val.txt\n"),
    "list of folders": ("images/1", "images/2", "train: [images/1]\nval:\n- images/2\n"),
}  # fmt: skip


def scenes():
    """Six pictures with 0 to 3 outlines in pixels: (name, size, [(class id, flat polygon)])."""
    generator = np.random.default_rng(7)
    for n in range(6):
        width, height = int(generator.integers(50, 90)), int(generator.integers(40, 80))
        outlines = []
        for i in range(n % 4):
            angles = np.sort(generator.uniform(0, 2 * np.pi, 9))
            radius = generator.uniform(6, 18)
            x = generator.uniform(18, width - 18) + radius * np.cos(angles)
            y = generator.uniform(18, height - 18) + radius * np.sin(angles)
            outlines.append((i % 2, np.stack([x, y], 1).ravel().tolist()))
        yield f"scene.{n}.rf.jpg", (width, height), outlines


def write_yolo(root, layout):
    train, val, text = LAYOUTS[layout]
    write(root / "data.yaml", text + NAMES)
    lists = {train: [], val: []}
    for n, (name, size, outlines) in enumerate(scenes()):
        folder = val if n >= 4 else train
        sides = size * 9
        rows = "".join(
            " ".join(map(str, (label, *(v / s for v, s in zip(flat, sides, strict=True))))) + "\n"
            for label, flat in outlines
        )
        pair(root, f"{folder}/{name}", rows if outlines else None)
        picture(root / folder / name, size)
        lists[folder].append(f"./{folder}/{name}\n")
    for name, lines in zip(("train.txt", "val.txt"), lists.values(), strict=True):
        if layout == "lists":
            write(root / name, "".join(lines))
    return root


def write_coco(root):
    content = {"images": [], "annotations": [],
               "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]}  # fmt: skip
    for n, (name, (width, height), outlines) in enumerate(scenes(), start=1):
        picture(root / name, (width, height))
        content["images"].append({"id": n, "file_name": name, "width": width, "height": height})
        content["annotations"] += [
            {"id": 10 * n + i, "image_id": n, "category_id": label + 1, "segmentation": [flat]}
            for i, (label, flat) in enumerate(outlines)
        ]
    write(root / "_annotations.coco.json", json.dumps(content))
    return root


def objects(data):
    """Labels and masks by picture name."""
    return {
        record.path.name: ([i.label for i in record.instances], instance_masks(record))
        for record in data.images
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_what_coco_gives(tmp_path, layout):
    root = write_yolo(tmp_path / "yolo", layout)
    expected = objects(read_coco(write_coco(tmp_path / "coco")))
    assert fitting_formats(root) == ["yolo"]
    data = read_data(root)
    found = objects(data)
    assert found.keys() == expected.keys()
    for name, (labels, masks) in expected.items():
        assert found[name][0] == labels
        assert np.array_equal(found[name][1], masks)
    assert (data.format, data.classes, data.root) == ("yolo", ("cat", "dog"), root)
    train, val = data.given_split
    assert sorted(name.rsplit("/", 1)[1] for name in val) == ["scene.4.rf.jpg", "scene.5.rf.jpg"]
    assert sorted((*train, *val)) == list(data.names())
    assert [record.image_id for record in data.images] == [1, 2, 3, 4, 5, 6]
    assert read_yolo(root / "data.yaml").fingerprint() == data.fingerprint()


@pytest.mark.parametrize("layout", ["images/train", "roboflow", "beside"])
@pytest.mark.parametrize("with_yaml", [True, False])
def test_one_part(tmp_path, monkeypatch, layout, with_yaml):
    root = write_yolo(tmp_path, layout)
    folder = LAYOUTS[layout][0]
    if not with_yaml:
        (root / "data.yaml").unlink()
    roots = {root / folder, root / folder.removesuffix("/images")}
    monkeypatch.chdir(root)
    for part in (*roots, *(path.relative_to(root) for path in roots)):
        assert find_yolo(part) is not None
        data = read_data(part)
        assert len(data.names()) == 4
        assert data.given_split is None
        assert data.classes == (("cat", "dog") if with_yaml else ("class_0", "class_1"))
        assert any("--classes" in note for note in data.notes) != with_yaml
    monkeypatch.chdir(root / folder)
    assert len(read_data(".").names()) == 4


def test_a_list_is_a_part(tmp_path):
    write_yolo(tmp_path, "lists")
    assert fitting_formats(tmp_path / "val.txt") == ["yolo"]
    data = read_data(tmp_path / "val.txt")
    assert data.names() == ("images/b/scene.4.rf.jpg", "images/b/scene.5.rf.jpg")
    assert data.classes == ("cat", "dog")
    write(tmp_path / "val.txt", "gone.jpg\n")
    refused(tmp_path / "val.txt", "val.txt: line 1 names 'gone.jpg'")


@pytest.mark.parametrize("layout", ["images/train", "roboflow", "beside"])
def test_parts_are_known_by_their_names_without_a_yaml(tmp_path, layout):
    root = write_yolo(tmp_path, layout)
    (root / "data.yaml").unlink()
    write(root / "classes.txt", "cat\ndog\n")
    assert fitting_formats(root) == ["yolo"]
    data = read_data(root)
    assert [len(names) for names in data.given_split] == [4, 2]
    part = read_yolo(root / LAYOUTS[layout][0])
    assert part.classes == data.classes == ("cat", "dog")
    note = f"class names are those of {root / 'classes.txt'}"
    assert note in data.notes
    assert note in part.notes


def test_images_and_labels_alone(tmp_path):
    pair(tmp_path, "images/a.jpg", f"3 {SQUARE}\n5 {SQUARE}\n")
    data = read_data(tmp_path)
    assert data.classes == ("class_3", "class_5")
    assert [i.label for i in data.images[0].instances] == [1, 2]
    assert read_data(tmp_path / "images").names() == data.names() == ("images/a.jpg",)
    write(tmp_path / "labels" / "classes.txt", "a\nb\nc\nd\ne\nf\n")
    assert read_data(tmp_path).classes == tuple("abcdef")
    (tmp_path / "labels" / "classes.txt").unlink()
    write(tmp_path / "labels" / "a.txt")
    refused(tmp_path, "no object in any label file", "data.yaml")


def test_folders_that_are_no_data_set(tmp_path):
    assert find_yolo(tmp_path) is None
    assert find_yolo(tmp_path / "gone") is None
    refused(tmp_path, tmp_path, "no images here", "data.yaml")
    refused(tmp_path / "gone", "no such folder")
    assert find_yolo(tmp_path / ("x" * 300)) is None
    refused(tmp_path / ("x" * 300), "xxx: cannot be read")
    picture(tmp_path / "a.jpg")
    write(tmp_path / "a.txt", "a photo of 1 cat\n")  # a caption
    assert find_yolo(tmp_path) is None
    write(tmp_path / "config.yaml", "names: []\nlr: 0.1\n")
    assert find_yolo(tmp_path) is None


# Parts.


def test_a_test_part_is_left_out_or_held_out(tmp_path):
    text = f"{NAMES}train: images/train\ntest: images/test\n"
    for part in ("train", "val", "test"):
        pair(tmp_path, f"images/{part}/{part}.jpg")
    write(tmp_path / "data.yaml", text)
    data = read_yolo(tmp_path)
    assert data.given_split == (("images/train/train.jpg",), ("images/test/test.jpg",))
    assert data.notes == ("there is no val, so the test images are the held-out ones",)
    write(tmp_path / "data.yaml", text + "val: images/val\n")
    data = read_yolo(tmp_path)
    assert data.given_split == (("images/train/train.jpg",), ("images/val/val.jpg",))
    test = tmp_path / "images" / "test"
    assert data.notes == (
        f"the test images are not used here; judge on them with test.py --data {test}",
    )
    assert read_yolo(test).names() == ("images/test/test.jpg",)
    write(tmp_path / "data.yaml", f"{NAMES}train: images/train\nval:\ntest: ~\n")
    assert read_yolo(tmp_path).given_split is None


@pytest.mark.parametrize("val", ["images/train", "images", "val.txt"])
def test_parts_that_overlap_are_refused(tmp_path, val):
    pair(tmp_path, "images/train/a.jpg")
    write(tmp_path / "val.txt", "images/train/a.jpg\n")
    write(tmp_path / "data.yaml", f"{NAMES}train: images/train\nval: {val}\n")
    refused(tmp_path, "data.yaml", "1 image(s) are in train and in val", "a.jpg")


def test_parts_that_are_not_there(tmp_path):
    pair(tmp_path, "images/train/a.jpg")
    write(tmp_path / "data.yaml", f"{NAMES}train: images/train\nval: images/val\n")
    refused(tmp_path, "data.yaml: val is 'images/val'", "no such folder or .txt list")
    write(tmp_path / "data.yaml", f"{NAMES}train: images/train\nval: data.yaml\n")
    refused(tmp_path, "val is 'data.yaml'", "no such folder or .txt list")
    write(tmp_path / "data.yaml", f"{NAMES}train: images/train\nval: images/val\n")
    (tmp_path / "images" / "val").mkdir()
    refused(tmp_path, "val is 'images/val', which holds no images")
    pair(tmp_path, "images/val/b.jpg", None)
    refused(tmp_path, "val: none of the 1 image(s) has a label file", "b.txt")


def test_lists_of_other_machines(tmp_path):
    lines = ["data/images/a.jpg", "/home/me/set/images/b.jpg", "..\\images\\c.jpg", "images/d.jpg",
             "", "  ./images/e.jpg  ", "images/a.jpg"]  # fmt: skip
    for name in "abcde":
        pair(tmp_path, f"images/{name}.jpg")
    write(tmp_path / "lists" / "train.txt", "\r\n".join(lines))
    write(tmp_path / "data.yaml", f"{NAMES}train: lists/train.txt\n")
    assert [name[-5:] for name in read_yolo(tmp_path).names()] == [f"{n}.jpg" for n in "abcde"]
    write(tmp_path / "lists" / "train.txt", "images/a.jpg\nimages/x.jpg\nimages/y.jpg\n")
    assert len(refused(tmp_path, "train.txt: line 2 names 'images/x.jpg'", "line 3")) == 2
    problems = []
    assert len(read_yolo(tmp_path, problems).images) == 1
    assert len(problems) == 2


# Rows.


def test_outlines_are_shares_of_the_upright_picture(tmp_path):
    write(tmp_path / "data.yaml", f"{NAMES}train: images\n")
    pair(tmp_path, "images/a.jpg")
    picture(tmp_path / "images" / "a.jpg", orientation=6)
    record = read_yolo(tmp_path).images[0]
    assert (record.width, record.height) == (HEIGHT, WIDTH)
    flat = [10, 15, 20, 15, 20, 30, 10, 30]
    assert record.instances[0].segmentation == [flat]
    rle = coco_mask.frPyObjects([flat], WIDTH, HEIGHT)[0]
    assert record.instances[0].area == coco_mask.area(rle) == SQUARE_PIXELS
    assert record.instances[0].bbox == tuple(coco_mask.toBbox(rle)) == (10, 15, 10, 15)


def test_parts_joined_by_seams(tmp_path):
    seam = "0.1 0.1 0.3 0.1 0.7 0.6 0.9 0.6 0.9 0.9 0.7 0.9 0.7 0.6 0.3 0.1 0.3 0.4 0.1 0.4"
    mask = instance_masks(one(tmp_path, f"0 {seam}\n").images[0])[0]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[4:16, 6:18] = 1
    expected[24:36, 42:54] = 1
    assert np.array_equal(mask, expected)


def test_what_is_left_out_is_counted(tmp_path):
    rows = [
        f"1 {SQUARE}",
        "0 0.5 0.5 0.25 0.25",  # a box
        "0 0.1 0.1 0.2 0.2",
        f"1 {SQUARE}",
        f"1.0 {SQUARE}  ",
        f"0 {SQUARE}",  # another class, so another object
        "2 1.2 1.2 1.4 1.2 1.4 1.4",
        "",
    ]
    write(tmp_path / "labels" / "gone.txt", "0 1 2")
    write(tmp_path / "labels" / "classes.txt", "cat\ndog\n")
    pair(tmp_path, "images/b.jpg", "")
    pair(tmp_path, "images/c.jpg", None)
    data = one(tmp_path, "\r\n".join(rows))
    assert [[i.label for i in r.instances] for r in data.images] == [[2, 1], [], []]
    assert sorted(data.notes) == [
        f"1 image(s) without a label file taken as images without objects, first "
        f"{tmp_path / 'images' / 'c.jpg'}",
        f"1 label file(s) without an image left out, first {tmp_path / 'labels' / 'gone.txt'}",
        "1 object(s) without a pixel in their picture left out (outside it, or too thin), "
        "first in a.txt line 7",
        "2 box(es) without an outline left out, so what they hold counts as background, first in "
        "a.txt line 2",
        "2 row(s) that repeat another one left out, first in a.txt line 4",
    ]


def test_outlines_that_leave_the_picture_are_cut(tmp_path):
    data = one(tmp_path, "0 -0.2 -0.1 0.5 -0.1 0.5 0.5 -0.2 0.5\n")
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:20, :30] = 1
    assert np.array_equal(instance_masks(data.images[0])[0], expected)


def test_boxes_alone_are_refused(tmp_path):
    write(tmp_path / "labels" / "a.txt", "")
    with pytest.raises(DataError, match=r"all 2 rows are boxes.*boxes alone cannot train masks"):
        one(tmp_path, "0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n", problems=[])


def test_ids_with_gaps_become_labels_in_order(tmp_path):
    rows = "".join(f"{n} {SQUARE}\n" for n in (7, 0, 3))
    data = one(tmp_path, rows, names="names: {7: dog, 0: cat, 3: Dogs}")
    assert data.classes == ("cat", "Dogs", "dog")
    assert [i.label for i in data.images[0].instances] == [3, 1, 2]
    assert data.notes == ()  # names that look alike are the doctor's to point out


def test_all_problems_are_told_or_handed_on(tmp_path):
    write(tmp_path / "data.yaml", f"{NAMES}train: images\nval: val/images\n")
    pair(tmp_path, "images/a.jpg", f"0 {SQUARE}\n\n5 {SQUARE}\ndot 1\n")
    pair(tmp_path, "images/b.jpg", "0 30 20 40 20 40 30\n")
    pair(tmp_path, "images/c.jpg")
    pair(tmp_path, "val/images/d.jpg")
    pair(tmp_path, "val/images/e.jpg")
    write(tmp_path / "val" / "images" / "e.jpg", "no picture")
    wanted = (
        "a.txt: line 3 has the class id 5",
        "a.txt: line 4 has the class id 'dot'",
        "b.txt: line 1 holds",
        "pixels",
    )
    assert len(refused(tmp_path, *wanted, "e.jpg: is not a picture", "in 5 image(s)")) == 4
    problems = []
    data = read_data(tmp_path, problems=problems)
    assert len(problems) == 4
    assert all(part in "\n".join(problems) for part in wanted)
    assert data.names() == ("images/c.jpg", "val/images/d.jpg")
    assert data.given_split == (("images/c.jpg",), ("val/images/d.jpg",))
    assert [record.image_id for record in data.images] == [1, 2]


def test_two_pictures_of_one_label_file(tmp_path):
    picture(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"a\.txt: may belong to .*a\.jpg or to a\.png; rename"):
        one(tmp_path, f"0 {SQUARE}\n")


def test_an_outline_too_long_to_fill_is_named(tmp_path):
    zigzag = " ".join(f"{n % 2} {n % 3 / 2}" for n in range(3000))
    write(tmp_path / "data.yaml", f"{NAMES}train: images\n")
    pair(tmp_path, "images/a.jpg", f"0 {SQUARE}\n0 {zigzag}\n")
    picture(tmp_path / "images" / "a.jpg", (2500, 2500))
    refused(tmp_path, "a.txt: line 2", "pixels long")


def test_the_data_folder_is_not_written_to(tmp_path):
    root = write_yolo(tmp_path, "images/train")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    read_data(root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


# Strangers' files.


REFUSED_AS_A_BASE = ("link", "x" * 5000, '"\\0"')


@pytest.mark.parametrize(
    "path",
    ["../secret", "..\\secret", "../../etc", "/etc", "C:\\x", "\\\\h\\s", "sub/../../secret",
     "link", "../list.txt", "~/x", "file:///etc", "$HOME", "x" * 5000, "a/" * 3000, '"\\0"'],
)  # fmt: skip
def test_paths_that_lead_away_are_refused(tmp_path, path):
    pair(tmp_path, "secret/images/a.jpg")
    write(tmp_path / "list.txt", "secret/images/a.jpg\n")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "secret")
    write(root / "data.yaml", f"{NAMES}train: {path}\n")
    refused(root, "data.yaml", root)
    write(root / "train.txt", f"{path}/images/a.jpg\n{path}\n")
    write(root / "data.yaml", f"{NAMES}train: train.txt\n")
    assert len(refused(root, root, "line 1 names", "no such image")) == 2
    pair(root, "images/a.jpg")
    write(root / "data.yaml", f"{NAMES}path: {path}\ntrain: images\n")
    if path in REFUSED_AS_A_BASE:
        refused(root, "data.yaml: names")
    else:
        assert read_yolo(root).names() == ("images/a.jpg",)


def test_links_that_lead_away_are_named(tmp_path):
    root = tmp_path / "root"
    one(root, f"0 {SQUARE}\n")
    picture(tmp_path / "secret.jpg")
    write(tmp_path / "secret.txt", "root:x:0:0\n")
    (root / "images" / "b.jpg").symlink_to(tmp_path / "secret.jpg")
    pair(root, "images/c.jpg", None)
    (root / "labels" / "c.txt").symlink_to(tmp_path / "secret.txt")
    problems = []
    assert read_yolo(root, problems).names() == ("images/a.jpg",)
    assert "b.jpg: is behind a link that leads out of" in problems[0]
    assert "c.txt: is behind a link that leads out of" in problems[1]
    (root / "labels").rename(tmp_path / "labels")
    (root / "labels").symlink_to(tmp_path / "labels")
    refused(root, "names 'labels'")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_not_opened(tmp_path):
    one(tmp_path, f"0 {SQUARE}\n")
    picture(tmp_path / "images" / "b.jpg")
    os.mkfifo(tmp_path / "labels" / "b.txt")
    os.mkfifo(tmp_path / "images" / "c.jpg")
    os.mkfifo(tmp_path / "list.txt")
    assert read_yolo(tmp_path).names() == ("images/a.jpg", "images/b.jpg")
    write(tmp_path / "data.yaml", f"{NAMES}train: list.txt\n")
    refused(tmp_path, "list.txt", "is not a file")
    (tmp_path / "data.yaml").unlink()
    os.mkfifo(tmp_path / "data.yaml")
    assert find_yolo(tmp_path) == tmp_path / "images"


def check_records(data):
    """Every object has pixels, and its label, area and box are right; nothing lies outside."""
    for record in data.images:
        assert record.path.resolve().is_relative_to(data.root.resolve())
        for mask, instance in zip(instance_masks(record), record.instances, strict=True):
            assert 1 <= instance.label <= len(data.classes)
            assert instance.area == mask.sum() > 0
            ys, xs = np.nonzero(mask)
            assert instance.bbox == (
                xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()
            )  # fmt: skip


def records_or_one_error(root):
    data, message = None, ""
    try:
        data = read_yolo(root)
    except DataError as error:
        message = str(error)
    if data is None:
        assert str(root) in message
        assert message.isascii() or message.isprintable() or "\n" in message
    else:
        check_records(data)


SHARES = st.floats(-1, 2) | st.sampled_from([0, 0.25, 0.5, 1, 1e-9])
FIELDS = st.floats() | st.integers() | st.sampled_from(["nan", "1e999", "1_0", "x", "٣", "-"])
SOUND_ROWS = st.builds(
    lambda number, values: " ".join(map(str, (number, *values[: len(values) // 2 * 2]))),
    st.integers(0, 1), st.lists(SHARES, min_size=6, max_size=12),
)  # fmt: skip
ANY_ROWS = st.lists(FIELDS | SHARES, max_size=9).map(lambda values: " ".join(map(str, values)))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SOUND_ROWS, max_size=5))
def test_any_shares_give_records(tmp_path_factory, rows):
    data = one(tmp_path_factory.getbasetemp() / "sound_yolo", "\n".join((f"0 {SQUARE}", *rows)))
    assert 1 <= len(data.images[0].instances) <= 1 + len(rows)
    check_records(data)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(SOUND_ROWS | ANY_ROWS, max_size=3).map("\n".join) | st.text(), st.binary())
@example("0 " + "9" * 5000 + " 1 1 1 1 1", b"\xff")
def test_any_labels_give_records_or_one_error(tmp_path_factory, text, data):
    root = tmp_path_factory.getbasetemp() / "any_yolo"
    write(root / "data.yaml", f"{NAMES}train: images\n")
    pair(root, "images/a.jpg", None)
    for content in (text.encode("utf-8", "surrogatepass"), data):
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / "a.txt").write_bytes(content)
        records_or_one_error(root)


YAML_VALUES = st.sampled_from(
    ["images", ".", "..", "/", "a.txt", "[images, images]", "{0: cat}", "[cat]", "*a", "&a x",
     "!!python/object/apply:os.system [ls]", "{a: {b: {c: d}}}", "list.txt", "data.yaml",
     "labels/a.txt", "'\\x00'", '"\\ud800"', '"\\UFFFFFFFF"', "", "2001-99-99", "1:1", "yes"]
) | st.text(max_size=12)  # fmt: skip
YAML_TEXT = st.lists(
    st.tuples(st.sampled_from(["train", "val", "valid", "test", "names", "nc", "path", "x"]),
              YAML_VALUES).map(": ".join), max_size=6,
).map("\n".join)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(YAML_TEXT.map(lambda text: f"names: [cat]\ntrain: images\n{text}") | YAML_TEXT | st.text())
def test_any_yaml_gives_records_or_one_error(tmp_path_factory, text):
    root = tmp_path_factory.getbasetemp() / "any_yaml"
    pair(root, "images/a.jpg")
    write(root / "list.txt", "images/a.jpg\n")
    (root / "data.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert find_yolo(root)
    records_or_one_error(root)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text() | st.lists(st.sampled_from(["images/a.jpg", "..", "/", "a.jpg", "x/images"])
                            | st.text(max_size=8), max_size=5).map("/".join))  # fmt: skip
def test_any_list_gives_records_or_one_error(tmp_path_factory, text):
    root = tmp_path_factory.getbasetemp() / "any_list"
    pair(root, "images/a.jpg")
    write(root / "data.yaml", f"{NAMES}train: list.txt\n")
    (root / "list.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    records_or_one_error(root)
