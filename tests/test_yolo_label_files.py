"""Which label file belongs to which picture of a YOLO data set."""

import pytest
from PIL import Image

from utils.data.formats.yolo_label_files import LabelFiles
from utils.data.records import DataError


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("images/train/x/a.jpg", "labels/train/x/a.txt"),
        ("train/images/a.b.rf.0.jpg", "train/labels/a.b.rf.0.txt"),
        ("images/x/images/a.jpg", "images/x/labels/a.txt"),
        ("a.jpg", "a.txt"),
        ("train/a.JPG", "train/a.TXT"),
        ("images/a.jpg", "images/a.txt"),
        ("my images/a.jpg", "my images/a.txt"),
    ],
)
def test_label_of_a_picture(tmp_path, image, label):
    home = tmp_path / "images"  # a folder above the data set does not count
    path, expected = picture(home / image), touch(home / label)
    labels = LabelFiles(home)
    assert labels.find(path) == expected
    assert labels.expected(path) == expected.with_suffix(".txt")
    assert labels.lonely() == []
    expected.unlink()
    assert LabelFiles(home).find(path) is None


def test_label_files_without_a_picture(tmp_path):
    path = picture(tmp_path / "a.png")
    for name in ("a", "b", "classes", "train", "README.roboflow", "trainer", "c.png"):
        touch(tmp_path / f"{name}.txt")
    labels = LabelFiles(tmp_path)
    assert labels.find(path) == tmp_path / "a.txt"
    assert [p.name for p in labels.lonely()] == ["b.txt", "c.png.txt", "trainer.txt"]


def test_a_label_folder_that_leads_out_is_refused(tmp_path):
    root = tmp_path / "root"
    path = picture(root / "images" / "a.png")
    (root / "labels").symlink_to(tmp_path)
    with pytest.raises(DataError, match="labels"):
        LabelFiles(root).find(path)
