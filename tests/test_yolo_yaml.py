"""A YOLO data set's data.yaml: names and parts, and that nothing else in it does anything."""

import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from utils.data.formats.yolo_yaml import (
    MOST_BYTES,
    NOTHING,
    find_yaml,
    is_data_yaml,
    read_yaml,
)
from utils.data.records import DataError

SOUND = "train: images/train\nnames: [cat, dog]\n"


def write(folder, text, name="data.yaml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(path, *parts):
    with pytest.raises(DataError) as caught:
        read_yaml(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[cat, dog]", {0: "cat", 1: "dog"}),
        ("['no', \"1\", 2.5]\nnc: 3", {0: "no", 1: "1", 2: "2.5"}),
        ("\n  - cat\n  - yes\nnc: 2", {0: "cat", 1: "yes"}),
        ("\n  2: dog\n  0: cat\nnc: 2", {0: "cat", 2: "dog"}),
        ("{2: dog, 0: cat}\nnc: 3", {0: "cat", 2: "dog"}),
        ("[猫, pied-à-terre]\nnc:", {0: "猫", 1: "pied-à-terre"}),
    ],
)
def test_names_in_the_order_of_ids(tmp_path, text, names):
    read = read_yaml(write(tmp_path, f"train: a\nnames: {text}\n"))
    assert read.names == names
    assert list(read.names) == sorted(names)


@pytest.mark.parametrize(
    ("text", "parts", "base"),
    [
        ("train: a", {"train": ("a",)}, ""),
        ("train: [a, b.txt]\nval:\ntest: ~", {"train": ("a", "b.txt")}, ""),
        ("train: a\nvalid: b\npath: /x", {"train": ("a",), "val": ("b",)}, "/x"),
        ("path: null\ntrain: a\nvalid: b\nval: c", {"train": ("a",), "val": ("c",)}, ""),
        ("train: a\ntest: [c]\nval: []", {"train": ("a",), "test": ("c",)}, ""),
        ("\ufefftrain: a # the images\r\ndownload: exit(1)\r\n", {"train": ("a",)}, ""),
    ],
)
def test_parts_and_path(tmp_path, text, parts, base):
    read = read_yaml(write(tmp_path, f"{text}\nnames: [cat]\n"))
    assert (read.parts, read.path) == (parts, base)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["holds None", "must hold the keys train, val and names"]),
        ("- a", ["holds a list of 1"]),
        ("names: [cat]", ["has no key 'train'"]),
        ("train: a", ["names is None", "must be a list of class names"]),
        ("train: a\nnames: []", ["names is a list of 0"]),
        ("train: a\nnames: cat", ["names is 'cat'"]),
        ("train: a\nnames: [[cat]]", ["names[0] is a list of 1"]),
        ("train: a\nnames: ['']", ["names[0]", "no class name"]),
        ('train: a\nnames: ["\\e[2J"]', ["names[0]", "control characters"]),
        ("train: a\nnames: [cat, cat]", ["names gives 'cat' twice"]),
        ("train: a\nnames: {-1: cat}", ["names has the id '-1'"]),
        ("train: a\nnames: {x: cat}", ["names has the id 'x'"]),
        ("train: a\nnames: {0: cat, 00: dog}", ["names gives the id 0 twice"]),
        ("train: a\nnames: {0: cat, 0: dog}", ["line 2", "gives '0' twice"]),
        (f"{SOUND}nc: 3", ["nc is '3'", "names has 2 class(es)"]),
        (f"{SOUND}nc: [2]", ["nc is a list of 1"]),
        ("train: {a: b}\nnames: [cat]", ["train is an object of 1", "a .txt list"]),
        ("train: [a, [b]]\nnames: [cat]", ["train is a list of 1"]),
        ("train: [a, ~]\nnames: [cat]", ["train is '~'"]),
        (f"{SOUND}path: [a]", ["path is a list of 1"]),
        (f"{SOUND}train: b", ["line 1", "gives 'train' twice"]),
        (f"{SOUND}? [a, b]\n: c", ["unhashable"]),
        ("train: [a", ["line 1", "correct it"]),
        ("train: a\n\tnames: b", ["line 2"]),
        ("a: 1\n---\nb: 2", ["expected a single document"]),
        ('train: "\\UFFFFFFFF"', ["cannot be read as YAML"]),
        ("train: \x00", ["cannot be read as YAML"]),
        (b"train: \xff", ["is not UTF-8 text (byte 7)"]),
        (b"#" * (MOST_BYTES + 1), [f"larger than {MOST_BYTES} bytes"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, parts):
    refused(write(tmp_path, text), *parts)


def test_files_that_are_not_there(tmp_path):
    refused(tmp_path / "gone.yaml", "is not a file")
    refused(tmp_path, "is not a file")


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (LAUGHS, "line 1: anchors and aliases"),
        ("names: *x", "anchors and aliases"),
        ("names: &x [cat]", "anchors and aliases"),
        ("&x names: [cat]", "anchors and aliases"),
        ("<<: &x {a: b}", "anchors and aliases"),
        ("names: !!python/object/apply:os.system ['touch pwned']", "tags (!)"),
        ("!!python/name:os.system x: y", "tags (!)"),
        ("names: !<tag:yaml.org,2002:python/module:os> ''", "tags (!)"),
        ("names: !!str cat", "tags (!)"),
        ("%TAG ! tag:yaml.org,2002:\n---\nnames: !int 5", "tags (!)"),
        ("[" * 200_000, "nested too deep"),
        ("{a: " * 60_000, "nested too deep"),
        ("- " * 100_000, "nested too deep"),
        ("\n".join(" " * n + "a:" for n in range(500)), "nested too deep"),
    ],
)
def test_more_than_plain_values_is_refused_at_once(tmp_path, monkeypatch, text, part):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, f"{text}\n")
    started = time.perf_counter()
    refused(path, part)
    assert time.perf_counter() - started < 5
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_would_take_long_stay_text(tmp_path):
    text = f"x: {':1' * 100_000}\ny: {'9' * 90_000}\n"
    assert read_yaml(write(tmp_path, SOUND + text)).names == {0: "cat", 1: "dog"}


