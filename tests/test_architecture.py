"""The rules of the house: who may import whom, what a file is called, how long it gets."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = ("train", "test", "predict")
OURS = ("nets", "utils", "tools", "my_dataset", *ENTRIES)
FILES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.py"), *(p for d in OURS for p in (ROOT / d).rglob("*.py")))
)
PACKAGE_FILES = [file for file in FILES if file.parts[0] in ("nets", "utils")]
FORBIDDEN = {"misc", "common", "general", "helper", "helpers", "core", "util", "utils"}
LONGEST_FUNCTION, LONGEST_FILE = 65, 320

# Who may import what of ours, the narrowest rule first; a name stands for all that is below it.
ALLOWED = {
    "nets": ("nets",),
    "utils.data": ("nets.contract", "utils.data"),
    "my_dataset": ("nets", "utils.data"),
    "utils.evaluation": (
        "nets",
        "utils.data",
        "utils.evaluation",
        "utils.device",
        "utils.processes",
    ),
    "utils": ("nets", "utils", "my_dataset"),
    "tools": ("nets", "utils", "my_dataset", "tools"),
    "": OURS[:4],
}


def module_name(file):
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def is_below(name, package):
    return package == "" or name == package or name.startswith(package + ".")


def imports_in(source, known=()):
    """Modules of ours that ``source`` imports, wherever in it; ``known`` tells modules apart from
    what is in them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
        elif isinstance(node, ast.ImportFrom):
            found.add("a relative import")
    return {name for name in found if name.split(".")[0] in (*OURS, "a relative import")}


KNOWN = {module_name(file) for file in FILES}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("", set()),
        ("import torch\nfrom numpy import array", set()),
        ("import nets", {"nets"}),
        ("from utils.data.records import to_rle", {"utils.data.records"}),
        ("from utils.data import records", {"utils.data.records"}),
        ("def f():\n    import utils.drawing", {"utils.drawing"}),
        ("if TYPE_CHECKING:\n    from train import main", {"train"}),
        ("from ..utils import drawing", {"a relative import"}),
        ("import tests_of_mine, testing, trainer", set()),
    ],
)
def test_imports_are_read(source, wanted):
    assert imports_in(source, KNOWN) == wanted


def test_there_are_files_to_look_at():
    assert {"train.py", "my_dataset.py", "nets/mask_rcnn.py", "utils/data/records.py"} <= {
        file.as_posix() for file in FILES
    }


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_point_one_way(file):
    name = module_name(file)
    allowed = next(names for package, names in ALLOWED.items() if is_below(name, package))
    imported = imports_in((ROOT / file).read_text(encoding="utf-8"), KNOWN)

    assert {i for i in imported if not any(is_below(i, a) for a in allowed)} == set()


@pytest.mark.parametrize("file", FILES, ids=str)
def test_nobody_imports_an_entry_script(file):
    imported = imports_in((ROOT / file).read_text(encoding="utf-8"), KNOWN)

    assert imported.isdisjoint(ENTRIES)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_is_named_for_its_noun(file):
    assert file.stem not in FORBIDDEN
    assert FORBIDDEN.isdisjoint(file.parts[1:-1])


@pytest.mark.parametrize("file", PACKAGE_FILES, ids=str)
def test_a_file_says_what_it_is_for(file):
    source = (ROOT / file).read_text(encoding="utf-8")

    assert not source or ast.get_docstring(ast.parse(source))
    assert source or file.name == "__init__.py"


def test_utils_itself_holds_no_code():
    assert (ROOT / "utils" / "__init__.py").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_and_functions_stay_short(file):
    source = (ROOT / file).read_text(encoding="utf-8")
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions}

    assert len(source.splitlines()) <= LONGEST_FILE
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}
