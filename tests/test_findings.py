"""Findings are sorted worst first, grouped by kind, cut at ten, and safe to print."""

import pytest

from utils.doctor.findings import (
    SEVERITIES,
    Finding,
    Kind,
    counts,
    grouped,
    headline,
    printable,
    report,
    worst_first,
)


def test_no_findings():
    assert worst_first([]) == []
    assert grouped([]) == {}
    assert report([]) == ""
    assert counts([]) == "nothing found"
    assert headline([]) == ""


def test_a_finding_names_place_value_and_fix():
    finding = Kind.SIZE.at("a.png", "is 3x4")
    assert finding == Finding(
        "error",
        "annotations of another size than their picture",
        "a.png",
        "is 3x4",
        "use the picture that was labelled",
    )
    assert str(finding) == "a.png: is 3x4"
    assert Kind.SMALL.at("a", "b", "note").severity == "note"


def test_kinds_are_listed_worst_first_and_have_titles_of_their_own():
    severities = [SEVERITIES.index(kind.severity) for kind in Kind]
    assert severities == sorted(severities)
    assert len({kind.title for kind in Kind}) == len(list(Kind)) > 20
    assert all(kind.fix for kind in Kind)


def test_worst_first_then_by_kind_and_place():
    note, late, early, error = (
        Kind.EMPTY.at("a", ""),
        Kind.LEAK.at("z", ""),
        Kind.LEAK.at("b", ""),
        Kind.UNREADABLE.at("zz", ""),
    )
    binary = Kind.BINARY.at("a", "")
    assert worst_first([note, binary, late, early, error]) == [error, early, late, binary, note]
    groups = grouped([note, late, error, early])
    assert list(groups) == [error.kind, late.kind, note.kind]
    assert groups[late.kind] == [early, late]


@pytest.mark.parametrize(("number", "more"), [(10, 0), (11, 1), (500, 490)])
def test_ten_places_are_shown_and_the_rest_counted(number, more):
    lines = report(Kind.THIN.at(f"{i:03}.png", "1x9") for i in range(number)).splitlines()
    assert lines[0] == f"warning: objects one pixel wide or high ({number})"
    assert [line for line in lines if ".png" in line] == [f"  {i:03}.png: 1x9" for i in range(10)]
    assert (f"  and {more} more" in lines) == bool(more)
    assert lines[-1] == f"  -> {Kind.THIN.fix}"


def test_counts_and_headline_are_in_words():
    findings = [Kind.EMPTY.at("a", ""), Kind.LEAK.at("b", ""), Kind.LEAK.at("c", "")]
    assert counts(findings) == "2 warnings, 1 note"
    assert headline(findings) == f"2 warnings ({Kind.LEAK.title})"
    assert headline(findings[:1]) == ""


def test_escape_sequences_of_strangers_do_not_reach_the_terminal():
    assert printable("a\x1b[2J\x07b\nc\u202e d\udcff") == "a?[2J?b c? d?"
    assert printable("图像 é") == "图像 é"
    finding = Kind.THIN.at("x\x1b.png", "y\x1b")
    assert "\x1b" not in report([finding])
