"""Splits: seeded, complete, without overlap, stratified, grouped, and refused for other data."""

import itertools
import json
import math
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from utils.data.records import DataError, ImageRecord, Instance, RecordSet
from utils.data.splits import (
    Split,
    draw_problems,
    group_of,
    held_out_count,
    make_folds,
    make_split,
    own_split,
    read_split,
)
from utils.data.stratified_draw import Unit, draw_part

CLASSES = ("a", "b", "c", "d", "e")


def thing(label, iscrowd=0):
    return Instance(label, [[0, 0, 4, 0, 4, 4]], (0, 0, 4, 4), 8.0, iscrowd)


def data_with(labels, names=None, root=Path("root")):
    """One image for each set of labels."""
    names = names or [f"{i:03d}.png" for i in range(len(labels))]
    images = tuple(
        ImageRecord(i + 1, root / names[i], 8, 8, tuple(thing(label) for label in held))
        for i, held in enumerate(labels)
    )
    return RecordSet(root, "drawn", CLASSES, images)


def data_of(count, root=Path("root")):
    return data_with([()] * count, root=root)


def count_classes(data, names):
    """How many of the named images hold each class; 0: none."""
    return Counter(
        label
        for record in data.subset(names).images
        for label in {i.label for i in record.instances} or {0}
    )


def plain_split(data, seed):
    """What was drawn before there were classes and groups: the first of the shuffled names."""
    names = sorted(data.names())
    shuffled = random.Random(seed).sample(names, len(names))
    return tuple(sorted(shuffled[: held_out_count(len(names))]))


label_sets = st.lists(st.frozensets(st.integers(1, 5), max_size=3), min_size=2, max_size=60)
one_label = st.lists(
    st.frozensets(st.integers(1, 5), min_size=1, max_size=1) | st.just(frozenset()),
    min_size=2, max_size=60,
)  # fmt: skip
seeds = st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("images", "held_out"),
    [(2, 1), (3, 1), (5, 1), (10, 2), (100, 20), (169, 34), (170, 50), (171, 34), (1000, 200)],
)
def test_a_fifth_is_held_out_and_50_of_170(images, held_out):
    assert held_out_count(images) == held_out
    split = make_split(data_of(images), seed=0)
    assert (len(split.train), len(split.val)) == (images - held_out, held_out)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("draw", [make_split, lambda data, seed: make_folds(data, seed, 2)])
def test_nothing_to_split_is_refused(count, draw):
    with pytest.raises(DataError, match=rf"root: {count} image\(s\); at least 2"):
        draw(data_of(count), seed=0)


@given(label_sets, seeds)
def test_sides_cover_all_images_and_share_none(labels, seed):
    data = data_with(labels)
    split = make_split(data, seed)
    assert sorted(split.train + split.val) == list(data.names())
    assert split.train
    assert split.val


def test_seed_decides_the_split_and_image_order_does_not():
    data = data_with([(i % 3 + 1,) for i in range(40)])
    split = make_split(data, seed=3)
    assert make_split(replace(data, images=data.images[::-1]), seed=3) == split
    assert make_split(data, seed=4).val != split.val


def test_split_is_the_same_on_every_machine():
    assert make_split(data_of(20), seed=0).val == ("001.png", "008.png", "012.png", "013.png")


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("count", [2, 7, 169, 170, 171, 500])
def test_one_class_gives_the_plain_seeded_draw(count, seed):
    data = data_with([(1,)] * count)
    assert make_split(data, seed).val == plain_split(data, seed)


def test_the_tutorials_share_of_170_is_the_same_as_ever():
    val = make_split(data_with([(1,)] * 170), seed=0).val
    assert len(val) == 50
    assert val[:5] == ("000.png", "003.png", "008.png", "010.png", "015.png")


@given(one_label, seeds)
def test_every_class_has_exactly_its_share(labels, seed):
    data = data_with(labels)
    split = make_split(data, seed)
    share = Fraction(held_out_count(len(labels)), len(labels))
    total, held = count_classes(data, data.names()), count_classes(data, split.val)
    wanted = {c: max(round(n * share), int(n > 1)) for c, n in total.items()}
    assume(any(wanted.values()))  # else one image is held out all the same
    assert held == {c: n for c, n in wanted.items() if n}


