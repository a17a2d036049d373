"""What a run writes for TensorBoard, read back from its event file."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.hparams import metadata
from tensorboard.util.tensor_util import make_ndarray

from utils.config import SHAPES_RECIPE, TrainConfig
from utils.drawing import PANEL_SIDE, panel
from utils.evaluation.coco_parameters import AREAS, IOU_THRESHOLDS
from utils.evaluation.matches import Matches
from utils.training.curves import MOST_PR_CURVES, SCORES, Curves, score_counts
from utils.training.hparams import COLUMNS_SHOWN, METRICS, compared_settings
from utils.training.panels import COLUMNS, MOST_IMAGES

MEGABYTE = 1e6
CLASSES = ("cat", "dog", "cow")


def make_matches(detections, objects):
    """Matches of rows (label, score, matched, ignored), alike for all sizes and IoUs, and objects
    [image][class]; the detections are all in the first image."""
    label, score, matched, ignored = zip(*detections, strict=True) if detections else [()] * 4
    everywhere = (len(AREAS), len(IOU_THRESHOLDS), len(label))
    return Matches(
        image=np.zeros(len(label), np.int64),
        label=np.array(label, np.int64),
        score=np.array(score, np.float32).astype(np.float64),
        rank=np.arange(len(label)),
        matched=np.broadcast_to(np.array(matched, bool), everywhere).copy(),
        ignored=np.broadcast_to(np.array(ignored, bool), everywhere).copy(),
        objects=np.broadcast_to(np.array(objects), (len(AREAS), *np.shape(objects))).copy(),
    )


def drawn_matches(seed, classes=3, detections=60):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.random(detections // 2), rng.integers(0, 101, detections) / 100])
    rows = [
        (rng.integers(1, classes + 1), score, rng.random() < score, rng.random() < 0.2)
        for score in scores[:detections]
    ]
    return make_matches(rows, rng.integers(20, 40, (2, classes)))


def written(folder):
    """The events of a run, all of them kept."""
    sizes = {"tensors": 0, "images": 0, "scalars": 0}
    return event_accumulator.EventAccumulator(str(folder), size_guidance=sizes).Reload()


def curve(events, tag):
    """The numbers (6, 101) of the one curve under a tag, and its step."""
    (event,) = events.Tensors(tag)
    proto = event.tensor_proto
    assert isinstance(proto, TensorProto)
    return make_ndarray(proto), event.step


@pytest.fixture
def curves(tmp_path):
    curves = Curves(tmp_path)
    yield curves
    curves.close()


def test_counts_of_a_scene_by_hand():
    rows = [
        (1, 0.9, True, False),
        (1, 0.6, False, False),
        (1, 0.5, True, True),  # on a crowd: counts nowhere
        (1, 0.3, True, False),
        (2, 0.8, True, False),
    ]
    counts = score_counts(make_matches(rows, [[3, 5]]), 1)
    at = {score: counts[:, round(100 * score)].tolist() for score in (0.0, 0.45, 0.75, 0.95)}
    assert at[0.0] == pytest.approx([2, 1, 0, 1, 2 / 3, 2 / 3])
    assert at[0.45] == pytest.approx([1, 1, 0, 2, 1 / 2, 1 / 3])
    assert at[0.75] == pytest.approx([1, 0, 0, 2, 1, 1 / 3])
    assert at[0.95] == pytest.approx([0, 0, 0, 3, 0, 0])


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_a_loop(seed):
    matches = drawn_matches(seed)
    # Only the first size and IoU may be looked at.
    matches.matched[1:], matches.matched[:, 1:] = False, False
    matches.ignored[1:], matches.ignored[:, 1:] = True, True
    for label in (1, 2, 3):
        objects = int(matches.objects[0, :, label - 1].sum())
        for place, counts in enumerate(score_counts(matches, label).T):
            true = false = 0
            for d in range(len(matches.score)):
                if matches.label[d] != label or matches.score[d] < place / 100:
                    continue
                if matches.ignored[0, 0, d]:
                    continue
                true += bool(matches.matched[0, 0, d])
                false += not matches.matched[0, 0, d]
            precision = true / (true + false) if true + false else 0
            expected = [true, false, 0, objects - true, precision, true / objects]
            assert counts.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("detections", "objects", "shown"),
    [
        ([], np.zeros((0, 3), int), []),  # no images
        ([], [[1, 1, 1]], []),  # nothing found
        ([(1, 0.5, False, False)], [[0, 1, 1]], []),  # only where there is nothing
        ([(1, 0.5, True, True)], [[1, 1, 1]], []),  # only a crowd found: no precision
        ([(2, 0.0, False, False)], [[0, 1, 1]], ["dog"]),  # all wrong is a curve
        ([(2, 0.5, True, False), (3, 1.0, True, False)], [[0, 1, 1]], ["dog", "cow"]),
    ],
)
def test_classes_with_a_curve(tmp_path, curves, detections, objects, shown):
    curves.pr_curves(make_matches(detections, objects), CLASSES, 7)
    curves.flush()
    events = written(tmp_path)
    assert events.Tags()["tensors"] == [f"pr/segm50/{name}" for name in shown]
    assert all(curve(events, tag)[1] == 7 for tag in events.Tags()["tensors"])


def test_curves_are_written_as_counted(tmp_path, curves):
    matches = drawn_matches(seed=9)
    curves.pr_curves(matches, CLASSES, 1)
    curves.flush()
    events = written(tmp_path)
    for label, name in enumerate(CLASSES, start=1):
        numbers, _ = curve(events, f"pr/segm50/{name}")
        np.testing.assert_allclose(numbers, score_counts(matches, label), rtol=1e-6)


def test_of_many_classes_the_commonest_have_curves(tmp_path, curves):
    count = MOST_PR_CURVES + 5
    rows = [(label, 0.5, True, False) for label in range(1, count + 1)]
    curves.pr_curves(make_matches(rows, [list(range(1, count + 1))]), [*map(str, range(count))], 1)
    curves.flush()
    shown = [f"pr/segm50/{index}" for index in range(5, count)]
    assert written(tmp_path).Tags()["tensors"] == shown


def test_thresholds_are_those_tensorboard_assumes():
    assert len(SCORES) == 101
    assert SCORES.tolist() == np.linspace(0, 1, 101).tolist()


@pytest.mark.parametrize("size", [(96, 64), (301, 77)])
def test_pictures_are_jpegs(tmp_path, curves, size):
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[::-1])
    picture = Image.fromarray(np.stack([ramp, 255 - ramp, ramp / 2], axis=-1).astype(np.uint8))
    curves.picture("val/labels", picture, 3)
    curves.flush()
    (event,) = written(tmp_path).Images("val/labels")
    assert (event.step, event.width, event.height) == (3, *size)
    shown = Image.open(io.BytesIO(event.encoded_image_string))
    assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", size)
    difference = np.abs(np.asarray(shown).astype(int) - np.asarray(picture))
    assert difference.mean() < 4


def hparams_of(folder):
    """The columns and the row of the HParams page in a run's events."""
    contents = written(folder).PluginTagToContent("hparams")
    return (
        metadata.parse_experiment_plugin_data(contents[metadata.EXPERIMENT_TAG]),
        metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG]),
    )


