"""An exported file that differs from its network is found out, and one that is equal is not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from eager_session import EagerSession
from inspected import ARCH, OPTIONS, make_model

from nets.weights_file import WeightsError, WeightsFile
from utils.export.card import card_of, read_card
from utils.export.formats import ONNX, ONNX_INT8
from utils.export.session import Found
from utils.export.settings import ExportSettings
from utils.export.verification.agreement import Agreement, agreement
from utils.export.verification.differences import SCORES, difference
from utils.export.verification.images import (
    LARGEST,
    cases,
    drawn,
    noise,
    spread_evenly,
    stretched,
)
from utils.export.verification.reference import Detections, Reference
from utils.export.verification.verify import verify

CLASSES = ("square", "circle", "triangle")
SOME = ExportSettings(score_threshold=0.7)  # at which grey images show nothing, others a few


def make_card(settings=SOME, format=ONNX, **options):
    model = make_model(**options)
    known = {**OPTIONS, "frozen_norm": True, **options}
    return card_of(WeightsFile(ARCH, 4, CLASSES, model.state_dict(), known), settings, format)


def verified(change=lambda found: found, images=(), **kwargs):
    card = make_card(**kwargs)
    return verify(card, EagerSession(card, change), list(images))


@pytest.mark.parametrize(
    "settings",
    [
        SOME,
        replace(SOME, batch=3, paste=True),
        replace(SOME, size=(97, 131), batch=1, nms_threshold=0.3, max_detections=4),
        ExportSettings(score_threshold=0.0, nms_threshold=1.0),
    ],
    ids=str,
)
def test_an_equal_file_is_kept(settings):
    own = [np.random.default_rng(seed).integers(0, 256, (70, 250, 3), np.uint8) for seed in (1, 2)]

    result = verified(settings=settings, images=own)

    result.check()
    assert not result.faults
    assert {case.batch for case in result.cases} == ({settings.batch} if settings.batch else {1, 4})
    sizes = {case.size for case in result.cases}
    assert sizes == ({settings.size} if settings.size else {*sizes, (97, 211), (53, 192)})
    assert any(len(case.detections) == 4 for case in result.cases)
    assert all(case.boxes < 1e-2 and case.scores < 1e-4 for case in result.cases)
    counts = [count for case in result.cases for count in case.detections]
    assert max(counts) > 3
    assert (0 in counts) == (settings.score_threshold > 0)
    assert any("none was without" in note for note in result.notes) == (0 not in counts)
    json.dumps(result.to_dict())
    assert "equal to rounding" in " ".join(result.lines())


def test_images_of_four_channels():
    result = verified(channels=4, settings=ExportSettings(score_threshold=0.0))

    assert not result.faults
    assert max(count for case in result.cases for count in case.detections) > 3


def changed(name, change):
    """Do something to a copy of one output."""

    def on(found):
        values = getattr(found, name).copy()
        result = change(values, found.counts)
        return found._replace(**{name: values if result is None else result})

    return on


def moved(boxes, counts):
    boxes[0, 0] += (1 if counts[0] else 0) * np.array([-1, 0, 0, 0], np.float32)
    boxes.clip(0, out=boxes)


def dropped(found):
    """Each image without its second detection."""
    keep = [0, *range(2, found.scores.shape[1])]
    parts = {
        name: np.concatenate([values[:, keep], np.zeros_like(values[:, :1])], axis=1)
        for name, values in found._asdict().items()
        if name != "counts" and values is not None
    }
    return found._replace(**parts, counts=found.counts - (found.counts > 1))


def added(found):
    """Each image with its last detection once more, of another class."""
    parts = {name: values.copy() for name, values in found._asdict().items() if values is not None}
    for image, count in enumerate(found.counts):
        if 0 < count < found.scores.shape[1]:
            for name in parts.keys() - {"counts"}:
                parts[name][image, count] = parts[name][image, count - 1]
            parts["labels"][image, count] = parts["labels"][image, count] % 3 + 1
            parts["counts"][image] += 1
    return found._replace(**parts)


def first_for_all(found):
    """What the first image of a batch shows, for each."""
    return Found(*(part if part is None else np.repeat(part[:1], len(part), 0) for part in found))


def failing(found):
    raise RuntimeError("no kernel for this\nat line 5")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed("boxes", moved), "box differs by"),
        (changed("boxes", lambda boxes, _: boxes * np.float32(0.998)), "box differs by"),
        (changed("scores", lambda scores, _: scores * np.float32(0.996)), "score by 0.00"),
        (changed("labels", lambda labels, _: np.where(labels, labels % 3 + 1, 0)), "is missing"),
        (changed("masks", lambda masks, _: masks[..., ::-1].copy()), "its mask differs by"),
        (changed("masks", lambda masks, _: masks * np.float32(0.98)), "its mask differs by"),
        (dropped, "is missing from the file's"),
        (added, "the network does not have it"),
        (first_for_all, "different images, 128x128 pixels, 4 at once"),
        (failing, "cannot be run: no kernel for this"),
        (changed("counts", lambda counts, _: counts + 1), "labels are not in 1..3"),
        (changed("counts", lambda counts, _: np.maximum(counts - 1, 0)), "are not zero where"),
        (changed("counts", lambda counts, _: counts - 1), "counts should lie in 0..100"),
        (changed("counts", lambda counts, _: counts.astype(np.int32)), "counts should be int64"),
        (changed("boxes", lambda boxes, _: boxes[:, :50]), "boxes should be float32 (1, 100, 4)"),
        (changed("boxes", lambda boxes, _: boxes + (boxes > 0) * np.float32(200)), "out of the"),
        (changed("scores", lambda scores, _: scores * np.float32(np.nan)), "scores hold numbers"),
        (changed("scores", lambda scores, _: scores[:, ::-1].copy()), "zero where"),
        (changed("scores", lambda scores, _: scores / 2), "scores are below 0.7"),
        (changed("masks", lambda masks, _: masks * 2), "masks are no probabilities"),
    ],
)  # fmt: skip
def test_a_file_that_differs_is_not_kept(change, told):
    result = verified(change)

    assert told in " ".join(result.faults)
    with pytest.raises(WeightsError, match="differs from the network and is not kept"):
        result.check()
    assert "equal to rounding" not in " ".join(result.lines())


def test_scores_must_be_sorted():
    def swapped(scores, counts):
        for row, count in zip(scores, counts, strict=True):
            row[:count] = row[:count][::-1].copy()

    assert "scores are not sorted down" in " ".join(verified(changed("scores", swapped)).faults)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda pasted, _: np.roll(pasted, 1, axis=2), "pixels of its pasted mask are wrong"),
        (lambda pasted, _: pasted * 0, "pixels of its pasted mask are wrong"),
        (lambda pasted, _: pasted[..., :-1], "pasted should be uint8"),
        (lambda pasted, _: pasted.astype(bool), "pasted should be uint8"),
    ],
)
def test_pasted_masks_are_looked_at(change, told):
    result = verified(changed("pasted", change), settings=replace(SOME, paste=True))

    assert told in " ".join(result.faults)


def test_a_file_of_other_weights_or_of_another_description():
    card, other = make_card(), make_card(rpn_post_nms_top_n_test=5)
    session = EagerSession(other)
    assert "description" in verify(card, session, []).faults[0]

    session.card = read_card(session.path, card.to_json())
    faults = verify(card, session, []).faults
    assert "missing" in " ".join(faults)
    with pytest.raises(WeightsError, match=r"; and \d+ more"):
        verify(card, session, []).check()


def test_the_reference_is_torchvisions_forward_pass():
    card = make_card()
    model = card.weights.build(reference=True)
    model.roi_heads.score_thresh = SOME.score_threshold
    image = drawn((97, 211), 0, 3)
    with torch.no_grad():
        (wanted,) = model([torch.from_numpy(image).permute(2, 0, 1) / 255])

    found = Reference(card).detections(image)

    assert len(found.scores) > 3
    for name in ("boxes", "labels", "scores"):
        np.testing.assert_allclose(getattr(found, name), wanted[name].numpy(), atol=1e-5)
    assert found.masks.shape == (len(found.scores), 28, 28)
    runs = list(Reference(card).varied(image))
    assert all(np.abs(run.scores[0] - found.scores[0]) < 1e-3 for run in runs)
    assert len({run.scores.tobytes() for run in runs}) > 1


def boxes_at(*places, size=20):
    corners = np.array(places, np.float32).reshape(-1, 1) + np.array([0, 0, size, size], np.float32)
    return corners.astype(np.float32)


def detections(places, scores, labels=None, mask=1.0):
    count = len(scores)
    return Detections(
        boxes_at(*places),
        np.array(labels or [1] * count, np.int64).reshape(-1),
        np.array(scores, np.float32).reshape(-1),
        np.full((count, 28, 28), mask, np.float32),
    )


def compared(network, file, runs=None, threshold=0.05, places=100):
    return difference(network, file, (100, 200), threshold, places, lambda: runs or [network] * 3)


NOTHING = detections([], [])
TWO = detections([0, 50], [0.9, 0.8])


def test_nothing_on_either_side_is_equal():
    assert compared(NOTHING, NOTHING) == (0, 0, 0, 0, 0, ())


def test_equal_scores_come_in_any_order():
    result = compared(detections([0, 50], [0.9, 0.9]), detections([50, 0], [0.9, 0.9]))

    assert result == (2, 0, 0, 0, 0, ())


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (detections([0.03, 50], [0.9, 0.8]), ""),
        (detections([0.05, 50], [0.9, 0.8]), "box differs by 0.05 px, score by 0"),
        (detections([0, 50], [0.9005, 0.8]), ""),
        (detections([0, 50], [0.902, 0.8]), "score by 0.002"),
        (detections([0, 50], [0.9, 0.8], mask=0.9992), ""),
        (detections([0, 50], [0.9, 0.8], mask=0.998), "detection 1 (label 1, score 0.900): its"),
        (detections([0, 50], [0.9, 0.8], labels=[1, 2]), "is missing"),
        (detections([0, 90], [0.9, 0.8]), "the network does not have it"),
        (detections([0], [0.9]), "detection 2 (label 1, score 0.800): is missing"),
        (detections([0, 0], [0.9, 0.9]), "does not have it"),
        (NOTHING, "is missing"),
    ],
)
def test_differences_beyond_rounding_are_told(file, told):
    faults = compared(TWO, file).faults

    assert (told in " ".join(faults)) if told else not faults


@pytest.mark.parametrize("above", [0.9 * SCORES, 1.1 * SCORES])
def test_what_lies_at_the_threshold_may_be_missing(above):
    more = detections([0, 50, 100], [0.9, 0.8, 0.3 + above])
    for one, other in ((more, TWO), (TWO, more)):
        result = compared(one, other, threshold=0.3)
        assert bool(result.faults) == (above > SCORES)
        assert result.undecided == (above < SCORES)


@pytest.mark.parametrize("apart", [0.9 * SCORES, 1.1 * SCORES])
def test_the_last_place_may_be_another(apart):
    one = detections([0, 50], [0.9, 0.5])
    other = detections([0, 100], [0.9, 0.5 - apart])

    result = compared(one, other, places=2)

    # The lower one must not have had the place of the higher one.
    assert bool(result.faults) == (apart > SCORES)
    assert compared(one, other, places=3).faults


def test_what_comes_and_goes_with_rounding_may_be_either():
    tie = detections([0, 5], [0.9, 0.8])
    runs = [tie, detections([0, 50], [0.9, 0.8]), tie]

    assert not compared(TWO, tie, runs).faults
    assert compared(TWO, tie, runs).undecided == 2
    assert compared(TWO, tie, [TWO] * 3).faults
    assert compared(TWO, tie, [tie] * 2 + [NOTHING]).faults == ()
    assert compared(TWO, detections([0], [0.9]), [TWO, TWO]).faults
    three = detections([0, 50, 100], [0.9, 0.8, 0.7])
    assert not compared(TWO, three, [TWO, three]).faults
    assert compared(TWO, three, [TWO, TWO]).faults


def test_images_are_those_that_the_settings_ask_for():
    own = [np.zeros((400, 100, 3), np.uint8)]
    some = list(cases(make_card(), own, lambda image: image.max() == 0))
    assert not some[0].images.any()
    assert [image.any() for image in some[1].images] == [True, False, True, True]
    assert [case.images.shape for case in some] == [
        (1, 128, 128, 3), (4, 128, 128, 3), (1, 97, 211, 3), (1, 193, 129, 3),
        (1, int(128 * LARGEST), 48, 3),
    ]  # fmt: skip

    card = make_card(ExportSettings(size=(50, 60)), channels=2)
    some = list(cases(card, [np.zeros((9, 9, 2), np.float32)], lambda _: False))
    assert {case.images.shape[1:] for case in some} == {(50, 60, 2)}
    assert {case.images.dtype for case in some} == {np.dtype(np.float32)}
    assert [case.is_own for case in some] == [False, False, False, True]
    assert all(0 <= case.images.min() <= case.images.max() <= 1 for case in some)
    batch = some[0].images
    assert len({image.tobytes() for image in batch}) == len(batch) == 4


def test_images_of_the_users_are_fitted_into_a_file_of_one_size():
    """As they are when it is used; the rest is what normalising makes zero."""
    card, own = make_card(replace(SOME, size=(64, 96))), drawn((80, 40), 5, 3)
    *_, case = cases(card, [own], lambda _: False)

    assert case.images.shape == (1, 64, 96, 3)
    assert (case.images[0, :, 32:] == (124, 116, 104)).all()
    assert abs(case.images[0, :, :32].mean() - own.mean()) < 5


def test_images_are_taken_from_all_over():
    images = [np.full((1, 1, 3), number, np.uint8) for number in range(64)]

    assert [image.max() for image in spread_evenly(images, 8)] == list(range(0, 64, 8))
    assert spread_evenly(images[:3], 8) == images[:3]
    assert list(spread_evenly((), 8)) == []


def test_drawn_images():
    whole = drawn((128, 128), 0, 3)
    assert np.abs(whole.astype(int) - drawn((128, 128), 0, 3)).max() == 0
    assert len(np.unique(whole.reshape(-1, 3), axis=0)) > 1000
    assert drawn((60, 61), 0, 5, tiles=2).shape == (60, 61, 5)
    assert noise((4, 5), 3).shape == (4, 5, 3)
    assert stretched(whole, (128, 128)) is whole
    assert abs(stretched(whole, (50, 20)).mean() - whole.mean()) < 2


def test_eight_bits_are_judged_by_what_the_network_is_sure_of():
    def blurred(found):
        scores = np.where(found.scores, np.maximum(found.scores * np.float32(0.98), 0.05), 0)
        return found._replace(boxes=found.boxes * np.float32(0.995), scores=np.float32(scores))

    lower = ExportSettings(score_threshold=0.05)
    result = verified(blurred, format=ONNX_INT8, settings=lower)
    assert not result.faults
    assert result.agreement.sure > 5
    assert result.agreement.found == result.agreement.sure
    assert 0.005 < result.agreement.score < 0.03
    assert "found again" in " ".join(result.lines())
    assert all(case.boxes is None for case in result.cases)
    json.dumps(result.to_dict())

    result = verified(first_for_all, format=ONNX_INT8, settings=lower)
    assert "wanted is 80% found again" in " ".join(result.faults)
    with pytest.raises(WeightsError, match="found again"):
        result.check()


def test_eight_bits_are_judged_on_the_users_images_if_there_are_any():
    own = [drawn((100, 100), number, 3) for number in range(10)]
    result = verified(format=ONNX_INT8, settings=ExportSettings(), images=own)

    assert [case.name for case in result.cases if "of the data" in case.name][-1].startswith(
        "image 8"
    )
    card = make_card(ExportSettings())
    reference = Reference(card)
    sure = sum((reference.detections(image).scores >= 0.5).sum() for image in own[:8])
    assert result.agreement.sure == result.agreement.found == sure > 0


def test_agreement_is_counted_both_ways():
    network = detections([0, 50, 100], [0.9, 0.8, 0.3])
    file = detections([1, 100, 150], [0.7, 0.6, 0.55])

    result = agreement([(network, file, (200, 200))], (0.5,))

    assert (result.sure, result.found, result.sure_of_file, result.confirmed) == (2, 1, 3, 2)
    assert result.score == pytest.approx(0.2)
    assert 0.8 < result.mask_iou < 0.95
    assert agreement([(network, NOTHING, (9, 9)), (NOTHING, file, (9, 9))], (0.5,)) == Agreement(
        2, 0, 3, 0, 0.0, 1.0
    )
    by_class = agreement([(TWO, TWO._replace(labels=TWO.labels + 1), (99, 99))], (0.5, 0.95))
    assert (by_class.sure, by_class.found, by_class.sure_of_file) == (2, 0, 0)


@pytest.mark.parametrize(
    ("agreed", "is_fine"),
    [
        (Agreement(), True),
        (Agreement(10, 8, 10, 8, 0.1, 0.7), True),
        (Agreement(10, 7, 10, 10, 0.0, 1.0), False),
        (Agreement(10, 10, 10, 7, 0.0, 1.0), False),
        (Agreement(0, 0, 10, 0, 0.0, 1.0), False),
        (Agreement(10, 10, 10, 10, 0.11, 1.0), False),
        (Agreement(10, 10, 10, 10, 0.0, 0.69), False),
        (Agreement(4, 1, 4, 1, 0.5, 0.1), True),
    ],
)
def test_how_much_agreement_is_enough(agreed, is_fine):
    assert (not agreed.fault()) == is_fine
