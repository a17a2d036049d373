"""``--pixel-size`` is a number and a unit, and nothing else."""

import re

import pytest

from utils.prediction.pixel_size import parse_pixel_size


@pytest.mark.parametrize(
    ("text", "side", "unit"),
    [
        ("0.65um", 0.65, "um"),
        ("0.65 \u00b5m", 0.65, "um"),  # the micro sign
        ("0.65\u03bcm", 0.65, "um"),  # the Greek letter
        ("650nm", 650, "nm"),
        (" 1.2mm ", 1.2, "mm"),
        (".5 m", 0.5, "m"),
        ("3.cm", 3, "cm"),
        ("2km", 2, "km"),
    ],
)
def test_sizes(text, side, unit):
    assert parse_pixel_size(text) == (side, unit)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "give a number and a unit, such as 0.65um"),
        ("um", "give a number and a unit"),
        ("small", "give a number and a unit"),
        ("-0.65um", "give a number and a unit"),
        ("nan um", "give a number and a unit"),
        ("infum", "give a number and a unit"),
        ("0.65", "has no unit; give it too, such as 0.65um"),
        ("7", "has no unit"),
        ("2px", "no known unit; choose nm, um, mm, cm, m, km"),
        ("0.65Um", "no known unit"),
        ("0,65um", "no known unit"),
        ("1.2.3um", "give a number and a unit"),
        ("0.65um x 0.65um", "no known unit"),
        ("0um", "must lie in 1e-09..1e+09um"),
        ("0.0000000001um", "must lie in"),
        ("9999999999um", "must lie in"),
        ("9" * 400 + "um", "must lie in"),
    ],
)
def test_nonsense_is_told(text, told):
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        parse_pixel_size(text)
    assert repr(text) in str(error.value)
