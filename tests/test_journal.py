"""gathered.csv survives a kill at any byte."""

from __future__ import annotations

import csv
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.records import DataError
from utils.gathering.journal import COLUMNS, NAME, Journal, JournalEntry, read_entries

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\udcff"), max_size=12)
cells = st.text(st.sampled_from("ab\"',;= é图"), max_size=8)  # one line, as plain() makes it
entries = st.builds(JournalEntry, st.integers(1, 10**6), texts, cells, cells, cells, cells)


def written(folder, rows) -> Journal:
    with Journal(folder) as journal:
        for row in rows:
            journal.add(row)
    return journal


def test_no_journal_has_no_entries(tmp_path):
    assert read_entries(tmp_path / NAME) == []
    assert Journal(tmp_path).entries == {}


def test_an_empty_run_leaves_the_header(tmp_path):
    written(tmp_path, [])
    assert (tmp_path / NAME).read_text().strip() == ",".join(COLUMNS)


def test_the_last_row_of_a_source_counts_and_rows_end_sorted(tmp_path):
    first, second = JournalEntry(2, "b", reason="HTTP 404"), JournalEntry(2, "b", "b.png", "12")
    written(tmp_path, [first, second, JournalEntry(1, "z", "z.png", "34")])
    assert read_entries(tmp_path / NAME) == [JournalEntry(1, "z", "z.png", "34"), second]


@pytest.mark.parametrize(
    "half", ['2,"http://h/b', '2,"a file with a\n', '2,"a file with a\nb', "2,b"]
)
def test_a_half_row_is_dropped_and_not_added_to(tmp_path, half):
    written(tmp_path, [JournalEntry(1, "a")])
    with open(tmp_path / NAME, "a") as file:
        file.write(half)
    assert read_entries(tmp_path / NAME) == [JournalEntry(1, "a")]
    with Journal(tmp_path) as journal:
        journal.add(JournalEntry(3, "c"))
        assert read_entries(tmp_path / NAME) == [JournalEntry(1, "a"), JournalEntry(3, "c")]


def test_a_row_is_in_the_file_once_it_is_added(tmp_path):
    with Journal(tmp_path) as journal:
        journal.add(JournalEntry(1, "a", "a.png"))
        assert read_entries(tmp_path / NAME) == [JournalEntry(1, "a", "a.png")]


def test_it_opens_as_a_table(tmp_path):
    written(tmp_path, [JournalEntry(1, 'http://h/a,"b".png', "car_0001.png", "12")])
    with open(tmp_path / NAME, newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["source"], row["file"]) == ('http://h/a,"b".png', "car_0001.png")


def test_no_other_file_is_left(tmp_path):
    written(tmp_path, [JournalEntry(1, "a")])
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, max_size=6, unique_by=(lambda e: e.source, lambda e: e.number)))
def test_any_entries_come_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("journal")
    written(folder, rows)
    assert Journal(folder).entries == {row.source: row for row in rows}


@settings(max_examples=50, deadline=None)
@given(st.lists(entries, min_size=1, max_size=4), st.floats(0, 1))
def test_a_journal_cut_anywhere_gives_its_whole_rows(tmp_path_factory, rows, share):
    folder = tmp_path_factory.mktemp("journal")
    path = folder / NAME
    with Journal(folder) as journal:  # as a kill leaves it: no closing rewrite
        sizes = [path.stat().st_size]
        for row in rows:
            journal.add(row)
            sizes.append(path.stat().st_size)
        whole = path.read_bytes()
    cut = sizes[0] + round(share * (sizes[-1] - sizes[0]))
    path.write_bytes(whole[:cut])
    count = sum(size <= cut for size in sizes[1:])
    found = read_entries(path)
    assert found[:count] == rows[:count]
    # Only the line feed of the next row's end may lack.
    assert found[count:] in ([], rows[count : count + 1])
    assert not found[count:] or sizes[count + 1] - cut == 1

    written(folder, [JournalEntry(7, "new")])
    assert Journal(folder).entries == {
        **{e.source: e for e in found},
        "new": JournalEntry(7, "new"),
    }


@pytest.mark.parametrize(
    "content",
    [
        b"name,size\n1,2\n",
        b"\xff\xfe\x00",
        b"number\n",
        (",".join(COLUMNS) + "\nx,a,,,,\n").encode(),
        (",".join(COLUMNS) + "\n-1,a,,,,\n").encode(),
        (",".join(COLUMNS) + "\n" + "9" * 5000 + ",a,,,,\n").encode(),
        (",".join(COLUMNS) + "\n1,a\n2,b,,,,\n").encode(),
        (",".join(COLUMNS) + "\n1," + "a" * 200_000 + ",,,,\n").encode(),
        b"",
        b"my notes, in one line",
    ],
)
def test_another_file_of_this_name_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError, match=r"gathered\.csv: .*move it away"):
        Journal(tmp_path)
    assert (tmp_path / NAME).read_bytes() == content


@settings(max_examples=100, deadline=None)
@given(st.booleans(), st.binary(max_size=60))
def test_any_bytes_are_a_journal_or_refused(tmp_path_factory, has_header, content):
    path = tmp_path_factory.mktemp("journal") / NAME
    path.write_bytes((",".join(COLUMNS) + "\r\n").encode() * has_header + content)
    with suppress(DataError):
        assert all(isinstance(entry, JournalEntry) for entry in read_entries(path))
