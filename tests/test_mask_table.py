"""The table of classes: what Excel and people write is read, all else is refused by line."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.data.formats.mask_table import MaskTable, read_mask_table
from utils.data.records import DataError


def write(folder, text, encoding="utf-8"):
    path = folder / "mask_classes.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "id,class\n1,liver\n2,spleen\n",
        "class,id\nliver,1\nspleen,2",
        "ID ; Class\r\n1 ; liver\r\n\r\n2;spleen\r\n;\r\n",
        '\ufeffid,class\n"1","liver"\n2,"spleen"',
    ],
)
def test_numbers_that_mean_the_same_in_every_mask(tmp_path, text):
    table = read_mask_table(write(tmp_path, text))
    assert table.classes == {("", 1): "liver", ("", 2): "spleen"}
    assert not table.is_for_each
    assert table.classes[table.key("any/mask.png", 2)] == "spleen"


def test_masks_told_apart_by_their_paths(tmp_path):
    text = 'mask,id,class\na\\x.png,1,"cat, black"\n./b.png,1,dog\ne\u0301.png,65535,Ärger'
    table = read_mask_table(write(tmp_path, text))
    assert table.is_for_each
    found = [table.classes[table.key(*key)] for key in (("a/x.png", 1), ("b.png", 1))]
    assert found == ["cat, black", "dog"]
    assert table.classes[table.key("\u00e9.png", 65535)] == "Ärger"  # as another system spells it
    assert table.key("b.png", 2) not in table.classes


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["first line is ''", "mask,id,class"]),
        ("1,liver\n", ["first line is '1,liver'"]),
        ("id,id,class\n1,1,a", ["first line"]),
        ("id,class\n", ["no rows"]),
        ("id,class\n1,liver,2\n", ["line 2 has 3 fields, the header 2", "quotes"]),
        ("id,class\n\n1\n", ["line 3 has 1 fields"]),
        ("id,class\n0,liver", ["line 2: id is '0'"]),
        ("id,class\n-1,liver", ["line 2: id is '-1'"]),
        ("id,class\n1.0,liver", ["line 2: id is '1.0'"]),
        ("id,class\n\u0661,liver", ["line 2: id is "]),
        ("id,class\n99999999999,liver", ["line 2: id is '99999999999'"]),
        ("id,class\n1, ", ["line 2: class is ''"]),
        ("id,class\n1,\x1b[2J", ["line 2: class", "control characters"]),
        ("id,class\n1,a\n1,b", ["line 3: gives id 1 of every mask a second class"]),
        ("mask,id,class\nx,1,a\nx,1,a", ["line 3: gives id 1 of 'x' a second class"]),
        ("mask,id,class\n,1,a", ["line 2: mask is empty"]),
        ('id,class\n1,"a', ["is not CSV"]),
        (f"id,class\n1,{'x' * 200_000}", ["is not CSV"]),
    ],
)
def test_wrong_tables_are_refused_by_line(tmp_path, text, parts):
    with pytest.raises(DataError) as caught:
        read_mask_table(write(tmp_path, text))
    for part in ("mask_classes.csv", *parts):
        assert part in str(caught.value)


def test_unreadable_tables_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"mask_classes\.csv: is not UTF-8 text \(byte 11\)"):
        read_mask_table(write(tmp_path, "id,class\n1,é", "latin-1"))
    with pytest.raises(DataError, match="cannot be read"):
        read_mask_table(tmp_path)
    monkeypatch.setattr("utils.data.formats.mask_table.MOST_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_mask_table(write(tmp_path, "id,class\n1,a"))


CELLS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Cf", "Cn", "Co")), max_size=9
)
WORDS = CELLS.map(str.strip).filter(bool)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.dictionaries(st.tuples(st.from_regex(r"[a-z]{1,5}\.png", fullmatch=True),
                              st.integers(1, 2**32)), WORDS, min_size=1),
    st.sampled_from(",;"),
)  # fmt: skip
def test_what_a_csv_writer_wrote_comes_back(tmp_path_factory, classes, delimiter):
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(["mask", "id", "class"])
    writer.writerows([*key, name] for key, name in classes.items())
    path = write(tmp_path_factory.mktemp("any"), stream.getvalue())
    assert read_mask_table(path) == MaskTable(path, classes, is_for_each=True)


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.binary(max_size=60) | st.text('id,class;mask\n"1\r \\', max_size=60).map(str.encode))
def test_any_bytes_give_a_table_or_one_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "mask_classes.csv"
    path.write_bytes(data)
    try:
        assert read_mask_table(path).classes
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
