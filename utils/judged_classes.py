"""Which of the labels' classes a model is judged on."""

from __future__ import annotations

from collections import Counter

from utils.data.records import RecordSet


def judging_notes(labelled: RecordSet, trained: tuple[str, ...]) -> list[str]:
    """What is to be told where labels are not of the very classes of a model.

    Args:
        labelled: the images to judge it on, with the labels' own classes.
        trained: the model's classes. One class is the other where there is but one on both sides.
    """
    own = labelled.classes
    objects = Counter(
        own[one.label - 1]
        for record in labelled.images
        for one in record.instances
        if not one.iscrowd
    )
    notes = []
    shared = [name for name in trained if name in own]
    if not shared:
        notes.append(f"the labels' one class {own[0]!r} is taken for the weights' {trained[0]!r}")
        shared = list(own)
    elif set(own) != set(trained):
        unknown = [f"{name!r} ({objects[name]} objects)" for name in own if name not in trained]
        absent = [repr(name) for name in trained if name not in own]
        parts = [f"judged: {', '.join(shared)}"]
        if unknown:
            parts.append(f"unknown to the weights and left out: the labels' {', '.join(unknown)}")
        if absent:
            parts.append(f"not in the labels: the weights' {', '.join(absent)}")
        notes.append("; ".join(parts))
    if not any(objects[name] for name in shared):
        notes.append(
            f"the {len(labelled.images)} images hold no object to find, so there is no AP and only "
            "false alarms can be counted; if they should, python -m tools.check looks at the labels"
        )
    return notes


def unlabelled_classes(labelled: RecordSet, trained: tuple[str, ...]) -> frozenset[int]:
    """The labels of a model's classes that the data does not know; none where there is one class on
    both sides."""
    if len(labelled.classes) == len(trained) == 1:
        return frozenset()
    return frozenset(n for n, name in enumerate(trained, 1) if name not in labelled.classes)