@given(label_sets, seeds)
def test_classes_of_two_images_are_trained_on(labels, seed):
    data = data_with(labels)
    split = make_split(data, seed)
    common = {c for c, n in count_classes(data, data.names()).items() if n > 1}
    assert common <= set(count_classes(data, split.train))


@settings(max_examples=60)
@given(
    st.lists(st.frozensets(st.integers(1, 3), min_size=1, max_size=2), min_size=3, max_size=7),
    st.integers(0, 50),
)
def test_classes_are_held_out_wherever_that_can_be_had(labels, seed):
    """Held against every division there is, a greedy draw has at most one class less on both
    sides."""
    data = data_with(labels)
    names = data.names()
    common = {c for c, n in count_classes(data, names).items() if n > 1}
    best = max(
        len(common & set(count_classes(data, val)) & set(count_classes(data, train)))
        for size in range(1, len(names))
        for val in itertools.combinations(names, size)
        for train in [tuple(n for n in names if n not in val)]
    )
    split = make_split(data, seed)
    ours = common & set(count_classes(data, split.val)) & set(count_classes(data, split.train))
    assert len(ours) >= best - 1


def test_a_rare_class_is_on_both_sides_for_every_seed():
    data = data_with([(1,)] * 98 + [(1, 2)] * 2)
    for seed in range(50):
        split = make_split(data, seed)
        assert count_classes(data, split.val) == {1: 20, 2: 1}
        assert count_classes(data, split.train)[2] == 1


def test_no_class_of_several_images_is_held_out_whole():
    data = data_with([(1, 3), (2, 3), (1,), (2,)])
    for seed in range(30):
        assert set(count_classes(data, make_split(data, seed).train)) == {1, 2, 3}


def test_the_only_image_of_a_class_is_trained_on():
    data = data_with([(1,)] * 9 + [(1, 2)])
    for seed in range(50):
        assert "009.png" in make_split(data, seed).train


def test_images_without_objects_have_their_share():
    data = data_with([(1,)] * 10 + [()] * 90)
    for seed in range(20):
        assert count_classes(data, make_split(data, seed).val) == {1: 2, 0: 18}


def test_one_object_in_two_images_is_trained_on():
    data = data_with([(1,), ()])
    assert {make_split(data, seed).train for seed in range(20)} == {("000.png",)}


def test_crowd_regions_do_not_count():
    data = data_with([(1,)] * 10 + [()] * 10)
    crowds = tuple(
        r if r.instances else replace(r, instances=(thing(1, iscrowd=1),)) for r in data.images
    )
    assert make_split(replace(data, images=crowds), 5).val == make_split(data, 5).val


def literal_draw(units, share):
    """The draw in the words of its description, for one-image units with at most one class each
    among images of the other classes; slow and without any bookkeeping."""
    part, decided = [], []
    counts = Counter(label for labels in units for label in labels or {0})
    for label in sorted(counts, key=lambda c: (c == 0, counts[c], c)):
        wanted = max(round(counts[label] * share), int(counts[label] > 1))
        for number, labels in enumerate(units):
            if number in decided or label not in (labels or {0}):
                continue
            decided.append(number)
            if sum(label in (units[n] or {0}) for n in part) < wanted:
                part.append(number)
    return sorted(part)


@given(st.lists(st.sampled_from([{1}, {2}, {1, 2}, set()]), min_size=4, max_size=30), seeds)
def test_the_draw_is_the_one_described(labels, seed):
    units = random.Random(seed).sample(labels, len(labels))
    counts = Counter(label for held in units for label in held or {0})
    wanted = literal_draw(units, Fraction(1, 5))
    in_part = Counter(label for n in wanted for label in units[n] or {0})
    # Where the bare draw takes all of a class, or none of it, ours does better.
    assume(all(in_part[c] < n and (n == 1 or in_part[c]) for c, n in counts.items()) and wanted)
    records = data_with(units).images
    found, rest = draw_part([Unit.of([str(n)], [r]) for n, r in enumerate(records)], Fraction(1, 5))
    assert [int(unit.names[0]) for unit in found] == wanted
    assert len(found) + len(rest) == len(units)


# -- groups ----------------------------------------------------------------------------------------


def grouped_data(sizes, labels=((1,),)):
    """Groups g0, g1... of so many images, which hold the labels in turn."""
    names = [f"g{g}/{i}.png" for g, size in enumerate(sizes) for i in range(size)]
    return data_with([labels[i % len(labels)] for i in range(len(names))], names)


