"""Class lists: the two formats, wrong ones, and names held against them."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data import label_map
from utils.data.label_map import class_names, find_label_map, read_label_map, similar_names
from utils.data.records import DataError


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_no_list_and_empty_lists(tmp_path):
    assert find_label_map(tmp_path) is None
    assert find_label_map(tmp_path / "not here") is None
    for name in ("labelmap.pbtxt", "labels.txt"):
        for text in ("", "\n \n", "# nothing\n" if name.endswith("pbtxt") else "_background_\n"):
            with pytest.raises(DataError, match=rf"{name}.*names no class"):
                read_label_map(write(tmp_path, name, text))
    with pytest.raises(DataError, match="cannot be read"):
        read_label_map(tmp_path / "gone.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_label_map(tmp_path)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("item { id: 1 name: 'person' }", ("person",)),
        ('item {\n  id: 2\n  name: "b"\n}\nitem {\n  name: "a"\n  id: 1\n}\n', ("a", "b")),
        ("item: { id: 1, name: 'a', display_name: 'A' }", ("a",)),
        ("# cars\nitem { id: 1; name: 'car' # the class\n}", ("car",)),
        ("item { id: 0 name: 'background' } item { id: 1 name: 'a' }", ("a",)),
        (r"item { id: 1 name: 'driver\'s' }", ("driver's",)),
        ("\ufeffitem { id: 1 name: '猫 } {' }\r\n", ("猫 } {",)),
    ],
)
def test_pbtxt(tmp_path, text, names):
    path = write(tmp_path, "labelmap.pbtxt", text)
    assert find_label_map(tmp_path) == path
    assert read_label_map(path) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item { id: 1 name: 'a' } item { id: 3 name: 'b' }", "id 2 is missing"),
        ("item { id: 2 name: 'a' }", "id 1 is missing"),
        ("item { id: -1 name: 'a' }", "id -1 is too much"),
        ("item { id: 0 name: 'cat' }", "id 0 is too much"),
        ("item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "taken"),
        ("item { id: 1 name: 'a' } item { id: 2 name: 'a' }", "'a' twice"),
        ("item { id: 1 id: 2 name: 'a' }", "id twice"),
        ("item { name: 'a' }", "needs id and name"),
        ("item { id: 'x' name: 'a' }", "must be a number"),
        ("item { id: 99999999999999 name: 'a' }", "must be a number"),
        ("item { id: 1 name: a }", "in quotes"),
        ("item { id: 1 name: '' }", "no class name"),
        ("item { id: 1 name: 'a'", "not closed"),
        ("item { id: 1\nname: 'a", "line 2"),
        ("things { id: 1 }", "'things' is not expected"),
        ("item { id: 1 name: 'a' } }", "'}' is not expected"),
        ("$", "line 1"),
        (b"item { id: 1 name: '\xff' }", "UTF-8"),
    ],
)
def test_wrong_pbtxt(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"labelmap\.pbtxt.*{message}"):
        read_label_map(write(tmp_path, "labelmap.pbtxt", text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("b\na\n", ("b", "a")),
        ("_background_\ncat\n", ("cat",)),
        ("__ignore__\n_background_\ncat\r\ndog", ("cat", "dog")),
        ("\ufeff_background_\n猫\n\n  bird  \n", ("猫", "bird")),
    ],
)
@pytest.mark.parametrize("name", ["label_names.txt", "labels.txt", "classes.txt"])
def test_one_name_per_line(tmp_path, name, text, names):
    assert read_label_map(write(tmp_path, name, text)) == names
    assert find_label_map(tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\nb\na\n", "'a' twice"), ("a\n\x1b[2J\n", "class 2.*control"), (b"\xff\xfea", "UTF-8")],
)
def test_wrong_lines(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"labels\.txt.*{message}"):
        read_label_map(write(tmp_path, "labels.txt", text))


def test_a_huge_list_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(label_map, "MOST_BYTES", 3)
    with pytest.raises(DataError, match="larger than 3 bytes"):
        read_label_map(write(tmp_path, "labels.txt", "abcd"))


def test_long_lists_are_read_in_time(tmp_path):
    names = [f"class {n}" for n in range(50_000)]
    path = write(tmp_path, "labels.txt", "\n".join(names))
    start = time.perf_counter()
    assert read_label_map(path) == class_names(seen(*names), [tmp_path], tmp_path) == tuple(names)
    assert time.perf_counter() - start < 5  # comparing all pairs takes half a minute


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["item", "{", "}", ":", "id", "name", "1", "2", "'a'", '"b', "#",
                                 "\n", " ", ",", "é", "\\"]), max_size=20))  # fmt: skip
def test_any_text_gives_names_or_one_error(tmp_path_factory, tokens):
    for name in ("labelmap.pbtxt", "labels.txt"):
        path = write(tmp_path_factory.mktemp("any"), name, " ".join(tokens))
        names, message = (), ""
        try:
            names = read_label_map(path)
        except DataError as error:
            message = str(error)
        assert len(set(names)) == len(names)
        assert bool(names) != (name in message)


def seen(*names):
    """Names with the places where they were seen."""
    return {name: f"{2 * n}.png" for n, name in enumerate(names, start=1)}


def test_classes_are_sorted_names_or_the_list(tmp_path):
    listed = tmp_path / "listed"
    listed.mkdir()
    assert class_names(seen("b", "a"), [tmp_path, listed], tmp_path) == ("a", "b")
    with pytest.raises(DataError, match="no object in any"):
        class_names({}, [tmp_path], tmp_path)
    write(listed, "labels.txt", "tree\nperson\n")
    assert class_names({}, [tmp_path, listed], tmp_path) == ("tree", "person")
    assert class_names(seen("person"), [tmp_path, listed], tmp_path) == ("tree", "person")
    write(listed, "labels.txt", "background\ntree\nperson\n")
    assert class_names(seen("person"), [listed], tmp_path) == ("tree", "person")
    write(listed, "label_names.txt", "background\n")
    with pytest.raises(DataError, match=r"label_names\.txt: names no class but the background"):
        class_names(seen("person"), [listed], tmp_path)
    (listed / "label_names.txt").unlink()
    with pytest.raises(DataError) as caught:
        class_names({"tre": "2.png", "person": "3.png", "persn": "4.png"}, [listed], tmp_path)
    first, second = caught.value.problems
    assert re.match(r"4\.png: .* 'persn', which is not in .*labels\.txt .*'person'", first)
    assert re.match(r"2\.png: .* 'tre', which is not in .*labels\.txt .*'tree'", second)
    assert str(caught.value) == f"{first}\n{second}"


@pytest.mark.parametrize(
    ("names", "notes"),
    [
        ([], 0),
        (["cat", "dog", "bus", "glass", "as", "a"], 0),
        (["Person", "person "], 1),
        (["person", "persons", "cat", "Cats"], 2),
        (["box", "boxes"], 1),
        (["berry", "berries"], 1),
        (["traffic light", "traffic_light", "Traffic-Lights"], 1),
    ],
)
def test_near_duplicates_are_pointed_out(names, notes):
    found = similar_names(names)
    assert len(found) == notes
    assert all("look like one" in note for note in found)
