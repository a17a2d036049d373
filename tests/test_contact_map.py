"""Pixels of contact maps in the genome, and BEDPE files as the tools read them."""

import csv
import re

import numpy as np
import pandas
import pytest

from utils.data.records import encode_mask
from utils.prediction.contact_map import Place, parse_contact_map, regions, write_bedpe
from utils.prediction.journal import Record

CLASSES = ("loop", "a stripe")


def found(mask, label=1, score=0.5):
    return {"category_id": label, "score": score, "segmentation": encode_mask(mask)}


def square(x1, y1, x2, y2, height=40, width=60):
    mask = np.zeros((height, width), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


@pytest.mark.parametrize(
    ("text", "bases"),
    [("10kb", 10_000), ("5000", 5000), ("5000bp", 5000), ("25 kb", 25_000), ("1Mb", 1_000_000),
     ("1MB", 1_000_000), ("2.5kb", 2500), (".5kb", 500), ("1", 1)],
)  # fmt: skip
def test_bin_sizes(text, bases):
    assert parse_contact_map(text, "chr1:0") == (bases, ("chr1", 0), ("chr1", 0))


@pytest.mark.parametrize(
    ("text", "x", "y"),
    [
        ("chr1:0", ("chr1", 0), ("chr1", 0)),
        ("chr1", ("chr1", 0), ("chr1", 0)),
        ("X:150", ("X", 150), ("X", 150)),
        ("chr1:5Mb", ("chr1", 5_000_000), ("chr1", 5_000_000)),
        ("chr1:0,chr2:5000000", ("chr1", 0), ("chr2", 5_000_000)),
        ("chr1:10kb, chr1:20kb", ("chr1", 10_000), ("chr1", 20_000)),
        ("HLA-A*01,chrUn_gl000220", ("HLA-A*01", 0), ("chrUn_gl000220", 0)),
        ("chr1:5000000000", ("chr1", 5_000_000_000), ("chr1", 5_000_000_000)),
    ],
)
def test_origins(text, x, y):
    assert parse_contact_map("10kb", text) == (10_000, Place(*x), Place(*y))


@pytest.mark.parametrize(
    ("bin_size", "origin", "told"),
    [
        ("10kb", "", "give --origin too, such as chr1:0"),
        ("", "chr1:0", "give --bin-size too, such as 10kb"),
        ("0", "chr1:0", "--bin-size '0' is no whole number of bases from 1 on"),
        ("0.5", "chr1:0", "--bin-size '0.5' is no whole"),
        ("0.0001kb", "chr1:0", "is no whole"),
        ("-10kb", "chr1:0", "is no whole"),
        ("10um", "chr1:0", "is no whole"),
        ("ten", "chr1:0", "is no whole"),
        ("1e4", "chr1:0", "is no whole"),
        ("10,000", "chr1:0", "is no whole"),
        ("10kb", ":0", "':0' is no place in the genome, such as chr1:0"),
        ("10kb", "chr1:", "--origin chr1: '' is no whole number of bases from 0 on"),
        ("10kb", "chr1:-5", "'-5' is no whole"),
        ("10kb", "chr1:0.5", "'0.5' is no whole"),
        ("10kb", "chr1:a", "'a' is no whole"),
        ("10kb", "chr1:0:5", "'0:5' is no whole"),
        ("10kb", "chr1:1,000,000", "more than two places"),
        ("10kb", "chr1,", "'' is no place"),
        ("10kb", "#chr1:0", "is no place"),
        ("10kb", "chr 1:0", "is no place"),
        ("10kb", "chr1,chr2,chr3", "more than two places"),
    ],
)
def test_nonsense_is_told(bin_size, origin, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_contact_map(bin_size, origin)


def test_regions_are_those_of_the_pixels_whatever_the_mask():
    contact_map = parse_contact_map("2.5kb", "chr7:1000,chrX:50")
    assert regions([], contact_map) == []
    drawn = np.random.default_rng(0)
    masks = [np.zeros((9, 7)), np.ones((9, 7)), square(6, 0, 7, 9, 9, 7), square(0, 8, 7, 9, 9, 7)]
    masks += [drawn.random((9, 7)) < share for share in (0.01, 0.02, 0.05, 0.1) * 40]
    given = regions([found(mask) for mask in masks], contact_map)
    for mask, place in zip(masks, given, strict=True):
        places = [(row, column) for row in range(9) for column in range(7) if mask[row, column]]
        if not places:
            assert place is None
            continue
        rows, columns = ([p[axis] for p in places] for axis in (0, 1))
        assert place == (
            "chr7", 1000 + 2500 * min(columns), 1000 + 2500 * (max(columns) + 1),
            "chrX", 50 + 2500 * min(rows), 50 + 2500 * (max(rows) + 1),
        )  # fmt: skip


def test_bedpe_without_objects_is_a_header(tmp_path):
    write_bedpe(tmp_path / "a.bedpe", CLASSES, [Record(name="a.png", objects=[])], "10kb", "chr1")
    assert (tmp_path / "a.bedpe").read_text() == (
        "#chrom1\tstart1\tend1\tchrom2\tstart2\tend2\tname\tscore\tstrand1\tstrand2\tcolor\timage\n"
    )


def test_bedpe_lines(tmp_path):
    records = [
        Record(
            name='sub/图 "1", #a\tb\n.png',
            objects=[
                found(square(3, 5, 4, 7), 2, 0.875),
                found(square(0, 0, 0, 0)),
                found(square(59, 39, 60, 40), 1, 1 / 3),
            ],
        ),
        Record(name="b.png", objects=[found(square(0, 0, 60, 40))]),
    ]
    path = tmp_path / "objects.bedpe"
    write_bedpe(path, CLASSES, iter(records), "10kb", "chr1:100,chr2:5Mb")
    text = path.read_bytes().decode()
    lines = [line.split("\t") for line in text.split("\n")]
    assert lines.pop() == [""]  # each line ends
    tail = [".", ".", "0,0,0"]
    name = 'sub/图 "1", #a b .png'
    assert lines[1:] == [
        ["chr1", "30100", "40100", "chr2", "5050000", "5070000", "a stripe", "0.875", *tail, name],
        ["chr1", "590100", "600100", "chr2", "5390000", "5400000", "loop", "0.3333333333", *tail,
         name],
        ["chr1", "100", "600100", "chr2", "5000000", "5400000", "loop", "0.5", *tail, "b.png"],
    ]  # fmt: skip

    # Juicebox: as many names in the first line as cells in the others, positions of 32 bits, and
    # three numbers of a colour in the 11th cell.
    for line in lines[1:]:
        assert len(line) == len(lines[0])
        assert all(0 <= int(line[column]) < 2**31 for column in (1, 2, 4, 5))
        assert [int(part) for part in line[10].split(",")] == [0, 0, 0]

    # cooltools: the header is a comment; six columns by place.
    table = pandas.read_table(
        path, comment="#", header=None, usecols=range(6), quoting=csv.QUOTE_NONE,
        names=["chrom1", "start1", "end1", "chrom2", "start2", "end2"],
    )  # fmt: skip
    assert table["start2"].tolist() == [5050000, 5390000, 5000000]
    assert (table["end1"] - table["start1"]).tolist() == [10_000, 10_000, 600_000]


def test_a_line_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "objects.bedpe"
    path.write_text("before")
    with pytest.raises(KeyError):
        write_bedpe(path, CLASSES, [Record(name="a.png")], "10kb", "chr1")
    with pytest.raises(ValueError, match="--bin-size"):
        write_bedpe(path, CLASSES, [], "10", "")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=r"objects\.bedpe") as error:
        write_bedpe(tmp_path / "none" / "objects.bedpe", CLASSES, [], "10kb", "chr1")
    assert error.value.filename == str(tmp_path / "none" / "objects.bedpe")