group_sizes = st.lists(st.integers(1, 12), min_size=2, max_size=12)


@given(group_sizes, st.lists(st.frozensets(st.integers(1, 3), max_size=2), min_size=1), seeds)
def test_groups_stay_together(sizes, labels, seed):
    data = grouped_data(sizes, labels)
    split = make_split(data, seed, group_by=r"^g\d+")
    train, val = ({name.split("/")[0] for name in side} for side in (split.train, split.val))
    assert not train & val
    assert len(train | val) == len(sizes)
    assert train
    assert val
    assert sorted(split.train + split.val) == list(data.names())


@given(group_sizes, seeds)
def test_groups_come_close_to_the_share(sizes, seed):
    split = make_split(grouped_data(sizes), seed, group_by=r"^g\d+")
    wanted = held_out_count(sum(sizes))
    off = len(split.val) - wanted
    assert off < wanted or len(split.val) == min(sizes)
    held = {name.split("/")[0] for name in split.val}
    left = [size for g, size in enumerate(sizes) if f"g{g}" not in held]
    # No other group would bring it closer.
    assert len(left) == 1 or all(abs(off + size) >= abs(off) for size in left)


def test_a_giant_group_trains():
    for seed in range(20):
        split = make_split(grouped_data([95, 5]), seed, group_by=r"^g\d+")
        assert {name.split("/")[0] for name in split.val} == {"g1"}


def test_the_only_group_of_a_class_is_trained_on():
    names = [f"g{g}/{i}.png" for g in range(5) for i in range(10)]
    data = data_with([(2,) if name.startswith("g0") else (1,) for name in names], names)
    for seed in range(20):
        assert count_classes(data, make_split(data, seed, r"^g\d+").train)[2] == 10


def test_of_two_equal_groups_one_is_held_out():
    assert len(make_split(grouped_data([50, 50]), 0, group_by=r"^g\d+").val) == 50


def test_groups_of_one_image_are_no_groups():
    data = data_with([(1,)] * 30)
    assert make_split(data, 8, group_by="^.*$").val == make_split(data, 8).val


@pytest.mark.parametrize(
    ("name", "pattern", "group"),
    [
        ("images/p12_03.png", r"p\d+", ("p12",)),
        ("images/p12_03.png", r"p(\d+)_", ("12",)),
        ("images/p12_03.png", r"(p)(\d+)", ("p", "12")),
        ("images/p12_03.png", r"(?:p)\d+", ("p12",)),
        ("images/p12_03.png", r"^[^/]+/", ("images/",)),
        ("images/p12_03.png", r"q\d+", ()),
        ("images/p12_03.png", r"(q\d+)?", ()),
        ("images/p12_03.png", r"q*", ()),
        ("images/p12_03.png", r"(q)|(p1)", ("", "p1")),
    ],
)
def test_the_group_is_what_the_pattern_finds(name, pattern, group):
    assert group_of(name, pattern) == group


def test_names_without_a_group_are_listed():
    data = data_with([(1,)] * 14, [f"p1_{i}.png" for i in range(2)] + list("abcdefghijkl"))
    with pytest.raises(DataError, match="finds no group in 12 of 14") as error:
        make_split(data, 0, group_by=r"p\d")
    assert str(error.value).endswith("a; b; c; d; e; f; g; h; i; j; and 2 more")


def test_a_single_group_is_refused():
    with pytest.raises(DataError, match=r"puts all 4 images in one group, 'p'; at least 2"):
        make_split(data_with([(1,)] * 4, [f"p{i}.png" for i in range(4)]), 0, group_by="p")


def test_summary_counts_groups_and_names_the_fold():
    data = grouped_data([4, 4, 4, 4])
    assert make_split(data, 0).summary() == ""
    assert make_split(data, 0, r"^g\d").summary() == (
        r"4 groups by --group-by ^g\d: 3 to train on, 1 held out"
    )
    assert make_folds(data, 0, 4)[1].summary() == "fold 2 of 4 is held out"
    assert make_folds(data, 0, 2, r"^g\d")[1].summary() == (
        r"fold 2 of 2 is held out; 4 groups by --group-by ^g\d: 2 to train on, 2 held out"
    )


# -- folds -----------------------------------------------------------------------------------------


