"""Numbers of made maps, by hand and brute force; the chapter of many kinds of images."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from inspected import make_model, make_subject
from torch.nn import functional as F
from torch.testing import assert_close

from utils.data.records import Instance
from utils.drawing import recorded_objects
from utils.inspection.chapter import Table
from utils.inspection.chapters.activations import activations_chapter
from utils.inspection.chapters.map_pictures import WIDTH, MapPictures, wide
from utils.inspection.feature_maps import (
    LEAST_POINTS,
    channel_activities,
    channel_activity,
    object_answers,
    object_cover,
    objectness_maps,
    over_images,
    own_maps,
    strength_inside,
)
from utils.inspection.heat_map import NOT_FINITE


@pytest.fixture(scope="module")
def subject():
    return make_subject(1)


def smooth_map(size=32):
    ramp = torch.linspace(0, 6, size)
    return ramp.sin()[:, None] * ramp.cos()


def noise_map(size=32):
    return torch.randn(size, size, generator=torch.Generator().manual_seed(0))


def chessboard(size=32):
    return (torch.arange(size)[:, None] + torch.arange(size)) % 2


def picture_of(subject, height, width, objects=()):
    """A picture of noise with boxes (x, y, width, height) labelled in it."""
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    instances = [
        Instance(1, [[x, y, x + w, y, x + w, y + h, x, y + h]], (x, y, w, h), w * h, False)
        for x, y, w, h in objects
    ]
    record = replace(subject.record, width=width, height=height, instances=tuple(instances))
    dataset = copy(subject.dataset)
    dataset.data = replace(dataset.data, images=(record,))
    dataset.read = lambda key: (pixels, record)
    return replace(subject, pixels=pixels, record=record, dataset=dataset, number=0)


def test_a_channel_is_dead_if_it_is_constant_everywhere():
    still = torch.full((8, 8), 3.0)
    once = torch.zeros(8, 8)
    once[2, 3] = 0.1
    seen = channel_activity(torch.stack([torch.zeros(8, 8), still, once, smooth_map(8)]))

    assert seen.dead.tolist() == [True, True, False, False]


def test_another_image_may_wake_a_channel():
    still = torch.zeros(3, 8, 8)
    first, second = still.clone(), still.clone()
    second[1, 0, 0] = 1
    second[2] = 2  # constant in each of them, but not the same
    seen = over_images([channel_activity(first), channel_activity(second)])

    assert channel_activity(first).dead.all()
    assert seen.dead.tolist() == [True, False, False]
    assert seen.images == 2


def test_noise_is_told_from_pictures():
    made = torch.stack([noise_map(), chessboard().float(), smooth_map(), noise_map().relu()])
    seen = channel_activity(made)

    assert seen.noisy.tolist() == [True, True, False, True]
    assert_close(seen.autocorrelation[1], torch.tensor(-1.0), atol=1e-4, rtol=0)
    assert abs(seen.autocorrelation[0]) < 0.1
    assert seen.autocorrelation[2] > 0.9
    blurred = F.avg_pool2d(noise_map(34)[None, None], 3, 1)[0]
    assert not channel_activity(blurred).noisy.any()


def test_neighbours_are_compared_across_and_down_and_in_each_image():
    generator = torch.Generator().manual_seed(1)
    maps = [
        torch.rand(2, 5, 7, generator=generator),
        100 + torch.rand(2, 4, 3, generator=generator),
    ]
    seen = over_images([channel_activity(one) for one in maps])

    jumps, variances = [], []
    for one in maps:
        _, height, width = one.shape
        pairs = [
            (one[0, y, x] - one[0, y + down, x + across]) ** 2
            for y in range(height)
            for x in range(width)
            for down, across in ((0, 1), (1, 0))
            if y + down < height and x + across < width
        ]
        jumps.append(sum(pairs) / len(pairs))
        variances.append(one[0].var(correction=0))
    assert_close(seen.autocorrelation[0], 1 - sum(jumps) / 2 / sum(variances), rtol=1e-3, atol=1e-4)
    assert seen.points == (35 + 12) / 2


def test_maps_of_few_points_are_not_called_noisy():
    side = int(LEAST_POINTS**0.5)
    few, enough = (channel_activity(chessboard(n)[None].float()) for n in (side, side + 1))

    assert (few.judges_noise, enough.judges_noise) == (False, True)
    assert (few.noisy.tolist(), enough.noisy.tolist()) == ([False], [True])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_neither_dead_nor_noise(value):
    made = torch.stack([noise_map(), torch.full((32, 32), value), noise_map()])
    made[0, 4, 5] = value
    seen = over_images([channel_activity(noise_map().expand(3, -1, -1)), channel_activity(made)])

    assert seen.finite.tolist() == [False, False, True]
    assert seen.dead.tolist() == [False] * 3
    assert seen.noisy.tolist() == [False, False, True]


def test_bfloat16_counts_as_the_same_numbers():
    rounded = smooth_map()[None].bfloat16()

    assert torch.equal(channel_activity(rounded).jump, channel_activity(rounded.float()).jump)
    assert channel_activity(rounded).variance.dtype == torch.float32


def test_a_map_of_one_point_is_constant():
    seen = channel_activity(torch.tensor([0.0, 2.0]).view(2, 1, 1))

    assert seen.dead.tolist() == [True, True]
    assert seen.jump.tolist() == [0, 0]


def test_answers_are_differences_in_standard_deviations():
    values = torch.tensor([[[1.0, 1], [5, 5]], [[5.0, 5], [1, 1]], [[3.0, 3], [3, 3]]])
    cover = torch.tensor([[0.0, 0], [1, 0.5]])  # half of a point: outside are 1, 1 and half a 5

    answers = object_answers(values, cover)
    outside = (1 + 1 + 0.5 * 5) / 2.5
    assert_close(answers, torch.tensor([(5 - outside) / 2, -(5 - outside) / 2, 0]))
    assert_close(strength_inside(values[0], cover), 5 / outside)


@pytest.mark.parametrize("share", [0, 1])
def test_nothing_answers_where_all_is_alike(share):
    assert object_answers(noise_map(4)[None], torch.full((4, 4), float(share))).tolist() == [0]


def test_own_maps_leave_out_the_padding(subject):
    seen = picture_of(subject, 128, 100).trace  # padded to 128 x 128

    maps = own_maps(seen)
    assert {name: tuple(one.shape[1:]) for name, one in maps.items()} == {
        "C2": (32, 25), "C3": (16, 13), "C4": (8, 7), "C5": (4, 4),
        "P2": (32, 25), "P3": (16, 13), "P4": (8, 7), "P5": (4, 4), "P6": (2, 2),
    }  # fmt: skip
    assert torch.equal(maps["P3"], seen.features["P3"][0, :, :16, :13])
    assert [*objectness_maps(seen)["P2"].shape] == [32, 25]


def test_objectness_is_the_surest_anchor_of_each_point(subject):
    seen = subject.trace
    with torch.inference_mode():
        logits, _ = subject.model.rpn.head(list(subject.model.backbone(seen.batch).values()))

    for found, level in zip(objectness_maps(seen).values(), logits, strict=True):
        assert_close(found, level[0].amax(0).sigmoid())


def test_points_lie_where_their_anchors_stand(subject):
    """The anchor of the highest objectness is centred a stride times its place in the map."""
    seen = subject.trace
    first = 0
    for name, count in zip(seen.features, seen.counts, strict=True):
        best = first + int(seen.objectness[first : first + count].argmax())
        found = objectness_maps(seen)[name]
        y, x = divmod(int(found.argmax()), found.shape[1])
        stride = seen.strides()[name]
        centre = (seen.anchors[best, :2] + seen.anchors[best, 2:]) / 2
        assert_close(centre, torch.tensor([x * stride, y * stride]).float(), atol=0.5, rtol=0)
        first += count


def test_cover_is_the_share_around_each_point(subject):
    scene = picture_of(subject, 128, 128, [(30, 46, 8, 4)])
    cover = object_cover(scene.trace, recorded_objects(scene.record, scene.classes))

    wanted = torch.zeros(32, 32)
    wanted[12, 8:10] = 1  # the point at (32, 48) stands for what is up to 2 pixels around it
    assert_close(cover["P2"], wanted)
    assert_close(cover["C4"].sum() * 16 * 16, torch.tensor(8.0 * 4))
    assert cover["C4"].argmax() == 3 * 8 + 2
    assert [*cover["P6"].shape] == [2, 2]


def test_channels_are_judged_over_all_images(subject):
    seen = channel_activities(subject)

    assert list(seen) == [*subject.trace.body, *subject.trace.features]
    assert {activity.images for activity in seen.values()} == {4}
    highest = torch.stack(
        [own_maps(make_subject(n, subject.model).trace)["C3"].amax((1, 2)) for n in range(4)]
    )
    assert_close(seen["C3"].highest, highest.amax(0))


def chapter_text(chapter):
    table = chapter.parts[-1]
    assert isinstance(table, Table)
    assert all(len(row) == len(table.head) for row in table.rows)
    for figure in chapter.figures:
        assert figure.sheet().width < 2 * WIDTH
        assert np.asarray(figure.picture).std() > 10
    return " ".join([chapter.introduction, table.text, *(f.text for f in chapter.figures)])


def are_sentences(findings):
    return all(one[0].isupper() and one.endswith(".") for one in findings)


def test_the_chapter_of_a_scene(subject):
    chapter = activations_chapter(subject)

    assert [figure.name for figure in chapter.figures] == [
        "backbone-strength", "pyramid-strength", "objectness", "backbone-channels",
        "pyramid-channels", "object-channels",
    ]  # fmt: skip
    cover = object_cover(subject.trace, recorded_objects(subject.record, subject.classes))
    beside = [map[cover[name] == 0] for name, map in objectness_maps(subject.trace).items()]
    count, high = len(torch.cat(beside)), int((torch.cat(beside) >= 0.5).sum())
    assert f"Of {count:,} points beside the objects {high:,} reach 0.5." in chapter_text(chapter)
    assert "P6 is P5 at every second point" in chapter_text(chapter)
    backbone, pyramid = (figure.picture.size for figure in chapter.figures[3:5])
    assert backbone == pyramid  # four maps each
    assert all("labelled object" in figure.keys[0].text for figure in chapter.figures)
    rows = {row[0]: row for row in chapter.parts[-1].rows}
    assert rows["C2"][1:4] == ("32 x 32", "4 px", f"{subject.trace.body['C2'].shape[1]}")
    assert rows["P6"][1:3] == ("2 x 2", "64 px")
    assert rows["P6"][6] == "too few points"


def test_dead_channels_are_listed_and_found():
    model = make_model()
    with torch.no_grad():
        model.backbone.body.layer3[-1].bn2.bias[:100] = -1e4
    chapter = activations_chapter(make_subject(0, model))
    row = next(row for row in chapter.parts[-1].rows if row[0] == "C4")

    assert row[5].startswith("100 (39.1%): 0, 1, 2, 3, 4, 5, 6, 7 and 92 more")
    assert ["C4 (39% of 256)" in finding for finding in chapter.findings] == [True]
    assert are_sentences(chapter.findings)


def test_one_image_does_not_condemn_channels():
    model = make_model()
    with torch.no_grad():
        model.backbone.body.layer3[-1].bn2.bias[:100] = -1e4
    chapter = activations_chapter(make_subject(0, model, with_labels=False))

    assert "one image alone cannot tell" in chapter_text(chapter)
    assert not [finding for finding in chapter.findings if "dead" in finding]
    assert "no labels" in chapter.introduction
    assert "object-channels" not in [figure.name for figure in chapter.figures]


def test_numbers_that_are_not_finite_are_found():
    model = make_model()
    with torch.no_grad():
        model.backbone.body.layer4[-1].bn2.bias[3] = float("inf")
    chapter = activations_chapter(make_subject(0, model))

    assert chapter.findings[0].startswith("Values are infinite or NaN in C5 (1 of 512")
    assert not [finding for finding in chapter.findings if "flat" in finding]
    assert are_sentences(chapter.findings)
    assert chapter.figures[0].keys[-1].colour == NOT_FINITE
    assert "infinite or NaN" in chapter.figures[0].keys[-1].text
    assert chapter.parts[-1].rows[3][-1] == "1 (0.2%): 3"


def test_a_flat_objectness_is_found():
    model = make_model()
    with torch.no_grad():
        model.rpn.head.cls_logits.weight.zero_()
        model.rpn.head.cls_logits.bias.fill_(-3)

    findings = activations_chapter(make_subject(0, model)).findings
    assert "flat, 0.05 to 0.05" in findings[-1]
    assert are_sentences(findings)
    empty = activations_chapter(make_subject(0, model, without_objects=True))
    assert not [finding for finding in empty.findings if "flat" in finding]
    assert "without objects" in chapter_text(empty)


def test_a_very_wide_image_has_its_maps_one_below_the_other(subject):
    scene = picture_of(subject, 40, 800, [(600, 5, 100, 30)])
    chapter = activations_chapter(scene)

    strength = chapter.figures[0].picture
    assert strength.height > 5 * wide(1) / 20
    assert_close(strength.width, wide(1) + 12)
    chapter_text(chapter)


@pytest.mark.slow
def test_a_very_tall_image_and_many_small_objects(subject):
    objects = [(x, y, 3, 3) for x in range(0, 60, 12) for y in range(0, 500, 20)]
    chapter = activations_chapter(picture_of(subject, 512, 64, objects))

    assert f"the 20 largest of {len(objects)}" in chapter.figures[0].keys[0].text


def test_an_object_of_a_pixel_at_the_edge_is_still_compared(subject):
    scene = picture_of(subject, 128, 128, [(127, 127, 1, 1)])
    cover = object_cover(scene.trace, recorded_objects(scene.record, scene.classes))

    for share in cover.values():
        assert share.argmax() == share.numel() - 1
        assert_close(share[-1, -1] * round(128 / len(share) * 1.5) ** 2, torch.tensor(1.0))
    chapter = activations_chapter(scene)
    assert "nan" not in chapter_text(chapter)
    assert chapter.figures[-1].name == "object-channels"


def test_an_object_that_fills_the_image_has_nothing_beside_it(subject):
    chapter = activations_chapter(picture_of(subject, 128, 128, [(0, 0, 128, 128)]))

    assert "nan" not in chapter_text(chapter)
    assert "the strength beside them" not in chapter_text(chapter)
    assert "object-channels" not in [figure.name for figure in chapter.figures]


@pytest.mark.slow
def test_levels_of_one_stride_with_many_anchors():
    model = make_model("maskrcnn_mobilenet_v3_large_fpn")
    chapter = activations_chapter(make_subject(1, model))

    assert [row[0] for row in chapter.parts[-1].rows][-3:] == ["P5", "P5b", "P6"]
    chapter_text(chapter)


@pytest.mark.parametrize("channels", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_images_of_other_channels_than_rgb(channels):
    scene = make_subject(0, make_model(channels=channels), with_labels=False)
    pixels = np.random.default_rng(0).random((90, 120, channels), np.float32)

    assert len(activations_chapter(replace(scene, pixels=pixels)).figures) == 5


def test_maps_are_shown_where_their_points_stand(subject):
    """One light point at (32, 64) of the image is light there, and up to half a stride around."""
    look = MapPictures(replace(subject, record=None))
    values = torch.zeros(8, 8)
    values[4, 2] = 1
    picture = np.asarray(look.map("P4", values, 1)).sum(2)
    light = np.argwhere(picture > picture.min() + 300) * 128 / wide(1)

    assert_close(light.min(0), np.array([64 - 8, 32 - 8.0]), atol=0.5, rtol=0)
    assert_close(light.max(0), np.array([64 + 8, 32 + 8.0]), atol=0.5, rtol=0)
