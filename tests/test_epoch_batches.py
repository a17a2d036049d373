"""The batches of an epoch, held against what must be true of them for all sizes."""

from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.data.epoch_batches import EpochBatches, SampleKey, aspect_groups
from utils.data.records import ImageRecord

sizes = {
    "length": st.integers(0, 40),
    "batch_size": st.integers(1, 5),
    "processes": st.integers(1, 4),
    "seed": st.integers(0, 3),
    "epoch": st.integers(0, 3),
}


def epoch_of(length, batch_size, seed=0, epoch=0, first=0, **options):
    batches = EpochBatches(length, batch_size, seed, **options)
    batches.epoch, batches.first = epoch, first
    return batches, list(batches)


def of_all_ranks(length, batch_size, processes, **options):
    """By rank: its batches, without the stand-in of a rank that has no image of its own."""
    ranks = [
        epoch_of(length, batch_size, rank=rank, processes=processes, **options)
        for rank in range(processes)
    ]
    assert len({len(batches) for batches, _ in ranks}) == 1
    for batches, found in ranks:
        assert len(found) == len(batches)
        assert batches.own in (len(found) - 1, len(found)) or len(found) == 0
    return [found[: batches.own] for batches, found in ranks]


def global_batches(ranks):
    """What all ranks see together, batch by batch."""
    return [
        [key for rank in ranks if step < len(rank) for key in rank[step]]
        for step in range(max(map(len, ranks)))
    ]


def numbers(batches):
    return [key.number for key in chain.from_iterable(batches)]


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (0, 3), (5, 2)])
def test_one_process_sees_the_permutation_of_seed_and_epoch(seed, epoch):
    torch.rand(3)  # torch's own generator has no part in it
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(23, generator=generator).tolist()

    batches, found = epoch_of(23, 4, seed, epoch)

    assert len(batches) == batches.own == len(found) == 6
    assert [len(batch) for batch in found] == [4, 4, 4, 4, 4, 3]
    assert list(chain.from_iterable(found)) == [SampleKey(epoch, number) for number in order]


@settings(deadline=None)
@given(**sizes)
def test_ranks_share_every_image_once_and_see_what_one_process_sees(processes, **of):
    ranks = of_all_ranks(processes=processes, **of)
    assert sorted(chain.from_iterable(map(numbers, ranks))) == list(range(of["length"]))

    _, alone = epoch_of(**{**of, "batch_size": of["batch_size"] * processes})
    assert global_batches(ranks) == alone if alone else not any(ranks)
    lasts = [len(rank[-1]) for rank in ranks if len(rank) == len(alone)] if alone else [0]
    with_none = [0] * (processes - len(lasts))
    assert max(lasts + with_none) - min(lasts + with_none) <= 1


def test_a_rank_without_an_image_keeps_step_with_a_stand_in():
    ranks = [epoch_of(9, 2, rank=rank, processes=4) for rank in range(4)]  # 8 images and 1
    last = [found[-1] for _, found in ranks]
    assert last[1:] == [last[0]] * 3
    assert [batches.own for batches, _ in ranks] == [2, 1, 1, 1]


@settings(deadline=None)
@given(steps=st.integers(1, 12), **sizes)
def test_an_epoch_of_so_many_steps_goes_over_the_images_evenly(steps, processes, **of):
    ranks = of_all_ranks(processes=processes, steps=steps, **of)
    if of["length"] == 0:
        assert not any(ranks)
        return
    assert {len(rank) for rank in ranks} == {steps}
    assert {len(batch) for rank in ranks for batch in rank} == {of["batch_size"]}
    seen = Counter(chain.from_iterable(map(numbers, ranks)))
    counts = [seen[number] for number in range(of["length"])]
    assert max(counts) - min(counts) <= 1
    keys = [key for rank in ranks for batch in rank for key in batch]
    assert len(set(keys)) == len(keys), "a repeated image is another sample"
    assert Counter(k.number for k in keys if k.again == 0) == Counter(set(seen))


