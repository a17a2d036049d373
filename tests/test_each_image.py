"""Every image is read, whatever is wrong with others."""

import pytest

from utils.data.formats.each_image import problems_of, read_each
from utils.data.records import DataError


def odd(number):
    if number % 2 == 0:
        raise DataError(f"{number} is even", [f"{number} is even", "be odd"][: 1 + number // 4])
    return 10 * number


def test_nothing_is_read_as_nothing():
    assert read_each(odd, []) == []
    assert problems_of([]) == []


def test_results_and_problems_keep_their_order():
    results = read_each(odd, range(1, 6))
    assert [one for one in results if isinstance(one, int)] == [10, 30, 50]
    assert [isinstance(one, DataError) for one in results] == [False, True, False, True, False]
    assert problems_of(results) == ["2 is even", "4 is even", "be odd"]


def test_other_errors_are_not_taken_for_wrong_data():
    with pytest.raises(ZeroDivisionError):
        read_each(lambda number: 1 // number, [0])
