"""counts.csv: read back by pandas."""

import errno
from pathlib import Path

import pandas
import pytest

from utils.prediction.counts import count, write_counts
from utils.prediction.journal import Record

CLASSES = ("cat", 'a "big", dog')
FULL_DISK = Path("/dev/full")


def record(name, *labels) -> Record:
    return Record(name=name, objects=[{"category_id": label} for label in labels])


def test_no_picture_leaves_totals_of_nothing(tmp_path):
    assert write_counts(tmp_path / "counts.csv", CLASSES, []) == {}
    table = pandas.read_csv(tmp_path / "counts.csv")
    assert table.columns.tolist() == ["image", *CLASSES, "total"]
    assert table.values.tolist() == [["total", 0, 0, 0]]


def test_a_row_per_picture_and_totals(tmp_path):
    records = [record("a.png", 2, 1, 1), record("none.png"), record("sub/c.png", 2)]
    assert count(records[0], CLASSES) == {"cat": 2, CLASSES[1]: 1}
    assert write_counts(tmp_path / "counts.csv", CLASSES, iter(records)) == {
        "cat": 2, CLASSES[1]: 2,
    }  # fmt: skip
    assert pandas.read_csv(tmp_path / "counts.csv").values.tolist() == [
        ["a.png", 2, 1, 3],
        ["none.png", 0, 0, 0],
        ["sub/c.png", 0, 1, 1],
        ["total", 2, 2, 4],
    ]


@pytest.mark.parametrize(
    "name",
    ["a, b.png", 'the "best".png', "two\nlines.png", "old\rmac.png", "win\r\ndows.png",
     "图像 甲.png", "=1+1.png", "@a.png", "-b.png", "'c.png", " blank .png", "a;b\tc.png", "é.png"],
)  # fmt: skip
def test_names_are_read_back_as_they_were(tmp_path, name):
    write_counts(tmp_path / "counts.csv", CLASSES, [record(name, 1)])
    assert pandas.read_csv(tmp_path / "counts.csv")["image"].tolist() == [name, "total"]


def test_a_table_that_breaks_off_leaves_the_old_one(tmp_path):
    path = tmp_path / "counts.csv"
    write_counts(path, CLASSES, [record("a.png", 1)])
    before = path.read_bytes()

    def broken():
        yield record("b.png", 1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_counts(path, CLASSES, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not FULL_DISK.exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("pictures", [1, 10_000], ids=["at the end", "on the way"])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, pictures):
    path = tmp_path / "counts.csv"
    path.write_text("before")
    (tmp_path / ".counts.csv.part").symlink_to(FULL_DISK)
    with pytest.raises(OSError, match="No space") as error:
        write_counts(path, CLASSES, (record(f"{n}.png") for n in range(pictures)))
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
