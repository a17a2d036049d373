"""Rules for score thresholds, as they are written on the command line."""

import pytest

from utils.evaluation.threshold_rule import in_words, parse_rule


@pytest.mark.parametrize(
    ("rule", "wanted", "words"),
    [
        ("f1", ("f1", 0), "best F1"),
        ("recall=0.95", ("recall", 0.95), "recall at least 0.95"),
        ("recall=1", ("recall", 1), "recall at least 1"),
        ("precision=.9", ("precision", 0.9), "precision at least .9"),
        ("false-alarms=0", ("false-alarms", 0),
         "at most 0 false alarms per image without objects"),
        ("false-alarms=3", ("false-alarms", 3),
         "at most 3 false alarms per image without objects"),
    ],
)  # fmt: skip
def test_rules_are_read_and_told(rule, wanted, words):
    assert parse_rule(rule) == wanted
    assert in_words(rule) == words


@pytest.mark.parametrize(
    "rule",
    ["", "f2", "F1", "f1=", "f1=0.5", "recall", "recall=", "recall=0", "recall=1.01", "recall=95",
     "recall=nan", "recall=high", "Recall=0.5", " recall=0.5", "precision=-0.1",
     "precision=0", "precision=1e9", "false-alarms=-1", "false-alarms=inf",
     "false-alarms=nan", "=0.5", "recall=0.9=0.8"],
)  # fmt: skip
def test_other_rules_are_refused_with_the_choices(rule):
    with pytest.raises(ValueError, match="no rule for score thresholds; choose f1") as caught:
        parse_rule(rule)
    assert repr(rule) in str(caught.value)


def test_an_unknown_rule_of_a_file_is_told_as_it_is():
    assert in_words("cost=3{}") == "cost=3{}"