@given(label_sets, seeds, st.integers(2, 7))
def test_folds_are_disjoint_and_cover_all(labels, seed, folds):
    data = data_with(labels)
    assume(len(labels) >= folds)
    splits = make_folds(data, seed, folds)
    assert [(s.fold, s.folds) for s in splits] == [(n + 1, folds) for n in range(folds)]
    assert sorted(name for s in splits for name in s.val) == list(data.names())
    for split in splits:
        assert sorted(split.train + split.val) == list(data.names())


@given(label_sets, seeds, st.integers(2, 7))
def test_folds_are_of_equal_size(labels, seed, folds):
    assume(len(labels) >= folds)
    sizes = [len(split.val) for split in make_folds(data_with(labels), seed, folds)]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), seeds, st.integers(2, 6))
def test_folds_are_stratified(counts, seed, folds):
    """Of classes that do not share images, every fold has its share, rounded up or down."""
    data = data_with([(label + 1,) for label, n in enumerate(counts) for _ in range(n)])
    assume(len(data.images) >= max(folds, 2))
    for split in make_folds(data, seed, folds):
        held = count_classes(data, split.val)
        for label, count in enumerate(counts, start=1):
            assert abs(held[label] - count / folds) < 1


def test_a_class_of_every_tenth_image_is_in_every_fold():
    data = data_with([(1, 2) if i % 10 == 0 else (1,) for i in range(100)])
    for seed in range(30):
        held = [count_classes(data, split.val)[2] for split in make_folds(data, seed, 5)]
        assert held == [2] * 5


def test_many_rare_classes_do_not_fill_the_first_fold():
    data = data_with([(i % 30 + 1,) for i in range(60)])
    assert [len(split.val) for split in make_folds(data, 0, 5)] == [12] * 5


@given(group_sizes, seeds, st.integers(2, 5))
def test_folds_keep_groups_together(sizes, seed, folds):
    assume(len(sizes) >= folds)
    data = grouped_data(sizes, [(1,), (2,), ()])
    splits = make_folds(data, seed, folds, r"^g\d+")
    held = [{name.split("/")[0] for name in split.val} for split in splits]
    assert all(held)
    assert sum(map(len, held)) == len(sizes) == len(set.union(*held))
    assert sorted(name for s in splits for name in s.val) == list(data.names())


def test_a_fold_leaves_a_group_for_each_of_the_others():
    data = grouped_data([50, 10, 10, 10, 10])
    for seed in range(20):
        sizes = [len(split.val) for split in make_folds(data, seed, 5, r"^g\d+")]
        assert sorted(sizes) == [10, 10, 10, 10, 50]


def test_folds_depend_on_seed_and_not_on_image_order():
    data = data_with([(i % 3 + 1,) for i in range(40)])
    assert make_folds(replace(data, images=data.images[::-1]), 3, 4) == make_folds(data, 3, 4)
    assert make_folds(data, 4, 4) != make_folds(data, 3, 4)


def test_as_many_folds_as_images_leave_one_out():
    splits = make_folds(data_with([(1,)] * 6), 0, 6)
    assert {len(split.val) for split in splits} == {1}


def test_more_folds_than_images_or_groups_are_refused():
    with pytest.raises(DataError, match=r"root: 4 image\(s\) are too few for --folds 5"):
        make_folds(data_with([(1,)] * 4), 0, 5)
    with pytest.raises(DataError, match=r"3 groups by --group-by g. are too few for --folds 4"):
        make_folds(grouped_data([5, 5, 5]), 0, 4, "g.")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (("", None, None), None),
        (("", 2, 1), None),
        (("", 2, 2), None),
        ((r"p(\d+)", None, None), None),
        (("p(", None, None), "--group-by p( is not a regular expression"),
        (("", None, 1), "--fold 1 goes with --folds"),
        (("", None, 0), "--fold 0 goes with --folds"),
        (("", 0, 1), "--folds is 0, must be at least 2"),
        (("", 1, 1), "--folds is 1, must be at least 2"),
        (("", 5, None), "--fold is not given, must be 1 to 5"),
        (("", 5, 0), "--fold is 0, must be 1 to 5"),
        (("", 5, 6), "--fold is 6, must be 1 to 5"),
    ],
)
def test_flags_that_cannot_be_drawn_by(settings, text):
    problems = draw_problems(*settings)
    assert len(problems) == (text is not None)
    assert not text or problems[0].startswith(text)


# -- a data set's own split, and files -------------------------------------------------------------


