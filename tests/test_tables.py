"""The tables of a run: made from the journal, of one moment, and not too often."""

from __future__ import annotations

import csv
import json
from itertools import pairwise

import pytest

from utils.prediction import tables as module
from utils.prediction.config import PredictConfig
from utils.prediction.journal import Journal, Record
from utils.prediction.tables import MOST_SHARE, SHORTEST_PAUSE, Tables

CLASSES = ("cat", "dog")


def record(name, *labels, stamp=0) -> Record:
    objects = [{"category_id": label, "bbox": [0, 0, 1, 1], "score": 0.5} for label in labels]
    return Record(name=name, stem=name, stamp=[stamp], width=4, height=3, objects=objects)


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def rows(folder):
    with open(folder / "counts.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.reader(file) if not row[0].startswith("#")]


def images(folder) -> list[str]:
    content = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    return [image["file_name"] for image in content["images"]]


def test_nothing_done_is_told_as_nothing(tmp_path, journal):
    assert not Tables(tmp_path, PredictConfig(), CLASSES, ["a"]).write(journal).total()
    assert images(tmp_path) == []
    assert rows(tmp_path)[-1] == ["total", "0", "0", "0"]


def test_what_was_done_of_the_list_is_there_in_its_order(tmp_path, journal):
    other = Journal(tmp_path, 1)
    journal.add(record("c", 1, 2, 2))
    other.add(record("a"))
    other.add(record("z", 1))
    tables = Tables(tmp_path, PredictConfig(), CLASSES, ["a", "b", "c"])
    assert tables.write(journal) == {"cat": 1, "dog": 2}
    assert images(tmp_path) == ["a", "c"]
    assert [row[0] for row in rows(tmp_path)] == ["image", "a", "c", "total"]
    journal.add(record("c", 2, stamp=1))
    other.add(record("b"))
    assert tables.write(journal) == {"dog": 1}
    assert images(tmp_path) == ["a", "b", "c"]
    other.close()


def test_what_another_process_adds_meanwhile_is_in_all_tables_or_in_none(
    tmp_path, journal, monkeypatch
):
    other = Journal(tmp_path, 1)
    journal.add(record("b", 2))
    usual = journal.records

    def records(order):
        yield from usual(order)
        other.add(record(f"a{len(list(usual()))}", 1, 1))

    monkeypatch.setattr(journal, "records", records)
    tables = Tables(tmp_path, PredictConfig(), CLASSES, ["a1", "b"])
    assert tables.write(journal) == {"dog": 1}
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert [one["file_name"] for one in content["images"]] == ["b"]
    assert [(one["image_id"], one["category_id"]) for one in content["annotations"]] == [(1, 2)]
    other.close()


def test_they_are_written_when_it_is_worth_the_time(tmp_path, journal, monkeypatch):
    """Not before a pause, and then not for more than a small part of the time."""
    clock, written = [100.0], []
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    tables = Tables(tmp_path, PredictConfig(), CLASSES, [])

    def slow(*_):
        written.append(clock[0])
        clock[0] += 3

    monkeypatch.setattr(module, "write_predictions", slow)
    while clock[0] < 400:
        tables.write_if_due(journal)
        clock[0] += 0.25
    assert 100 + SHORTEST_PAUSE < written[0] < 100 + SHORTEST_PAUSE + 0.5
    pauses = [after - before for before, after in pairwise(written)]
    assert len(pauses) >= 3
    for pause in pauses:
        assert 3 / MOST_SHARE < pause < 3 / MOST_SHARE + 4
