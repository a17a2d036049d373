"""Help and wrong flags are answered at once: before torch and the like are imported."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SLOW = ("torch", "torchvision", "tensorboard", "matplotlib", "sympy")
# Runs a command as python does, and tells which slow modules it imported.
RUNNER = f"""
import runpy, sys
name = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, ".")
try:
    runpy.run_path(name, run_name="__main__") if name.endswith(".py") else runpy.run_module(
        name, run_name="__main__", alter_sys=True
    )
finally:
    print("slow:", *(module for module in {SLOW} if module in sys.modules))
"""
COMMANDS = (
    "train.py", "test.py", "predict.py",
    "tools.check", "tools.convert", "tools.gather", "tools.cross_validate", "tools.benchmark",
    "tools.inspect", "tools.export",
)  # fmt: skip
WRONG = {
    "train.py": ["--lr", "0"],
    "test.py": ["--operating-point", "best"],
    "predict.py": ["--pixel-size", "one"],
    "tools.check": ["data", "--channels", "0"],
    "tools.convert": ["data", "copy", "--to", "nothing"],
    "tools.gather": ["list.txt", "folder", "--jobs", "0"],
    "tools.cross_validate": ["--stages", "heads"],
    "tools.benchmark": ["load", "--rounds", "0"],
    "tools.inspect": ["explain", "0", "--object", "0"],
    "tools.export": ["--format", "onnx", "--size", "480"],
}


def ended(command, *arguments):
    """Exit code, output with the slow modules in its last line, and what went wrong."""
    result = subprocess.run(
        [sys.executable, "-c", RUNNER, command, *arguments],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_slow(command):
    code, output, _ = ended(command, "--help")

    assert code == 0
    assert output.startswith("usage:")
    assert output.splitlines()[-1] == "slow:"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("is_known", [False, True], ids=["no such flag", "wrong value"])
def test_wrong_flags_are_refused_without_anything_slow(command, is_known):
    code, output, errors = ended(command, *(WRONG[command] if is_known else ["--wrong-flag"]))

    assert code == 2
    assert "error:" in errors
    assert output.splitlines()[-1] == "slow:"


def test_what_is_slow_is_noticed(tmp_path):
    code, output, errors = ended("test.py", "--compare", str(tmp_path / "gone"))

    assert code == 4, errors
    assert output.splitlines()[-1].startswith("slow: torch torchvision")
