"""Numbers, names, duplicates and a second run."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
from picture_server import picture
from PIL import Image

from utils.gathering import gatherer as module
from utils.gathering.download import Limits
from utils.gathering.gatherer import PART, Gatherer, file_stem
from utils.gathering.journal import NAME, Journal, JournalEntry

PATTERN = "car_{:04d}"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def cars(tmp_path):
    folder = tmp_path / "cars"
    folder.mkdir()
    return folder


def add(photos, name, seed) -> str:
    (photos / name).write_bytes(picture(seed) if isinstance(seed, int) else seed)
    return str(photos / name)


def limits() -> Limits:
    return Limits(10, 10, 10**6)


def gather(cars, sources, pattern=PATTERN, jobs=3) -> list[JournalEntry]:
    with Journal(cars) as journal:
        gatherer = Gatherer(cars, journal, pattern)
        return list(gatherer.gather(gatherer.remaining(sources), limits(), jobs))


def pictures(cars) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cars.iterdir() if path.name != NAME}


@pytest.mark.parametrize(
    ("pattern", "number", "stem"),
    [
        ("car_{:04d}", 7, "car_0007"), ("car_{:04d}", 12345, "car_12345"), ("{}", 7, "7"),
        ("a{:02d}b", 7, "a07b"), ("图{}", 7, "图7"),
    ],
)  # fmt: skip
def test_a_pattern_gives_names(pattern, number, stem):
    assert file_stem(pattern, number) == stem


def test_nothing_to_gather(cars):
    assert gather(cars, []) == []
    assert pictures(cars) == {}


def test_pictures_are_numbered_in_the_order_of_the_list(cars, photos):
    seeds = [3, 1, 2, 5, 4]
    gather(cars, [add(photos, f"{seed}.jpg", seed) for seed in seeds])
    wanted = {f"car_{n:04d}.png": picture(seed) for n, seed in enumerate(seeds, 1)}
    assert pictures(cars) == wanted


def test_a_failure_leaves_its_number_free_and_gets_it_later(cars, photos):
    sources = [add(photos, "1", 1), add(photos, "2", b"text"), add(photos, "3", 3)]
    assert [entry.reason for entry in gather(cars, sources)] == ["", "not a picture", ""]
    assert sorted(pictures(cars)) == ["car_0001.png", "car_0003.png"]
    add(photos, "2", 2)
    (entry,) = gather(cars, sources)
    assert (entry.file, entry.reason, entry.details) == ("car_0002.png", "", "")


def test_of_equal_pictures_the_first_in_the_list_is_kept_however_fast_the_second(
    cars, photos, monkeypatch
):
    def fetch(source, part, limits):
        if source.endswith("slow"):
            time.sleep(0.2)
        return fetch_picture(source, part, limits)

    fetch_picture = module.fetch_picture
    monkeypatch.setattr(module, "fetch_picture", fetch)
    (photos / "slow").write_bytes(picture(1, compress_level=0))
    entries = gather(cars, [str(photos / "slow"), add(photos, "fast", 1)])
    assert [entry.reason for entry in entries] == ["", "duplicate"]
    assert entries[1].details == f"equals car_0001.png ({photos / 'slow'})"
    assert pictures(cars) == {"car_0001.png": picture(1, compress_level=0)}


def test_a_source_named_twice_is_fetched_once(cars, photos):
    sources = [add(photos, "1", 1), add(photos, "2", 2)]
    entries = gather(cars, [sources[0], sources[1], sources[0]])
    assert [entry.number for entry in entries] == [1, 2]


def test_a_second_run_has_nothing_to_do(cars, photos):
    sources = [add(photos, "1", 1), add(photos, "2", 1), add(photos, "3", 3)]
    gather(cars, sources)
    before = pictures(cars), (cars / NAME).read_text()
    assert gather(cars, sources) == []
    assert (pictures(cars), (cars / NAME).read_text()) == before


def test_new_sources_anywhere_in_the_list_leave_old_names_alone(cars, photos):
    old = [add(photos, "1", 1), add(photos, "2", 2)]
    gather(cars, old)
    new = [add(photos, "8", 8), *old, add(photos, "9", 9)]
    gather(cars, new, pattern="auto_{}")
    wanted = {"car_0001.png": 1, "car_0002.png": 2, "auto_3.png": 8, "auto_4.png": 9}
    assert pictures(cars) == {name: picture(seed) for name, seed in wanted.items()}


def test_a_picture_that_was_removed_is_fetched_again_under_its_name(cars, photos):
    sources = [add(photos, "1", 1), add(photos, "2", 2), add(photos, "again", 2)]
    gather(cars, sources)
    (cars / "car_0002.png").unlink()
    entries = gather(cars, sources)
    assert [(e.number, e.file, e.reason) for e in entries] == [
        (2, "car_0002.png", ""), (3, "", "duplicate"),
    ]  # fmt: skip


def test_a_duplicate_takes_over_when_the_first_is_gone(cars, photos):
    sources = [add(photos, "1", 1), add(photos, "again", 1)]
    gather(cars, sources)
    (cars / "car_0001.png").unlink()
    (photos / "1").unlink()
    entries = gather(cars, sources)
    assert [(e.file, e.reason) for e in entries] == [("", "no such file"), ("car_0002.png", "")]


@pytest.mark.parametrize("name", ["car_0001.png", "car_0001.JPG", "CAR_0001.txt"])
def test_files_that_are_not_ours_are_left_alone_and_their_numbers_passed_over(cars, photos, name):
    (cars / name).write_bytes(b"mine")
    gather(cars, [add(photos, "1", 1)])
    assert pictures(cars) == {name: b"mine", "car_0002.png": picture(1)}


def test_a_file_that_comes_in_between_is_not_overwritten(cars, photos, monkeypatch):
    def fetch(source, part, limits):
        (cars / "car_0001.png").write_bytes(b"mine")
        return fetch_picture(source, part, limits)

    fetch_picture = module.fetch_picture
    monkeypatch.setattr(module, "fetch_picture", fetch)
    (entry,) = gather(cars, [add(photos, "1", 1)])
    assert (entry.reason, entry.file) == ("name taken", "")
    assert pictures(cars) == {"car_0001.png": b"mine"}


def test_the_journal_tells_where_each_picture_came_from(cars, photos):
    sources = [add(photos, "1", 1), str(photos / "missing")]
    entries = gather(cars, sources)
    assert list(Journal(cars).entries.values()) == entries
    assert [entry.source for entry in entries] == sources
    assert len(entries[0].pixels_sha256) == 64


def test_parts_of_a_killed_run_are_removed_and_nothing_else(cars, photos):
    (cars / PART.format(7)).write_bytes(b"half a pic")
    (cars / ".mine.part").write_bytes(b"mine")
    gather(cars, [add(photos, "1", 1)])
    assert sorted(pictures(cars)) == [".mine.part", "car_0001.png"]


@pytest.mark.parametrize("moment", ["rename", "unlink"])
def test_a_run_that_stops_at_any_picture_is_completed_by_the_next(
    cars, photos, monkeypatch, moment
):
    """As a kill before the rename or after it would leave the folder."""
    sources = [add(photos, str(seed), seed) for seed in (1, 2, 3)]
    rename = Path.rename

    def stop(path, target):
        if target.name == "car_0002.png":
            if moment == "unlink":
                rename(path, target)
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(KeyboardInterrupt):
            gather(cars, sources, jobs=1)
    assert all(content == picture(int(name[7])) for name, content in pictures(cars).items())
    gather(cars, sources)
    wanted = {f"car_000{seed}.png": picture(seed) for seed in (1, 2, 3)}
    assert pictures(cars) == wanted


def test_leaving_early_ends_the_downloads_and_leaves_no_part(cars, photos):
    sources = [add(photos, str(seed), seed) for seed in range(20)]
    stopped = limits()
    with Journal(cars) as journal:
        gatherer = Gatherer(cars, journal, PATTERN)
        outcomes = gatherer.gather(gatherer.remaining(sources), stopped, 2)
        next(outcomes)
        outcomes.close()
    assert stopped.stop.is_set()
    assert pictures(cars) == {"car_0001.png": picture(0)}


def test_a_full_disk_ends_the_run_and_is_nobodys_failure(cars, photos, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    sources = [add(photos, "1", 1), add(photos, "2", 2)]
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        gather(cars, sources)
    assert pictures(cars) == {}
    assert Journal(cars).entries == {}


def test_what_is_stored_is_what_pillow_opens(cars, photos):
    gather(cars, [add(photos, "1", 1)])
    with Image.open(cars / "car_0001.png") as opened:
        assert opened.size == (24, 16)
