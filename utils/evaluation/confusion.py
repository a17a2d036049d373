"""Which class is taken for which: the confusion matrix of the verdicts, and its text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from utils.data.records import first_ten
from utils.evaluation.error_kinds import ImageErrors

MOST_CLASSES = 15  # in a table; of more, the largest confusions are lines
PAIRED = ("correct", "wrong class")  # detections that are one with an object
NOTHING = "(nothing)"


def confusion_matrix(errors: Iterable[ImageErrors], classes: Sequence[str]) -> np.ndarray:
    """Objects by their class and by the class they were found as.

    An object that is found counts on the diagonal and one of the wrong class beside it. Every other
    object counts in the last column, every other detection in the last row; what is ignored counts
    nowhere. So a row's sum is the number of objects of a class, a column's that of detections.

    Returns:
        int64 (K + 1, K + 1): rows are the truth, columns what was predicted, both in label order;
        the last row and column are background.
    """
    matrix = np.zeros((len(classes) + 1, len(classes) + 1), dtype=np.int64)
    for image in errors:
        of_object = {seen.other: seen.label for seen in image.detections if seen.kind in PAIRED}
        for there in image.objects:
            if there.kind != "ignored":
                matrix[there.label - 1, of_object.get(there.index, 0) - 1] += 1
        for seen in image.detections:
            if seen.kind not in (*PAIRED, "ignored"):
                matrix[-1, seen.label - 1] += 1
    return matrix


def confusion_text(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """The matrix for the terminal: a table, or of many classes the largest confusions as lines."""
    return (_table if len(classes) <= MOST_CLASSES else _lines)(matrix, classes)


def _table(matrix: np.ndarray, classes: Sequence[str]) -> str:
    """Columns have the numbers of the rows, so that names can be long."""
    heads = [*(str(label) for label in range(1, len(classes) + 1)), "-"]
    names = [f"{head:>2} {name}" for head, name in zip(heads, (*classes, NOTHING), strict=True)]
    title = "is \\ taken for"
    left = max(len(name) for name in (title, *names))
    right = max(4, len(str(matrix.max()))) + 2
    lines = [f"{title:<{left}}" + "".join(f"{head:>{right}}" for head in heads)]
    for name, row in zip(names, matrix.tolist(), strict=True):
        lines.append(f"{name:<{left}}" + "".join(f"{number:>{right}}" for number in row))
    return "\n".join(lines)


def _lines(matrix: np.ndarray, classes: Sequence[str]) -> str:
    between = matrix[:-1, :-1] * ~np.eye(len(classes), dtype=bool)
    rows, columns = np.nonzero(between)
    order = np.argsort(-between[rows, columns], kind="stable")
    confusions = [
        f"{between[row, column]} of {matrix[row].sum()} {classes[row]} are taken for "
        f"{classes[column]}"
        for row, column in zip(rows[order], columns[order], strict=True)
    ]
    objects, invented = matrix[:-1], matrix[-1].sum()
    summary = (
        f"of {objects.sum()} objects {np.trace(matrix)} are found, {between.sum()} as another "
        f"class, {objects[:, -1].sum()} not; {invented} other detections"
    )
    return "\n".join([summary, *first_ten(confusions)])