def test_settings_of_every_kind(tmp_path, curves):
    values = {"n": 3, "x": 0.5, "on": True, "word": "flip", "none": None, "many": ["a", 1], "no": 0}
    curves.settings(values, ["segm/AP", "val/loss"])
    curves.flush()
    columns, row = hparams_of(tmp_path)
    found = {name: getattr(v, v.WhichOneof("kind")) for name, v in row.hparams.items()}
    assert found == {**values, "none": "None", "many": "['a', 1]"}
    assert found["on"] is True
    kinds = {info.name: info.type for info in columns.hparam_infos}
    text, boolean, number = 1, 2, 3
    assert kinds == {"n": number, "x": number, "on": boolean, "word": text, "none": text,
                     "many": text, "no": number}  # fmt: skip
    assert [i.name for i in columns.hparam_infos if i.differs] == [*values][:COLUMNS_SHOWN]
    assert [metric.name.tag for metric in columns.metric_infos] == ["segm/AP", "val/loss"]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("module", [event_accumulator, plugin_event_accumulator])
def test_a_resumed_run_strikes_out_what_was_after_it(tmp_path, module):
    """By both readers of TensorBoard's; the second knows a restart by an earlier start."""
    for purge_step, steps in [(None, (1, 2, 3, 4)), (3, (3, 5))]:
        curves = Curves(tmp_path, purge_step)
        for step in steps:
            curves.points({"lr": 1.0}, step)
        curves.close()
    events = module.EventAccumulator(str(tmp_path)).Reload()
    points = events.Scalars("lr") if module is event_accumulator else events.Tensors("lr")
    assert [point.step for point in points] == [1, 2, 3, 5]