def test_a_data_sets_own_split_is_taken():
    data = replace(data_of(5), given_split=(("003.png", "001.png"), ("000.png",)))
    split = own_split(data, 7)
    assert (split.train, split.val) == (("001.png", "003.png"), ("000.png",))
    assert (split.seed, split.data_fingerprint) == (7, data.fingerprint())


@pytest.mark.parametrize("given_split", [None, ((), ()), (("000.png",), ()), ((), ("000.png",))])
def test_a_data_set_that_holds_nothing_out_has_no_split(given_split):
    assert own_split(replace(data_of(5), given_split=given_split), 0) is None


def test_an_own_split_with_an_image_on_both_sides_is_refused():
    data = replace(data_of(5), given_split=(("000.png", "001.png"), ("001.png",)))
    with pytest.raises(DataError, match=r"root: its own files .*001\.png is both.*--folds"):
        own_split(data, 0)


def test_split_survives_its_file(tmp_path):
    data = grouped_data([4, 4, 4])
    path = tmp_path / "split.json"
    for split in (make_split(data, 7), make_split(data, 7, "g."), *make_folds(data, 7, 3, "g.")):
        for encoding in ("utf-8", "utf-8-sig"):
            path.write_text(json.dumps(split.to_dict()), encoding=encoding)
            assert read_split(path, data) == split


def test_a_plain_split_file_has_four_fields():
    assert set(make_split(data_of(5), 0).to_dict()) == {"train", "val", "seed", "data_fingerprint"}
    assert make_folds(data_of(5), 0, 2)[1].to_dict()["fold"] == 2


def test_changed_data_is_refused(tmp_path):
    data = data_of(10)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(make_split(data, seed=0).to_dict()), encoding="utf-8")
    with pytest.raises(DataError, match=r"split\.json: was drawn from other data than root"):
        read_split(path, data_of(11))


GOOD = {"train": ["a"], "val": ["b"], "seed": 1, "data_fingerprint": "f"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "null",
        *(json.dumps({k: v for k, v in GOOD.items() if k != field}) for field in GOOD),
        json.dumps({**GOOD, "seed": "one"}),
        json.dumps({**GOOD, "val": 3}),
        json.dumps({**GOOD, "val": ["a"]}),
        json.dumps({**GOOD, "fold": "one"}),
        json.dumps({**GOOD, "seed": True}),
        json.dumps({**GOOD, "seed": 1e300}),
        json.dumps({**GOOD, "seed": math.inf}),
        json.dumps({**GOOD, "train": "abc"}),
        json.dumps({**GOOD, "train": [["a"]]}),
        json.dumps({**GOOD, "val": ["b", "b"]}),
        json.dumps({**GOOD, "group_by": "("}),
        json.dumps({**GOOD, "group_by": "x{99999999999999}"}),
        json.dumps({**GOOD, "group_by": "(" * 9999 + ")" * 9999}),
        "[" * 100_000,
    ],
)
def test_unreadable_split_file_is_named(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"split\.json: not a readable split file"):
        read_split(path, data_of(2))


@pytest.mark.parametrize("side", ["train", "val"])
def test_a_split_file_without_images_on_a_side_is_refused(tmp_path, side):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({**GOOD, side: []}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"split\.json: {side} names no image"):
        read_split(path, data_of(2))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
fields = st.sampled_from([*GOOD, "group_by", "fold", "folds"])


@given(values | st.dictionaries(fields, values).map(lambda changed: {**GOOD, **changed}))
def test_any_json_gives_a_split_or_an_error(tmp_path_factory, content):
    data = data_of(2)
    path = tmp_path_factory.getbasetemp() / "split.json"
    if isinstance(content, dict) and content.get("data_fingerprint") == "f":
        content["data_fingerprint"] = data.fingerprint()
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        split = read_split(path, data)
    except DataError:
        return
    assert split.train
    assert split.val
    assert all(isinstance(name, str) for name in split.train + split.val)
    split.summary()


def test_missing_split_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: not a readable split file"):
        read_split(tmp_path / "gone.json", data_of(2))


def test_missing_field_is_named():
    with pytest.raises(DataError, match="data_fingerprint"):
        Split.from_dict({"train": [], "val": [], "seed": 0})


@pytest.mark.parametrize("seed", range(8))
def test_of_two_large_groups_the_one_nearer_to_the_share_is_held_out(seed):
    data = grouped_data([74, 96])  # 50 of 170 are wanted
    assert len(make_split(data, seed, group_by=r"^g\d+").val) == 74