def test_which_file_is_taken(tmp_path):
    assert find_yaml(tmp_path) == []
    assert find_yaml(tmp_path / "gone") == []
    write(tmp_path, "lr: 0.1\nnames: [cat]", "hyp.yaml")
    write(tmp_path, "train: [", "broken.yaml")
    write(tmp_path, "# names, train", "empty.yaml")
    assert find_yaml(tmp_path) == []
    both = [write(tmp_path, SOUND, "a.YML"), write(tmp_path, SOUND, "coco8.yaml")]
    assert find_yaml(tmp_path) == both
    assert is_data_yaml(both[0])
    damaged = write(tmp_path, "[", "data.yml")
    assert find_yaml(tmp_path) == [damaged]
    assert not is_data_yaml(damaged)
    write(tmp_path, SOUND)
    assert find_yaml(tmp_path) == [tmp_path / "data.yaml"]


NAMES = st.text(st.characters(categories=("L", "N", "Zs", "P", "S")), min_size=1).filter(str.strip)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.integers(0, 999), NAMES, min_size=1),
    st.booleans(),
    NAMES.filter(lambda text: text not in NOTHING),
)
def test_what_pyyaml_writes_is_read_back(tmp_path_factory, names, flow, folder):
    names = dict(zip(names, dict.fromkeys(names.values()), strict=False))
    content = {"path": folder, "train": [folder], "nc": len(names), "names": names}
    text = yaml.safe_dump(content, allow_unicode=True, default_flow_style=flow)
    read = read_yaml(write(tmp_path_factory.mktemp("any"), text))
    assert read.names == names
    assert (read.path, read.parts) == (folder, {"train": (folder,)})