def test_settings_written_again_after_a_resume_change_nothing(tmp_path):
    for lr in (1.0, 2.0):
        curves = Curves(tmp_path, purge_step=None if lr == 1 else 5)
        curves.settings({"lr": lr}, METRICS)
        curves.close()
    assert hparams_of(tmp_path)[1].hparams["lr"].number_value == 1.0


def test_compared_settings_are_of_the_training():
    config = TrainConfig(data="shapes", **SHAPES_RECIPE)
    found = compared_settings(config)
    assert {*SHAPES_RECIPE, "augment", "epochs", "ema", "stages", "seed", "data"} <= found.keys()
    assert found["lr"] == 1e-3
    assert [*found][:COLUMNS_SHOWN] == ["arch", "augment", "epochs", "lr", "weights"]
    assert {type(value) for value in found.values()} <= {int, float, bool, str}
    machine = {"name": "other", "workers": 7, "output_root": "/", "keep": 9, "debug": True}
    assert compared_settings(dataclasses.replace(config, **machine)) == found


def test_a_full_disk_ends_the_curves_only(tmp_path, curves, monkeypatch, caplog):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(curves.writer.file_writer, "add_summary", full)
    for _ in range(2):
        curves.picture("val/labels", Image.new("RGB", (8, 6)), 1)
        curves.settings({"lr": 1.0}, METRICS)
        curves.pr_curves(make_matches([(1, 0.5, True, False)], [[1, 1, 1]]), CLASSES, 1)
        curves.points({"segm/AP": 1.0}, 1)
        curves.text("settings", "hello", 1)
    assert [record.getMessage().count("no space left") for record in caplog.records] == [1]


def photograph(seed):
    """Rough at all scales, and with more grain than photographs of this size have."""
    rng = np.random.default_rng(seed)
    pixels = np.full((PANEL_SIDE, PANEL_SIDE, 3), 128.0)
    for cells, height in ((4, 40), (16, 30), (64, 25), (180, 20), (360, 16)):
        noise = rng.normal(0, height, (cells, cells, 3)).clip(-127, 127) + 128
        rough = Image.fromarray(noise.astype(np.uint8)).resize((PANEL_SIDE, PANEL_SIDE))
        pixels += np.asarray(rough, float) - 128
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def test_a_long_run_stays_small(tmp_path):
    """The largest panels, the most curves, the most points: 100 epochs are below 50 MB."""
    epochs, points, tags = 100, 100, 9
    classes = [f"class {n}" for n in range(MOST_PR_CURVES)]
    matches = drawn_matches(seed=0, classes=len(classes), detections=400)
    sheet = panel([photograph(n) for n in range(MOST_IMAGES)], ["photo.jpg"] * MOST_IMAGES, COLUMNS)
    metrics = {f"segm/AP50/{n}": 0.5 for n in range(24 + 4 * len(classes))}
    step, tenth = 0, epochs // 10
    curves = Curves(tmp_path)
    for _ in range(tenth):
        for _ in range(points):
            step += 1
            curves.points({f"train/loss_rpn_box_reg{n}": 0.5 for n in range(tags)}, step)
        curves.points(metrics, step)
        curves.pr_curves(matches, classes, step)
        curves.picture("val/predictions", sheet, step)
    curves.flush()
    (events,) = tmp_path.iterdir()
    of_epochs = events.stat().st_size
    for tag in ("train/batch0", "train/augmentation", "val/labels"):
        curves.picture(tag, sheet, 0)
    curves.settings(compared_settings(TrainConfig(data="shapes")), METRICS)
    curves.close()
    of_start = events.stat().st_size - of_epochs
    assert len(written(tmp_path).Images("val/predictions")) == tenth
    assert of_start + 10 * of_epochs < 50 * MEGABYTE