def test_few_steps_are_the_first_of_the_epoch():
    assert epoch_of(20, 3, steps=4)[1] == epoch_of(20, 3)[1][:4]


@settings(deadline=None)
@given(groups=st.integers(1, 3), data=st.data(), **sizes)
def test_groups_keep_every_image_and_mix_only_what_is_left(groups, data, processes, **of):
    length = of["length"]
    group_of = data.draw(st.lists(st.integers(0, groups - 1), min_size=length, max_size=length))
    ranks = of_all_ranks(processes=processes, groups=group_of, **of)
    assert sorted(chain.from_iterable(map(numbers, ranks))) == list(range(length))

    size = of["batch_size"] * processes
    together = global_batches(ranks)
    pure = sum(count // size for count in Counter(group_of).values())
    for batch in together[:pure]:
        assert len(batch) == size
        assert len({group_of[key.number] for key in batch}) == 1


def test_batches_of_the_groups_alternate():
    group_of = [0] * 64 + [1] * 64
    order = [group_of[batch[0].number] for batch in epoch_of(128, 4, groups=group_of)[1]]
    changes = sum(one != other for one, other in pairwise(order))
    assert sorted(order) == [0] * 16 + [1] * 16
    assert changes > 5


@settings(deadline=None)
@given(data=st.data(), **sizes)
def test_repeats_are_rounded_up_or_down_and_keep_their_sum(data, processes, **of):
    length = of["length"]
    factors = st.floats(1, 4).map(lambda value: round(value, 2))
    repeats = data.draw(st.lists(factors, min_size=length, max_size=length))
    ranks = of_all_ranks(processes=processes, repeats=repeats, **of)
    seen = Counter(chain.from_iterable(map(numbers, ranks)))
    assert sum(seen.values()) == int(sum(repeats) + 1e-6)
    for number, often in enumerate(repeats):
        assert int(often) <= seen[number] <= int(often) + 1
    keys = [key for rank in ranks for batch in rank for key in batch]
    assert {(k.number, k.again) for k in keys} == {(n, i) for n in seen for i in range(seen[n])}


def test_repeats_come_true_over_the_epochs():
    repeats, seen = [1.0, 1.25, 1.5, 1.9, 3.35] * 4, Counter()
    for epoch in range(300):
        seen.update(numbers(epoch_of(20, 4, epoch=epoch, repeats=repeats)[1]))
    for number, often in enumerate(repeats):
        assert seen[number] / 300 == pytest.approx(often, abs=0.1)


@settings(deadline=None)
@given(
    data=st.data(),
    steps=st.integers(0, 8),
    first=st.integers(0, 12),
    **sizes,
)
def test_a_resumed_epoch_is_the_rest_of_the_whole_one(data, steps, first, processes, **of):
    length = of["length"]
    groups = data.draw(st.none() | st.just([n % 2 for n in range(length)]))
    repeats = data.draw(st.none() | st.just([1 + n / max(length, 1) for n in range(length)]))
    options = {"steps": steps, "groups": groups, "repeats": repeats, "processes": processes}
    rank = data.draw(st.integers(0, processes - 1))
    batches, whole = epoch_of(**of, **options, rank=rank)
    assert list(batches) == whole
    rest, left = epoch_of(**of, **options, rank=rank, first=first)
    assert left == whole[first:]
    assert len(rest) == len(whole)


def test_groups_and_repeats_make_other_epochs_other_orders():
    options = {"groups": [0, 1] * 15, "repeats": [1.5] * 30}
    orders = [numbers(epoch_of(30, 2, epoch=epoch, **options)[1]) for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert [len(order) for order in orders] == [45] * 3


def test_wide_images_are_one_group():
    records = [ImageRecord(i, Path(f"{i}.png"), *size) for i, size in
               enumerate([(40, 30), (30, 40), (30, 30)])]  # fmt: skip
    assert aspect_groups(records) == [1, 0, 0]
