"""The rows of YOLO label files: numbers, ids, what is refused and how it is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.data.formats.yolo_rows import parse_rows

TRIANGLE = (0.1, 0.2, 0.3, 0.2, 0.3, 0.4)
TEXT = " ".join(map(str, TRIANGLE))


def test_no_rows():
    assert parse_rows("", None) == ([], [])
    assert parse_rows("\n \r\n\t\n", None) == ([], [])


def test_rows_and_their_lines():
    rows, wrong = parse_rows(f"0 {TEXT}\r\n\n  2\t0.5 5e-1 .5 0.50  \n1.000e+00 {TEXT}", {0, 1, 2})
    assert wrong == []
    assert rows == [(1, 0, TRIANGLE), (3, 2, (0.5,) * 4), (4, 1, TRIANGLE)]
    assert [row.is_box for row in rows] == [False, True, False]


def test_a_polygon_is_in_pixels():
    (row,), _ = parse_rows("0 0 0.5 1 0.25 0.5 1", None)
    assert row.polygon(200, 40) == [0, 20, 200, 10, 100, 40]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (f"x {TEXT}", "has the class id 'x'"),
        (f"-1 {TEXT}", "has the class id '-1', must be a whole number"),
        (f"0.5 {TEXT}", "has the class id '0.5'"),
        (f"nan {TEXT}", "has the class id 'nan'"),
        (f"1e300 {TEXT}", "has the class id '1e300'"),
        (f"inf {TEXT}", "has the class id 'inf'"),
        (f"3 {TEXT}", "has the class id 3, names are given for 2 class(es), ids 0 to 2"),
        ("0", "holds 0 number(s)"),
        ("0 0.5", "holds 1 number(s)"),
        ("0 0.5 0.5", "holds 2 number(s)"),
        ("0 0.5 0.5 0.1 0.1 0.9", "holds 5 number(s)"),
        (f"0 {TEXT} 0.9", "holds 7 number(s)"),
        ("0 0.1 0.2 0.3 0.2 0.3 y", "holds 'y', must be a finite number"),
        ("0 0.1 0.2 nan 0.2 0.3 0.4", "holds 'nan', must be a finite number"),
        ("0 0.1 0.2 -inf 0.2 inf 0.4", "holds '-inf', must be a finite number"),
        ("0 0.1 1e308 0.3 1e308 0.3 0.4", "holds "),
        ("0 12 20 30 20 30 40", "holds '40', coordinates are shares"),
        ("0 0.1 0.2 -5 0.2 0.3 0.4", "holds '-5', coordinates are shares"),
        ("0 0.1 0.2 2.01 0.2", "divide x by its width"),
    ],
)
def test_wrong_rows_are_named(text, parts):
    rows, wrong = parse_rows(f"2 {TEXT}\n{text}", {0, 2})
    assert len(rows) == 1
    assert len(wrong) == 1
    assert wrong[0].startswith("line 2 ")
    assert parts in wrong[0]


@given(st.text(), st.sampled_from([None, {0}, {0, 3}]))
def test_any_text_gives_rows_or_problems(text, known):
    rows, wrong = parse_rows(text, known)
    assert len(rows) + len(wrong) == sum(bool(line.strip()) for line in text.split("\n"))
    assert all(len(problem) < 400 for problem in wrong)


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.floats(-1, 2), min_size=6, max_size=6))))
def test_sound_rows_come_back(rows):
    text = "\n".join(" ".join(map(str, (number, *values))) for number, values in rows)
    found, wrong = parse_rows(text, None)
    assert wrong == []
    assert [(row.number, list(row.values)) for row in found] == rows
