"""The headline numbers, the score thresholds, and what goes wrong, as the page tells them."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report_scene import CAT, DOG, drawn_assessment

from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.report.error_charts import (
    SIDES,
    confusion_table,
    error_charts,
    paired_areas,
    size_bins,
)
from utils.report.headline import headline_table
from utils.report.score_charts import cost_table, largest, score_charts, total_cost

HALF = OperatingPoint("f1", {"cat": 0.5, "dog": 0.5}, {}, {})


class Rows(HTMLParser):
    """The cells of all tables, row by row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th")
        if self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def rows_of(text):
    return {row[0]: row[1:] for row in Rows(text).rows}


@pytest.fixture(scope="module")
def judged():
    return drawn_assessment(point=HALF, input_size=(64, 64))


def test_headline_numbers_are_those_of_the_assessment(judged):
    rows = rows_of(headline_table(judged))
    assert rows["masks: AP"][0] == f"{judged.metrics['segm/AP']:.3f}"
    assert rows["masks: AP"][2] == f"{judged.ceiling.metrics['ceiling/AP']:.3f}"
    assert rows["precision"][0] == "0.500"  # of six sure detections three are right
    assert rows["recall"][0] == "0.600"
    assert rows["counts: MAE"][0] == "0.600"  # 0, 1, 1, 1 and 0
    found = judged.intervals["segm/Dice"]
    assert rows["pixels: Dice"][1] == f"{found.low:.3f} – {found.high:.3f}"
    assert rows["boxes: AP"][2] == "-"


def test_what_is_undefined_has_a_reason():
    nothing = drawn_assessment([([], []), ([], [])], HALF)
    text = headline_table(nothing)
    assert rows_of(text)["masks: AP"] == ["-", "-", "-"]
    assert "- no object is labelled: masks: AP, masks: AP50" in text
    boxes = headline_table(drawn_assessment(point=HALF, has_masks=False))
    assert "- the predictions hold no masks: masks: AP" in boxes
    assert rows_of(boxes)["boxes: AP"][0] != "-"


def test_classes_have_rows_of_their_own_if_there_are_several(judged):
    count, ap, _, ap50, _ = rows_of(headline_table(judged))["dog"]
    numbers = [judged.metrics[f"segm/{name}/dog"] for name in ("AP", "AP50")]
    assert [count, ap, ap50] == ["2", *(f"{number:.3f}" for number in numbers)]
    point = OperatingPoint("f1", {"cat": 0.5}, {}, {})
    single = drawn_assessment([([(CAT, 4, 4, 20)], [])] * 2, point, classes=("cat",))
    assert "per class" not in headline_table(single)


def test_numbers_go_by_max_dets():
    text = headline_table(drawn_assessment(point=HALF, max_dets=7))
    assert rows_of(text)["masks: AR7"][0] != "-"


def test_costs(judged):
    rows = rows_of(cost_table(HALF.thresholds, judged.costs))
    assert rows["cat"] == ["0.50", "1", "1", "2", "0.500", "0.333", "0.400"]
    assert rows["dog"] == ["0.50", "2", "2", "0", "0.500", "1.000", "0.667"]
    assert rows["all"] == ["", "3", "3", "2", "0.500", "0.600", "0.545"]
    assert total_cost({}) == Cost(0, 0, 0)
    assert "all" not in rows_of(cost_table({"cat": 0.5}, {"cat": Cost(0, 0, 0)}))


def test_each_class_has_its_threshold_marked(judged):
    point = OperatingPoint("f1", {"cat": 0.25, "dog": 0.75}, {}, {"dog": "a <note>"})
    text = score_charts(drawn_assessment(point=point))
    assert text.count("<svg") == 3
    assert ">threshold 0.25<" in text
    assert ">threshold 0.75<" in text
    assert "a &lt;note&gt;" in text
    left, right = (float(x) for x in re.findall(r'class="mark" d="M([\d.]+) 34V', text))
    assert right - left == pytest.approx((420 - 58 - 14) / 2, abs=0.1)


def test_nothing_found_has_no_charts():
    text = score_charts(drawn_assessment([([(CAT, 4, 4, 20)], [])] * 2))
    assert "<svg" not in text
    assert rows_of(text)["cat"][1:4] == ["0", "0", "2"]


def test_charts_of_the_largest_classes():
    names = [f"class {n}" for n in range(12)]
    scenes = [([(n + 1, 4, 4, 20)] * (1 + (n > 2)), [(n + 1, 4, 4, 20, 0.9)]) for n in range(12)]
    judged = drawn_assessment(scenes, classes=names)
    assert largest(judged.matches["segm"]) == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    text = score_charts(judged)
    assert text.count("<svg") == 10
    assert "3 classes with fewer objects have no charts" in text
    assert "class 0" in rows_of(text)


def test_a_confusion_matrix(judged):
    rows = Rows(confusion_table(judged.confusion, ["cat", "<dog>"])).rows
    assert rows == [
        ["", "cat", "<dog>", "nothing"],
        ["cat", "1", "1", "1"],
        ["<dog>", "0", "2", "0"],
        ["nothing", "1", "1", ""],
    ]


def test_shades_are_shares_of_the_row():
    text = confusion_table(np.array([[3, 1], [0, 0]]), ["cat"])
    assert "rgba(0,158,115,0.45)" in text
    assert "rgba(213,94,0,0.15)" in text
    assert "nan" not in text


def test_of_many_classes_the_largest_confusions():
    matrix = np.diag([9] * 21)
    matrix[3, 5], matrix[2, 20] = 4, 7
    rows = Rows(confusion_table(matrix, [str(n) for n in range(20)])).rows
    assert rows[1:] == [["2", "nothing", "7"], ["3", "5", "4"]]


@pytest.mark.parametrize(
    ("side", "number"), [(0, 0), (15.9, 0), (16, 1), (31, 1), (511, 8), (512, 9), (9999, 9)]
)
def test_bins_of_size(side, number):
    assert size_bins(np.array([float(side) ** 2])) == number
    assert number < len(SIDES)


def test_errors(judged):
    text = error_charts(judged)
    assert text.count("<svg") == 5
    assert "1 of 5 objects is missed" in text
    assert ">16 to 32<" in text
    true, found = paired_areas(judged)
    assert true.tolist() == [400, 576, 1600]
    assert found.tolist() == [400, 576, 1444]


def test_no_errors_are_known_without_masks():
    assert error_charts(drawn_assessment(point=HALF, has_masks=False)) == ""


@pytest.mark.parametrize(
    "scenes",
    [
        [([], []), ([], [])],
        [([(CAT, 4, 4, 20)], []), ([], [])],
        [([], [(DOG, 4, 4, 20, 0.9)]), ([], [])],
        [([(CAT, 4, 4, 20)], [(CAT, 4, 4, 20, 0.9)]), ([], [])],
    ],
)
def test_few_objects(scenes):
    text = error_charts(drawn_assessment(scenes, HALF))
    assert "Counts per image" in text
    assert "against the labels" not in text
