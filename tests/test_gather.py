"""python -m tools.gather against a server on localhost."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import picture_server as answers
import pytest
from conftest import REPOSITORY
from PIL import Image

from tools.gather import default_pattern, main
from utils.command_line import parse
from utils.config import ConfigError
from utils.data import images
from utils.exit_codes import run
from utils.gathering.config import GatherConfig, name_problems
from utils.gathering.journal import NAME

PNG, JPEG = answers.picture(1), answers.picture(2, "JPEG")
DEEP = answers.picture(3, mode="I;16")
GOOD = {  # path, as the list has it: the answer
    "/first.png": PNG,
    "/photo": JPEG,
    "/a b/../../../etc/c d.png?x=1 2": DEEP,
    "/图像.jpg": answers.picture(4, "WEBP"),
    "/moved": answers.redirect("/target"),
    "/%2e%2e%2f%2e%2e%2fpasswd": answers.picture(5),
}
BAD = {  # path: (answer, reason)
    "/twin": (answers.picture(1, compress_level=0), "duplicate"),
    "/missing.png": (answers.with_status(404), "HTTP 404"),
    "/broken": (answers.with_status(500), "HTTP 500"),
    "/page.jpg": (b"<!doctype html><p>Sign in to see this picture", "not a picture"),
    "/cut.jpg": (JPEG[:-60], "damaged"),
    "/cut.png": (PNG[: len(PNG) // 2], "damaged"),
    "/shorter": (answers.with_body(PNG, length=len(PNG) + 9), "cut short"),
    "/longer": (answers.with_body(PNG, length=len(PNG) - 99), "damaged"),
    "/empty": (b"", "empty"),
    "/bomb.png": (answers.header_bomb(), "too many pixels"),
    "/slow": (answers.dripping, "too slow"),
    "/silent": (answers.silent, "too slow"),
    "/endless": (answers.endless(), "too large"),
    "/round": (answers.redirect("/round"), "too many redirects"),
    "/to-file": (answers.redirect("file:///etc/passwd"), "address refused"),
}


@pytest.fixture(autouse=True)
def usual_limit(monkeypatch):
    monkeypatch.setattr(images.Image, "MAX_IMAGE_PIXELS", images.Image.MAX_IMAGE_PIXELS)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with answers.running() as server:
        yield server


def write_list(tmp_path, lines):
    (tmp_path / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "list.txt"


def gather(tmp_path, lines, **changed) -> int:
    settings = {"sources": write_list(tmp_path, lines), "folder": tmp_path / "cars", **changed}
    return run(main, GatherConfig(**{"timeout": 20, "time_limit": 20, **settings}))


def journal(tmp_path):
    with open(tmp_path / "cars" / NAME, newline="", encoding="utf-8") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def pictures(tmp_path):
    return {p.name: p.read_bytes() for p in (tmp_path / "cars").iterdir() if p.name != NAME}


def encoded(path):
    return path.replace(" ", "%20").replace("图像", "%E5%9B%BE%E5%83%8F")


@pytest.fixture
def web(server):
    """All that a list of addresses leads to; the lines of the list, good ones first."""
    for path, answer in {**GOOD, **{p: answer for p, (answer, _) in BAD.items()}}.items():
        server.add(encoded(path), answer)
    server.add("/target", answers.picture(6))
    return server


def test_good_pictures_are_gathered_and_bad_ones_reported(web, tmp_path, capsys):
    lines = ["# my cars", "", *map(web.url, [*GOOD, *BAD]), "ftp://h/a.png", "nothing.png"]
    limits = {"time_limit": 2, "max_bytes": 200_000, "jobs": 8}
    assert gather(tmp_path, lines, **limits) == 0

    rows = journal(tmp_path)
    for path, (_, reason) in BAD.items():
        assert rows[web.url(path)]["reason"] == reason, path
    assert pictures(tmp_path) == {
        "cars_0001.png": PNG,
        "cars_0002.jpg": JPEG,
        "cars_0003.png": DEEP,
        "cars_0004.webp": answers.picture(4, "WEBP"),
        "cars_0005.png": answers.picture(6),
        "cars_0006.png": answers.picture(5),
    }
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"6 of 23 pictures are in {tmp_path / 'cars'} (0 from earlier runs)\n")
    assert "left out, damaged: 3\n" in out
    assert f"  {web.url('/missing.png')} (the server says Not Found)\n" in out
    assert f"equals cars_0001.png ({web.url('/first.png')})" in out
    assert "left out, no such file: 1" in out
    assert rows["ftp://h/a.png"]["reason"] == "address refused"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cars", "list.txt"]


def test_a_second_run_asks_only_for_what_failed(web, tmp_path, capsys):
    lines = [web.url(path) for path in ("/first.png", "/missing.png", "/twin", "/photo")]
    gather(tmp_path, lines)
    web.asked.clear()
    web.add("/missing.png", answers.picture(8))
    capsys.readouterr()
    assert gather(tmp_path, lines) == 0
    assert web.asked == ["/missing.png"]
    assert "3 of 4 pictures are in" in capsys.readouterr().out
    assert sorted(pictures(tmp_path)) == ["cars_0001.png", "cars_0002.png", "cars_0004.jpg"]


def test_only_the_list_is_asked_for(web, tmp_path):
    gather(tmp_path, [web.url("/first.png"), web.url("/page.jpg")])
    assert sorted(web.asked) == ["/first.png", "/page.jpg"]


def test_if_nothing_could_be_had_the_command_fails(web, tmp_path, capsys):
    assert gather(tmp_path, [web.url("/missing.png"), web.url("/broken")]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "no picture could be gathered" in err
    assert "HTTP 404: 1" in err


def test_the_first_ten_of_each_reason_are_shown(web, tmp_path, capsys):
    lines = [web.url(f"/no/{number}") for number in range(13)]
    assert gather(tmp_path, [web.url("/photo"), *lines]) == 0
    out = capsys.readouterr().out
    assert "left out, HTTP 404: 13" in out
    assert "/no/9 " in out
    assert "/no/10 " not in out
    assert "and 3 more" in out


def test_lines_that_repeat_are_counted(web, tmp_path, capsys):
    assert gather(tmp_path, [web.url("/photo")] * 3) == 0
    out = capsys.readouterr().out
    assert "1 of 1 pictures" in out
    assert f"2 lines of {tmp_path / 'list.txt'} repeat an earlier one" in out


def test_large_pictures_are_refused_and_the_limit_can_be_raised(server, tmp_path):
    large = answers.picture(1, size=(300, 200))
    lines = [server.add("/large.png", large)]
    assert gather(tmp_path, lines, max_pixels=50_000) == 4
    assert next(iter(journal(tmp_path).values()))["reason"] == "too many pixels"
    assert gather(tmp_path, lines, max_pixels=60_000) == 0


def test_a_folder_is_gathered_too_and_stays_as_it_is(tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    (photos / "b.jpg").write_bytes(PNG)
    (photos / "more" / "a.png").write_bytes(JPEG)
    (photos / "more" / "z.png").write_bytes(PNG)
    before = {p: p.read_bytes() for p in photos.rglob("*") if p.is_file()}
    assert gather(tmp_path, [], sources=photos, name_pattern="car_{}") == 0
    assert pictures(tmp_path) == {"car_1.png": PNG, "car_2.jpg": JPEG}
    assert {p: p.read_bytes() for p in photos.rglob("*") if p.is_file()} == before


def test_pictures_with_frames_are_taken_without_a_warning(server, tmp_path, recwarn):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert gather(tmp_path, ["two.gif"]) == 0
    assert list(pictures(tmp_path)) == ["cars_0001.gif"]
    assert [str(w.message) for w in recwarn if "frames" in str(w.message)] == []


@pytest.mark.parametrize("broken", ["missing.txt", "file"])
def test_what_cannot_be_used_is_named(tmp_path, broken, capsys):
    (tmp_path / "file").write_text("x")
    if broken == "file":
        assert gather(tmp_path, ["http://127.0.0.1:9/a"], folder=tmp_path / "file") == 2
    else:
        assert gather(tmp_path, [], sources=tmp_path / broken) == 4
    assert str(tmp_path / broken) in capsys.readouterr().err


@pytest.mark.parametrize("pattern", ["", "car_{:04d}", "{}", "a b {:02d} c", "图{:03d}"])
def test_good_name_patterns(pattern):
    assert name_problems(pattern) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "car", "car_{:04d}_{}", "{0}", "{:4d}", "{:f}", "{:0999d}", "{name}", "{0.real}", "{{}}",
        "{}{", "../{}", "a/{}", "a\\{}", ".{}", "{} ", "car:{}", "car_{}.jpg", "{}.PNG",
        "x" * 99 + "{:04d}",
    ],
)  # fmt: skip
def test_bad_name_patterns(pattern):
    assert name_problems(pattern)
    with pytest.raises(ConfigError, match="--name-pattern"):
        GatherConfig(sources="list.txt", folder="cars", name_pattern=pattern)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("cars", "cars_{:04d}"), ("{0.real}", "_0.real__{:04d}"), (".cars ", "cars_{:04d}"),
     ("x" * 200, "x" * 50 + "_{:04d}")],
)  # fmt: skip
def test_pictures_are_named_after_their_folder(tmp_path, name, wanted):
    assert default_pattern(tmp_path / name) == wanted
    assert name_problems(wanted) == []


@pytest.mark.parametrize("flag", ["--jobs", "--timeout", "--time-limit", "--max-bytes"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_settings_that_cannot_work_are_refused(flag, value, capsys):
    with pytest.raises(SystemExit) as error:
        parse(GatherConfig, ["list.txt", "cars", flag, value], "")
    assert error.value.code == 2
    assert flag in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_time_must_end(value):
    with pytest.raises(ConfigError, match="--time-limit"):
        GatherConfig(sources="list.txt", folder="cars", time_limit=float(value))


def test_a_run_that_is_killed_is_completed_by_the_next(server, tmp_path):
    names = [f"/{number}.png" for number in range(1, 9)]
    lines = [server.add(path, answers.picture(n)) for n, path in enumerate(names, 1)]
    server.add("/5.png", answers.dripping)
    command = [sys.executable, "-m", "tools.gather", write_list(tmp_path, lines), tmp_path / "cars"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    wanted = {f"cars_000{n}.png": answers.picture(n) for n in range(1, 9)}
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "cars" / "cars_0004.png").exists() or "/8.png" not in server.asked:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    stored = pictures(tmp_path)
    assert {name for name in stored if not name.startswith(".")} == set(list(wanted)[:4])
    assert all(stored[name] == wanted[name] for name in list(wanted)[:4])
    server.add("/5.png", answers.picture(5))
    server.asked.clear()
    assert gather(tmp_path, lines) == 0
    assert sorted(server.asked) == names[4:]
    assert pictures(tmp_path) == wanted
