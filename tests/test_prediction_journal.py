"""The journal of predict.py: whole lines count, of a picture the newest, whoever wrote it."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils.config import ConfigError
from utils.prediction.journal import Journal, Record, forget


def record(name, stamp=0, **fields) -> Record:
    usual = {"stem": name, "stamp": [stamp], "width": 3, "height": 2, "objects": []}
    return Record(name=name, **(usual | fields))


def source(name, stamp=0, stem=None):
    return SimpleNamespace(name=name, stem=stem or name, stamp=[stamp])


def written(folder, *records, number=0) -> Path:
    journal = Journal(folder, number)
    for one in records:
        journal.add(one)
    journal.close()
    return journal.path


def found(folder, order=()) -> list[tuple[str, int]]:
    """Names and stamps of all records, as a process sees them that opens the folder now."""
    journal = Journal(folder)
    stamps = [(one["name"], one["stamp"][0]) for one in journal.records(order)]
    assert len(journal.pictures(order)) == len(stamps)
    journal.close()
    return stamps


def test_a_new_journal_is_empty(tmp_path):
    assert found(tmp_path) == []
    assert not Journal(tmp_path).has(source("a"))


def test_records_come_back_as_they_were_given(tmp_path):
    given = [record("图像 b.png", objects=[{"score": 0.5, "bbox": [1, 2.5]}]), record("a\n.png")]
    written(tmp_path, *given)
    assert list(Journal(tmp_path).records()) == given


@pytest.mark.parametrize(
    ("order", "names"),
    [((), "cab"), (("a", "b", "c"), "abc"), (("b", "missing"), "b"), (("c", "a"), "ca")],
)
def test_the_order_is_that_of_the_list(tmp_path, order, names):
    written(tmp_path, *map(record, "cab"))
    assert [name for name, _ in found(tmp_path, order)] == list(names)


def test_the_last_line_of_a_picture_counts(tmp_path):
    written(tmp_path, record("a", 1), record("b", 1), record("a", 2))
    assert found(tmp_path) == [("a", 2), ("b", 1)]


def test_a_process_of_a_lower_number_replaces_what_a_higher_one_found(tmp_path):
    written(tmp_path, record("a", 1), number=3)
    written(tmp_path, record("a", 2), number=1)
    written(tmp_path, record("a", 3), number=2)
    written(tmp_path, record("a", 4), number=0)
    assert found(tmp_path) == [("a", 4)]


def test_a_file_cut_anywhere_gives_its_whole_lines_and_goes_on(tmp_path):
    path = written(tmp_path, record("a"), record("图"), record("c"))
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        kept = ["a", "图", "c"][: whole[:end].count(b"\n")]
        assert [name for name, _ in found(tmp_path)] == kept
        written(tmp_path, record("d"))
        assert [name for name, _ in found(tmp_path)] == [*kept, "d"]


@pytest.mark.parametrize("line", ["", "{", "\0\0", "[]", "3", '"a"', "{}", '{"name": ["a"]}'])
def test_a_broken_line_is_as_if_it_was_not_there(tmp_path, line):
    path = written(tmp_path, record("a"))
    path.write_text(f"{line}\n{path.read_text()}{line}\n")
    assert found(tmp_path) == [("a", 0)]


def test_what_others_add_is_seen_once_their_line_ends(tmp_path):
    journal = Journal(tmp_path)
    line = json.dumps(record("b"))
    with open(tmp_path / "found-1.jsonl", "w") as file:
        for part in (line[:9], line[9:], "\n"):
            journal.catch_up()
            assert list(journal.records()) == []
            file.write(part)
            file.flush()
    journal.catch_up()
    assert [one["name"] for one in journal.records()] == ["b"]


def test_records_are_the_same_until_the_next_catching_up(tmp_path):
    mine, other = Journal(tmp_path), Journal(tmp_path, 1)
    mine.add(record("b"))
    mine.catch_up()
    other.add(record("a"))
    mine.add(record("c"))
    assert [one["name"] for one in mine.records(["a", "b"])] == ["b"]
    mine.catch_up()
    assert [one["name"] for one in mine.records(["a", "b"])] == ["a", "b"]


def test_lines_are_read_once(tmp_path, monkeypatch):
    journal, parsed = Journal(tmp_path), []
    monkeypatch.setattr(Journal, "_notice", lambda self, text, path, start: parsed.append(start))
    for name in "ab":
        journal.add(record(name))
        journal.catch_up()
    assert len(parsed) == 2
    assert parsed[0] == 0 < parsed[1]


@pytest.mark.parametrize(
    ("wanted", "has"),
    [
        (source("a", 5), True),
        (source("a", 6), False),  # the file has changed
        (source("a", 5, stem="a-2"), False),  # its outputs have other names
        (source("b", 5), False),
    ],
)
def test_only_the_very_same_source_was_done(tmp_path, wanted, has):
    written(tmp_path, record("a", 4), record("a", 5), number=1)
    assert Journal(tmp_path).has(wanted) is has


def test_a_picture_that_is_taken_back_is_in_no_table_and_may_come_again(tmp_path):
    written(tmp_path, record("a", 1), record("b", 1), number=1)
    journal = Journal(tmp_path)
    journal.drop("a")
    journal.drop("nothing was noted of this")
    journal.close()
    assert found(tmp_path) == [("b", 1)]
    assert not Journal(tmp_path).has(source("a", 1))
    written(tmp_path, record("a", 2), number=1)
    assert found(tmp_path) == [("a", 2), ("b", 1)]
    assert len((tmp_path / "found-0.jsonl").read_text().splitlines()) == 1


def test_a_video_that_is_done_is_no_picture(tmp_path):
    written(tmp_path, record("v.mp4/0.png"), Record(name="v", stem="v", stamp=[0], frames=1))
    assert found(tmp_path) == [("v.mp4/0.png", 0)]
    assert Journal(tmp_path).has(source("v"))


def test_any_history_ends_as_a_dictionary_would(tmp_path):
    """Sessions of changing numbers of processes; in each, a picture is one process's."""
    draw = random.Random(0)
    for history in range(20):
        folder = tmp_path / str(history)
        folder.mkdir()
        wanted: dict[str, int] = {}
        for session in range(5):
            journals = [Journal(folder, number) for number in range(draw.randint(1, 12))]
            for name in draw.sample("abcdef", 4):
                journal = draw.choice(journals)
                if draw.random() < 0.3:
                    journal.drop(name)
                    wanted.pop(name, None)
                else:
                    journal.add(record(name, session))
                    wanted[name] = session
            for journal in journals:
                journal.close()
        assert dict(found(folder)) == wanted


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_journal_is_one_process_s(tmp_path):
    first = Journal(tmp_path)
    list(first.records())  # opens and closes the file, which must not end the lock
    with pytest.raises(ConfigError, match="another process is writing there"):
        Journal(tmp_path)
    Journal(tmp_path, 1).close()
    first.close()
    Journal(tmp_path).close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_names_the_file(tmp_path):
    journal = Journal(tmp_path)
    journal.file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left") as error:
        journal.add(record("a"))
    assert error.value.filename == str(tmp_path / "found-0.jsonl")


def test_frames_follow_their_video_and_go_with_it(tmp_path):
    frames = [record(f"v.mp4/{n}.png", video="v.mp4", frame=n) for n in range(3)]
    others = [record("w.mp4/0.png", video="w.mp4", frame=0), record("a.png")]
    written(tmp_path, *frames, {"name": "v.mp4", "stem": "v", "stamp": [0], "frames": 3}, *others)
    names = [f"v.mp4/{n}.png" for n in range(3)]
    assert [name for name, _ in found(tmp_path, ["v.mp4", "a.png"])] == ["a.png", *names]
    journal = Journal(tmp_path)
    journal.drop("v.mp4")
    journal.add(frames[0])
    journal.close()
    assert [name for name, _ in found(tmp_path, ["v.mp4", "a.png"])] == ["a.png", names[0]]
    assert {name for name, _ in found(tmp_path)} == {"w.mp4/0.png", "a.png", names[0]}


def test_an_open_journal_is_not_forgotten(tmp_path):
    written(tmp_path, record("a"))
    running = Journal(tmp_path, 1)
    with pytest.raises(ConfigError, match="another process"):
        forget(tmp_path)
    running.close()
    forget(tmp_path)
    assert found(tmp_path) == []
