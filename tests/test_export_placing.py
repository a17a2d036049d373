"""Exported files come into place whole and together, or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from utils.exit_codes import exit_code
from utils.export.placing import placed_when_done


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KB; it can be made read-only."""
    folder = tmp_path / "small"
    folder.mkdir()
    if mount(folder, "size=64k"):
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mount(folder, options):
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_that_was_written_takes_its_place(tmp_path):
    (tmp_path / "best.xml").write_text("old")
    with placed_when_done(tmp_path / "best.xml") as place:
        assert place.name == "best.xml"
        assert place.parent.parent == tmp_path
        place.write_text("new")
        place.with_suffix(".bin").write_text("numbers")
        assert (tmp_path / "best.xml").read_text() == "old"

    assert names(tmp_path) == ["best.bin", "best.xml"]
    assert (tmp_path / "best.xml").read_text() == "new"


def test_the_file_itself_comes_last(tmp_path, monkeypatch):
    order = []
    replace = type(tmp_path).replace
    monkeypatch.setattr(
        type(tmp_path), "replace", lambda part, to: (order.append(to.name), replace(part, to))
    )
    with placed_when_done(tmp_path / "best.xml") as place:
        for name in ("best.bin", "best.xml", "best.xml.json", "a"):
            place.with_name(name).write_text("new")

    assert order[-1] == "best.xml"
    assert len(order) == 4


def write_half(place, error):
    place.write_text("half")
    raise error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_after_an_error_all_is_as_it_was(tmp_path, error):
    (tmp_path / "best.onnx").write_text("old")
    with pytest.raises(type(error)), placed_when_done(tmp_path / "best.onnx") as place:
        write_half(place, error)

    assert names(tmp_path) == ["best.onnx"]
    assert (tmp_path / "best.onnx").read_text() == "old"


def full(place):
    place.write_bytes(bytes(100_000))


def full_but_called_otherwise(place):
    try:
        full(place)
    except OSError:
        raise RuntimeError("unexpected pos 64 vs 0") from None


@pytest.mark.parametrize("fill", [full, full_but_called_otherwise])
def test_a_full_disk_is_told_and_the_old_file_stays(small_disk, fill):
    path = small_disk / "best.onnx"
    path.write_text("old")
    with (
        pytest.raises(OSError, match="cannot be written") as raised,
        placed_when_done(path) as place,
    ):
        fill(place)

    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(path)
    assert exit_code(raised.value) == 3
    assert names(small_disk) == ["best.onnx"]
    assert path.read_text() == "old"


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), placed_when_done(tmp_path / "a.onnx"):
        raise RuntimeError("boom")


def test_a_read_only_disk_is_told(small_disk):
    path = small_disk / "best.onnx"
    path.write_text("old")
    assert mount(small_disk, "remount,ro") == 0
    with pytest.raises(OSError, match="cannot be written") as raised, placed_when_done(path):
        pytest.fail("nothing is to be computed for a place that cannot be written to")

    assert exit_code(raised.value) == 2
    assert raised.value.filename == str(path)
    assert path.read_text() == "old"


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, placed_when_done(tmp_path / "no" / "a.onnx"):
        pytest.fail("nothing is to be computed for a place that is not there")

    assert raised.value.filename == str(tmp_path / "no" / "a.onnx")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_a_folder_that_takes_no_files_is_told():
    """To make something in /proc fails as if /proc were missing."""
    path = Path("/proc/best.onnx")
    with pytest.raises(OSError, match="cannot be written") as raised, placed_when_done(path):
        pytest.fail("nothing is to be computed for a place that cannot be written to")

    assert exit_code(raised.value) == 2
    assert raised.value.filename == str(path)


def test_a_killed_process_leaves_the_old_file(tmp_path):
    (tmp_path / "best.onnx").write_text("old")
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from utils.export.placing import placed_when_done\n"
        "with placed_when_done(Path(sys.argv[1])) as place:\n"
        "    place.write_text('half')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "best.onnx")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)

    assert (tmp_path / "best.onnx").read_text() == "old"
    assert all(name.startswith(".best.onnx.") for name in names(tmp_path) if name != "best.onnx")
    with placed_when_done(tmp_path / "best.onnx") as place:
        place.write_text("new")
    assert (tmp_path / "best.onnx").read_text() == "new"
