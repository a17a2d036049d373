"""Id masks of several classes: a table, a folder per class, a class mask; and what goes wrong."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from my_dataset import read_data
from utils.data.formats.id_masks import find_layout, read_id_masks
from utils.data.formats.mask_classes import VOC_CLASSES
from utils.data.records import DataError, instance_masks

WIDTH, HEIGHT = 12, 9
NAMES = ("cell", "lesion", "vessel")
VOC = ("JPEGImages", "SegmentationObject", "SegmentationClass")


def scene(number):
    """Ids (H, W) of up to three boxes and the class name of each id; every third one is empty."""
    rng = np.random.default_rng(number)
    ids, names = np.zeros((HEIGHT, WIDTH), np.uint8), {}
    for i in (1, 4, 9) if number % 3 else ():
        x, y = rng.integers(0, 8), rng.integers(0, 5)
        ids[y : y + 4, x : x + 4] = i
        names[i] = NAMES[rng.integers(3)]
    return ids, {i: name for i, name in names.items() if (ids == i).any()}


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.uint8(values)).save(path)


def picture(root, name, folder="images"):
    save(root / folder / f"{name}.png", np.zeros((HEIGHT, WIDTH, 3)))


def write_table(root, numbers, home=""):
    lines = ["mask,id,class"]
    for n in numbers:
        ids, names = scene(n)
        save(root / "masks" / f"{n}_mask.png", ids)
        lines += [f"{n}_mask.png,{i},{name}" for i, name in names.items()]
    (root / home / "mask_classes.csv").write_text("\n".join(lines), encoding="utf-8-sig")


def write_table_of_the_mask_folder(root, numbers):
    write_table(root, numbers, "masks")


def write_folders(root, numbers):
    for n in numbers:
        ids, names = scene(n)
        for class_name in set(names.values()) | ({"cell"} if not names else set()):
            mine = [i for i in names if names[i] == class_name]
            save(root / "masks" / class_name / f"{n}.png", np.where(np.isin(ids, mine), ids, 0))


def write_class_masks(root, numbers):
    (root / "label_names.txt").write_text("_background_\ncell\nlesion\nvessel\n")
    for n in numbers:
        ids, names = scene(n)
        values = np.zeros_like(ids)
        for i, name in names.items():
            values[ids == i] = NAMES.index(name) + 1
        save(root / "masks" / f"{n}.png", ids)
        save(root / "class_masks" / f"{n}.png", values)


@pytest.mark.parametrize(
    "write", [write_table, write_table_of_the_mask_folder, write_folders, write_class_masks]
)
def test_drawn_scenes_come_back_with_their_classes(tmp_path, write):
    numbers = range(12)
    for n in numbers:
        picture(tmp_path, n)
    write(tmp_path, numbers)
    data = read_data(tmp_path)
    assert (data.format, data.classes, data.notes) == ("id-masks", NAMES, ())
    assert [record.path.stem for record in data.images] == sorted(map(str, numbers))
    for record in data.images:
        ids, names = scene(int(record.path.stem))
        wanted = sorted((name, (ids == i).tobytes()) for i, name in names.items())
        masks = instance_masks(record).astype(bool)
        labels = [data.classes[instance.label - 1] for instance in record.instances]
        found = sorted(zip(labels, (mask.tobytes() for mask in masks), strict=True))
        assert found == wanted


BOX = np.zeros((HEIGHT, WIDTH), np.uint8)
BOX[2:5, 2:6] = 1  # 12 pixels
TWO = BOX.copy()
TWO[6:8, 6:8] = 2  # 4 pixels


def refused(root, *parts):
    with pytest.raises(DataError) as caught:
        read_id_masks(root)
    for part in parts:
        assert part in str(caught.value)


def labels(data):
    return [[data.classes[i.label - 1] for i in record.instances] for record in data.images]


def test_a_table_for_every_mask(tmp_path):
    for name, ids in (("a", TWO), ("b", BOX), ("c", 0 * BOX)):
        picture(tmp_path, name)
        save(tmp_path / "masks" / f"{name}.png", ids)
    table = tmp_path / "mask_classes.csv"
    table.write_text("id;class\n1;liver\n2;spleen\n7;kidney\n8;kidney")
    data = read_id_masks(tmp_path)
    assert labels(data) == [["liver", "spleen"], ["liver"], []]
    assert data.classes == ("kidney", "liver", "spleen")  # declared, so the same in every part
    assert data.notes == (
        "2 row(s) of mask_classes.csv name masks or ids that do not occur, first id 7",
    )
    table.write_text("id,class\n2,background")
    refused(tmp_path, "a.png: id 1 of this mask has no class", str(table), "2 problem(s) in 3")


def test_rows_of_a_table_that_are_not_needed_are_counted(tmp_path):
    picture(tmp_path, "a/x")
    save(tmp_path / "masks" / "a" / "x.png", TWO)
    rows = "mask,id,class\na/x.png,1,cat\na/x.png,2,_background_\nx.png,1,dog\na/x.png,3,dog"
    (tmp_path / "mask_classes.csv").write_text(rows)
    data = read_id_masks(tmp_path)
    assert (data.classes, labels(data)) == (("cat",), [["cat"]])
    assert data.notes == (
        "1 object(s) of class '_background_' left out, first in x.png",
        "2 row(s) of mask_classes.csv name masks or ids that do not occur, first a/x.png id 3",
    )
    (tmp_path / "classes.txt").write_text("dog\ncat")
    data = read_id_masks(tmp_path)
    assert (data.classes, labels(data)) == (("dog", "cat"), [["cat"]])
    (tmp_path / "classes.txt").write_text("dog\ncats")
    refused(tmp_path, "'cat'", "classes.txt", "nearest: 'cats'")


def test_a_folder_for_each_class(tmp_path):
    for name in "abc":
        picture(tmp_path, name)
    save(tmp_path / "masks" / "cell" / "a.png", TWO)
    save(tmp_path / "masks" / "cell" / "c.png", 0 * BOX)
    save(tmp_path / "masks" / "lesion" / "a.png", BOX)  # the same pixels may be both
    save(tmp_path / "masks" / "lesion" / "b.png", BOX)
    (tmp_path / "masks" / "vessel").mkdir()  # a class without any object is one all the same
    (tmp_path / "masks" / ".cache").mkdir()
    data = read_id_masks(tmp_path)
    assert data.classes == NAMES
    assert labels(data) == [["cell", "cell", "lesion"], ["lesion"], []]
    (tmp_path / "masks" / "cell" / "c.png").unlink()
    refused(tmp_path, "c.png: has no mask in", "cell or ", "lesion")


def test_folders_are_classes_only_if_the_images_do_not_mirror_them(tmp_path):
    picture(tmp_path, "cell/a")
    save(tmp_path / "masks" / "cell" / "a.png", BOX)
    save(tmp_path / "masks" / "lesion" / "b.png", BOX)
    refused(tmp_path, "b.png: has no image")
    picture(tmp_path, "lesion/b")
    assert read_id_masks(tmp_path).classes == ("object",)
    (tmp_path / "images").rename(tmp_path / "old")
    for name in "abc":
        picture(tmp_path, name)
    save(tmp_path / "masks" / "c.png", BOX)  # a mask beside the folders: they are no classes
    refused(tmp_path, "a.png: has no mask in")
    (tmp_path / "masks" / "c.png").unlink()
    (tmp_path / "images" / "c.png").unlink()
    assert labels(read_id_masks(tmp_path)) == [["cell"], ["lesion"]]


def class_masked(root, ids, values, name="a", folders=("images", "masks", "class_masks")):
    picture(root, name, folders[0])
    save(root / folders[1] / f"{name}.png", ids)
    save(root / folders[2] / f"{name}.png", values)


def test_the_class_of_most_pixels_counts_and_doubt_is_told(tmp_path):
    values = np.zeros_like(TWO)
    values[TWO == 1] = [0, 0, 0, 0, 255, 255, 255, 255, 255, 7, 7, 12]  # of 7 not void, 2 are 7
    values[TWO == 2] = 12
    class_masked(tmp_path, TWO, values)
    data = read_id_masks(tmp_path)
    assert data.classes == ("class_7", "class_12")  # by value, not by spelling
    assert labels(data) == [["class_7", "class_12"]]
    assert len(data.notes) == 1
    assert "1 object(s) with under 90 % of their pixels in one class" in data.notes[0]
    assert data.notes[0].endswith("first in a.png id 1")


@pytest.mark.parametrize(("agreeing", "notes"), [(18, 0), (17, 1)])
@pytest.mark.parametrize("other", [2, 0])
def test_nine_in_ten_pixels_are_enough(tmp_path, agreeing, notes, other):
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[:4, :5] = 3
    values = ids.copy()
    values[ids == 3] = [1] * agreeing + [other] * (20 - agreeing)
    class_masked(tmp_path, ids, values)
    assert len(read_id_masks(tmp_path).notes) == notes


@pytest.mark.parametrize("value", [0, 255])
def test_an_object_without_class_pixels_is_a_problem(tmp_path, value):
    class_masked(tmp_path, TWO, np.where(TWO == 2, value, 1))
    refused(tmp_path, "masks/a.png: id 2 has no class", "class_masks/a.png")


@pytest.mark.parametrize("listed", ["cat\ndog", "background\ncat\ndog", "_background_\ncat\ndog"])
def test_values_count_in_the_class_list(tmp_path, listed):
    (tmp_path / "label_names.txt").write_text(listed)
    class_masked(tmp_path, TWO, TWO)
    data = read_id_masks(tmp_path)
    assert (data.classes, labels(data)) == (("cat", "dog"), [["cat", "dog"]])
    class_masked(tmp_path, TWO, TWO + 1)
    refused(tmp_path, "class_masks/a.png: id 2 has the value 3", "label_names.txt has 2 classes")


def test_a_set_without_objects_or_names_is_refused(tmp_path):
    class_masked(tmp_path, 0 * BOX, 0 * BOX)
    refused(tmp_path, "no object in any annotation file")


def test_pascal_voc(tmp_path):
    ids = TWO.copy()
    ids[1, :] = 255  # the outline, which is no object
    values = np.where(ids == 1, 15, np.where(ids == 2, 20, ids))
    class_masked(tmp_path, ids, values, "2007_000032", VOC)
    picture(tmp_path, "2007_000027", VOC[0])
    for folder in VOC[1:]:
        path = tmp_path / folder / "2007_000032.png"
        with Image.open(path) as mask:
            mask.putpalette([(37 * i) % 256 for i in range(768)])
            mask.save(path)
    data = read_data(tmp_path)
    assert data.classes == VOC_CLASSES
    assert data.names() == ("JPEGImages/2007_000032.png",)
    assert labels(data) == [["person", "tvmonitor"]]
    assert [i.area for i in data.images[0].instances] == [12, 4]
    assert data.notes == (
        "1 image(s) without a mask left out as unlabelled, first 2007_000027.png",
    )
    class_masked(tmp_path, TWO, 20 + TWO, "2007_000032", VOC)
    refused(tmp_path, "has the value 21, and Pascal VOC's list has 20 classes", "label_names.txt")


def test_pascal_voc_without_class_masks_is_of_one_class(tmp_path):
    class_masked(tmp_path, np.where(TWO == 2, 255, TWO), TWO, "a", (*VOC[:2], "elsewhere"))
    data = read_id_masks(tmp_path)
    assert (data.classes, labels(data)) == (("object",), [["object"]])


def test_void_is_a_number_like_others_outside_of_voc(tmp_path):
    picture(tmp_path, "a")
    save(tmp_path / "masks" / "a.png", 255 * BOX)
    assert read_id_masks(tmp_path).images[0].instances[0].area == 12


def test_a_class_list_that_nothing_refers_to_is_pointed_out(tmp_path):
    picture(tmp_path, "a")
    save(tmp_path / "masks" / "a.png", TWO)
    (tmp_path / "classes.txt").write_text("cat\ndog")
    data = read_id_masks(tmp_path)
    assert data.classes == ("object",)
    assert "classes.txt is not used" in data.notes[0]
    assert "mask_classes.csv" in data.notes[0]


def test_the_table_comes_before_folders_and_class_masks(tmp_path):
    assert find_layout(tmp_path) is None
    class_masked(tmp_path, BOX, 5 * BOX)
    (tmp_path / "mask_classes.csv").write_text("id,class\n1,cat")
    assert read_id_masks(tmp_path).classes == ("cat",)


def test_rows_of_images_with_problems_are_not_called_needless(tmp_path):
    for name in "ab":
        picture(tmp_path, name)
        save(tmp_path / "masks" / f"{name}.png", BOX)
    (tmp_path / "mask_classes.csv").write_text("mask,id,class\na.png,1,cat\nb.png,1,cat")
    (tmp_path / "images" / "b.png").write_bytes(b"")
    problems = []
    data = read_id_masks(tmp_path, problems)
    assert (len(data.images), len(problems), data.notes) == (1, 1, ())


def spoil(root):
    """Ten images, five of them wrong in different ways; returns the part of each message."""
    for n in range(10):
        class_masked(root, TWO, TWO, f"n{n}")
    (root / "images" / "n1.png").unlink()
    (root / "masks" / "n2.png").unlink()
    (root / "class_masks" / "n3.png").unlink()
    save(root / "class_masks" / "n4.png", np.zeros((HEIGHT, WIDTH + 1)))
    (root / "images" / "n5.png").write_bytes(b"")
    return ["n1.png: has no image", "n2.png: has no mask",
            "n3.png has an id mask but no class mask", "n4.png: the mask is 13x9",
            "n5.png: is empty"]  # fmt: skip


def test_all_problems_at_once_or_the_good_images(tmp_path):
    parts = spoil(tmp_path)
    refused(tmp_path, "5 problem(s) in 10 image(s)", *parts)
    problems = []
    data = read_data(tmp_path, problems=problems)
    assert len(problems) == 5
    assert all(part in problem for part, problem in zip(parts, problems, strict=True))
    assert [record.path.stem for record in data.images] == ["n0", "n6", "n7", "n8", "n9"]
    assert [record.image_id for record in data.images] == [1, 2, 3, 4, 5]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    hnp.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255])),
    hnp.arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 21, 255])),
    st.booleans(),
)
def test_any_two_masks_give_records_or_problems(tmp_path_factory, ids, values, is_voc):
    root = tmp_path_factory.getbasetemp() / f"any_class_masks_{is_voc}"
    folders = VOC if is_voc else ("images", "masks", "class_masks")
    class_masked(root, ids, values, "a", folders)
    save(root / folders[0] / "a.png", np.zeros((4, 5, 3)))
    numbers = [i for i in np.unique(ids) if i not in ((0, 255) if is_voc else (0,))]
    wanted = []  # counted here pixel by pixel
    for number in numbers:
        seen = [v for v in values[ids == number].tolist() if v not in (0, 255)]
        wanted.append(max(sorted(set(seen)), key=seen.count) if seen else None)
    is_wrong = None in wanted or not (wanted or is_voc) or (is_voc and 21 in wanted)
    try:
        data = read_id_masks(root)
    except DataError as error:
        assert is_wrong and str(root) in str(error)  # noqa: PT017, PT018
        return
    assert not is_wrong
    names = [VOC_CLASSES[v - 1] if is_voc else f"class_{v}" for v in wanted]
    assert labels(data) == [names]
    for number, mask in zip(numbers, instance_masks(data.images[0]), strict=True):
        assert np.array_equal(mask, ids == number)
