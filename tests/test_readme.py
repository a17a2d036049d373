"""The documents tell the truth: their commands parse, their tree is the one on disk."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from utils import config
from utils.command_line import build_parser
from utils.conversion.config import ConvertConfig
from utils.doctor.config import CheckConfig
from utils.export.config import ExportConfig
from utils.gathering.config import GatherConfig
from utils.inspection.config import ExplainConfig, InspectConfig
from utils.prediction.config import PredictConfig

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
COMMANDS = {
    "train.py": config.TrainConfig,
    "test.py": config.TestConfig,
    "predict.py": PredictConfig,
    "-m tools.check": CheckConfig,
    "-m tools.convert": ConvertConfig,
    "-m tools.gather": GatherConfig,
    "-m tools.cross_validate": config.TrainConfig,
    "-m tools.inspect explain": ExplainConfig,
    "-m tools.inspect": InspectConfig,
    "-m tools.export": ExportConfig,
}
NAMED = "|".join(map(re.escape, COMMANDS))


def commands(text):
    """Every ``python COMMAND ...`` and ``torchrun ... COMMAND ...`` in a text, its comment and what
    follows ``&&`` left out."""
    found = re.findall(rf"(?:python|torchrun(?: --[^ ]+ [^ ]+)*) ((?:{NAMED})[^`\n]*)", text)
    return [re.split(r"\s#|\s&&|[，。、（]", command)[0].strip() for command in found]


def documented():
    sources = [*DOCUMENTS, *ROOT.glob("*.py"), *ROOT.glob("tools/*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in sources}
    return sorted({(name, c) for name, text in texts.items() for c in commands(text)})


@pytest.mark.parametrize(("document", "command"), documented())
def test_a_documented_command_parses(document, command):
    name = re.match(NAMED, command)[0]
    arguments = shlex.split(command.removeprefix(name).replace("\\", ""))
    if arguments != ["--help"]:
        build_parser(COMMANDS[name], "").parse_args(arguments)


def test_both_readmes_name_the_same_commands():
    english, chinese = (
        commands((ROOT / name).read_text(encoding="utf-8"))
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese


def tree_in(text):
    """The paths drawn in the README's tree, by indentation."""
    block = text.split("## The tree")[1].split("```")[1]
    folders: list[str] = []
    for line in block.splitlines()[1:]:
        entry = line.split("  ")[0] if not line.startswith(" ") else line.strip().split("  ")[0]
        depth = (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        for name in entry.split():
            yield "".join(folders) + name
        if entry.endswith("/") and " " not in entry:
            folders.append(entry)


def test_the_tree_is_the_one_on_disk():
    drawn = set(tree_in((ROOT / "README.md").read_text(encoding="utf-8")))
    missing = [path for path in drawn if not (ROOT / path).exists()]
    assert not missing
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    code = {p for p in listed if not p.startswith("tests/") and not p.endswith("__init__.py")}
    assert code - drawn == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("picture", sorted(ROOT.glob("docs/**/*.[jp][pn]g")), ids=lambda p: p.name)
def test_pictures_are_small(picture):
    assert picture.stat().st_size < 300_000
