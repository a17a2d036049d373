"""Which of two models is better on the same images, as text for the terminal."""

from __future__ import annotations

from utils.data.records import DataError
from utils.evaluation.assessment import Assessment
from utils.evaluation.comparison import compare

HEADLINES = ("segm/AP", "segm/AP50", "bbox/AP", "bbox/AP50")


def describe_difference(
    first_name: str, first: Assessment, second_name: str, second: Assessment
) -> str:
    """A verdict in a sentence for each headline number that both have.

    Raises:
        DataError: they were not judged on the same images.
    """
    names = [[data.name_of(r) for r in data.images] for data in (first.data, second.data)]
    if (
        names[0] != names[1]
        or first.data.classes != second.data.classes
        or first.data.fingerprint() != second.data.fingerprint()
    ):
        raise DataError(
            f"{first_name} and {second_name} were judged on different images, labels or classes, "
            "so which is better cannot be said; give both the same, with --data and --split all"
        )
    kinds = [kind for kind in first.matches if kind in second.matches]
    differences = compare(
        {kind: first.matches[kind] for kind in kinds},
        {kind: second.matches[kind] for kind in kinds},
        first.data.classes,
        first.max_dets,
    )
    lines = [f"A is {first_name}", f"B is {second_name}"]
    lines += [differences[name].sentence("A", "B") for name in HEADLINES if name in differences]
    if len(lines) == 2:
        lines.append("nothing can be compared: too few images or objects")
    return "\n".join(lines)
