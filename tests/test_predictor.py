"""A trained model looking at pictures: the same as evaluation sees."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou
from torchvision.transforms.v2.functional import to_image

from nets.contract import Prediction, above
from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights
from utils.config import ConfigError
from utils.data.transforms import eval_transforms
from utils.device import Precision
from utils.evaluation.judge import judge
from utils.evaluation.operating_point import Cost, OperatingPoint
from utils.prediction.found_picture import Picture, Unusable
from utils.prediction.network_detector import NetworkDetector
from utils.prediction.pixels import PixelArray
from utils.prediction.predictor import Predictor

ARCH = "maskrcnn_resnet18_fpn_small"
FP32 = Precision("fp32", "cpu")
OPTIONS = {"min_size": 64, "max_size": 96, "box_score_thresh": 0.0, "box_detections_per_img": 5,
           "rpn_post_nms_top_n_test": 20}  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> WeightsFile:
    """An untrained network that reports whatever it sees."""
    torch.manual_seed(0)
    model = build_model(ARCH, 3, **OPTIONS)
    return WeightsFile(ARCH, 3, ("cat", "dog"), model.state_dict(), OPTIONS, score_threshold=0.3)


@pytest.fixture(scope="module")
def predictor(weights) -> Predictor:
    return Predictor(weights, torch.device("cpu"), FP32, score_threshold=0.0)


def picture(height=70, width=90) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_it_knows_its_classes(predictor):
    assert predictor.classes == ("cat", "dog")
    assert not predictor.detector.model.training


def test_the_reference_is_torchvisions_network_and_finds_the_same(predictor, weights):
    reference = Predictor(weights, torch.device("cpu"), FP32, score_threshold=0.0, reference=True)
    kinds = {type(module).__module__.split(".")[0] for module in reference.detector.model.modules()}
    assert kinds == {"torch", "torchvision"}
    (found,), (wanted,) = (one.predict([picture()]) for one in (predictor, reference))
    assert len(wanted["scores"]) == 5
    for field in ("boxes", "scores"):
        torch.testing.assert_close(found[field], wanted[field], rtol=1e-4, atol=1e-4)


def test_the_threshold_is_the_files_unless_one_is_given(predictor, weights):
    scores = predictor(picture())["scores"]
    between = float(scores[1:3].mean())
    strict = Predictor(weights, torch.device("cpu"), FP32, score_threshold=between)
    assert torch.equal(strict(picture())["scores"], scores[scores >= between])
    assert strict.thresholds == (between, between)
    assert Predictor(weights, torch.device("cpu"), FP32).thresholds == (0.3, 0.3)


def stored(thresholds) -> dict:
    """An operating point as a weights file holds it."""
    costs = dict.fromkeys(thresholds, Cost(0, 0, 0))
    return OperatingPoint("f1", thresholds, costs, {}).to_dict()


@pytest.mark.parametrize("strict", ["cat", "dog"])
def test_each_class_has_its_own_threshold(weights, strict):
    everything = make(weights, score_threshold=0.0, max_detections=1000)(picture())
    low = sorted(everything["scores"].tolist())[0] / 2
    thresholds = {name: 1.0 if name == strict else low for name in ("cat", "dog")}
    chosen = replace(weights, operating_point=stored(thresholds))
    by_class = make(chosen, max_detections=1000)
    assert by_class.thresholds == tuple(thresholds.values())
    kept = everything["labels"] == (2 if strict == "cat" else 1)
    assert 0 < kept.sum() < len(kept)
    found = by_class(picture())
    assert torch.equal(found["scores"], everything["scores"][kept])
    assert torch.equal(found["labels"], everything["labels"][kept])
    overridden = make(chosen, score_threshold=0.0, max_detections=1000)
    assert torch.equal(overridden(picture())["scores"], everything["scores"])


def test_prediction_keeps_the_contract(predictor):
    found = predictor(picture(70, 90))
    assert found["boxes"].shape == (5, 4)
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    assert set(found["labels"].tolist()) <= {1, 2}
    assert found["boxes"].min() >= 0
    assert found["boxes"][:, 2].max() <= 90
    assert found["boxes"][:, 3].max() <= 70
    assert all(mask["size"] == [70, 90] for mask in found["masks"])


def test_prediction_is_what_evaluation_sees(predictor, weights):
    pixels = picture()
    image, target = eval_transforms()(to_image(pixels), {
        "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 70, 90, dtype=torch.uint8), "image_id": 7,
    })  # fmt: skip
    judged = judge(weights.build(), [([image], [target])], FP32, with_losses=False)
    seen = {one.image_id: one.prediction for one in judged}
    found = predictor(pixels)
    assert list(seen) == [7]
    assert found["masks"] == seen[7]["masks"]
    for name in ("boxes", "labels", "scores"):
        assert torch.allclose(found[name], seen[7][name], atol=1e-4), name


def test_every_form_of_a_picture_gives_the_same(predictor, tmp_path):
    pixels = picture()
    path = tmp_path / "a photo, 照片.png"
    Image.fromarray(pixels).save(path)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    forms = {
        "path": path, "text": str(path), "pillow": Image.fromarray(pixels),
        "read-only": read_only, "mirrored twice": pixels[::-1].copy()[::-1],
        "float64": pixels / 255, "tensor": torch.from_numpy(pixels).permute(2, 0, 1),
        "float tensor": torch.from_numpy(pixels).permute(2, 0, 1) / 255,
    }  # fmt: skip
    wanted = predictor(pixels)
    assert len(wanted["scores"]) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, form in forms.items():
            found = predictor(form)
            assert torch.allclose(found["boxes"], wanted["boxes"], atol=1e-3), name
            assert torch.equal(found["labels"], wanted["labels"]), name
            assert found["masks"] == wanted["masks"], name


def test_no_picture_gives_no_prediction(predictor):
    assert predictor([]) == []
    assert list(predictor.stream([])) == []


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_list_of_mixed_sizes_keeps_its_order(weights, batch):
    predictor = make(weights, score_threshold=0.0)
    predictor.batch_size = batch
    sizes = [(70, 90), (70, 90), (50, 60), (70, 90), (70, 90), (70, 90), (64, 64)]
    images = [np.roll(picture(*size), 9 * i, axis=1) for i, size in enumerate(sizes)]
    together, alone = predictor(tuple(images)), [predictor(image) for image in images]
    for found, wanted, size in zip(together, alone, sizes, strict=True):
        assert found.image.shape[:2] == size
        assert torch.allclose(found["boxes"], wanted["boxes"], atol=1e-2)
        assert torch.allclose(found["scores"], wanted["scores"], atol=1e-4)


def make(weights, **options) -> Predictor:
    return Predictor(weights, torch.device("cpu"), FP32, **options)


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 5), (1.0, 0)])
def test_the_ends_of_the_range_are_all_and_nothing(weights, threshold, count):
    found = make(weights, score_threshold=threshold)(picture())
    assert len(found["scores"]) == len(found["masks"]) == count
    assert found["boxes"].shape == (count, 4)
    assert found.draw().size == (90, 70)


def test_fewer_or_more_detections(weights):
    counts = [len(make(weights, score_threshold=0, max_detections=n)(picture())["scores"])
              for n in (1, 3, 1000)]  # fmt: skip
    assert counts[:2] == [1, 3]
    assert counts[2] > 5


@pytest.mark.parametrize("nms", [0.0, 0.3])
def test_boxes_of_a_class_overlap_up_to_the_nms_threshold(weights, nms):
    found = make(weights, score_threshold=0, nms_threshold=nms, max_detections=100)(picture())
    everything = make(weights, score_threshold=0, nms_threshold=1, max_detections=100)(picture())
    assert 0 < len(found["scores"]) < len(everything["scores"])
    for label in (1, 2):
        boxes = found["boxes"][found["labels"] == label]
        overlaps = box_iou(boxes, boxes).fill_diagonal_(0)
        assert overlaps.max() <= nms + 1e-3


def test_a_class_not_looked_for_takes_no_place(weights):
    everything = make(weights, score_threshold=0, max_detections=100)(picture())
    few = make(weights, score_threshold=0, max_detections=3)
    for label, name in enumerate(("cat", "dog"), 1):
        found = make(weights, score_threshold=0, max_detections=3, classes=[name])(picture())
        wanted = everything["scores"][everything["labels"] == label][:3]
        assert torch.allclose(found["scores"], wanted, atol=1e-6)
        assert found.names == [name] * 3
    assert set(few(picture()).names) < {"cat", "dog"}  # one class took all places


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("score_threshold", -0.1, r"score_threshold is -0.1, must lie in 0..1"),
        ("score_threshold", float("nan"), r"score_threshold is nan"),
        ("nms_threshold", 1.5, r"nms_threshold is 1.5, must lie in 0..1"),
        ("max_detections", 0, r"max_detections is 0, must be at least 1"),
        ("classes", ["cat", "cow"], r"know no class 'cow'; they know cat, dog"),
    ],
)
def test_options_that_cannot_work_are_refused(weights, option, value, words):
    with pytest.raises(ConfigError, match=words):
        make(weights, **{option: value})


def test_a_file_and_its_name_give_a_predictor(weights, tmp_path):
    path = tmp_path / "best.pth"
    save_weights(path, weights)
    wanted = make(weights, score_threshold=0)(picture())
    for given in (path, str(path)):
        predictor = Predictor.from_file(given, device="cpu", precision="fp32", score_threshold=0)
        assert predictor(picture())["masks"] == wanted["masks"]


class Recorder(NetworkDetector):
    """Notes what goes through the network together; memory runs out above ``most`` images."""

    most: float = float("inf")

    def _detect(self, arrays, model, device, precision):
        self.batches = [*getattr(self, "batches", []), (len(arrays), device.type)]
        if device.type == "cuda" and len(arrays) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        cpu = torch.device("cpu")
        return super()._detect(arrays, model, cpu, FP32)


def recorder(weights, batch, most=float("inf")) -> Predictor:
    predictor = make(weights, score_threshold=0)
    detector = Recorder(weights, torch.device("cpu"), FP32, batch, predictor.thresholds)
    detector.device, detector.most = torch.device("cuda"), most
    predictor.detector = detector
    return predictor


def pictures(*sizes):
    for i, size in enumerate(sizes):
        if size is None:
            yield Unusable(f"{i}", "is broken")
        else:
            yield Picture(f"{i}", f"{i}", PixelArray(picture(*size)))


A, B, THIN = (70, 90), (64, 64), (1, 5000)


@pytest.mark.parametrize(
    ("sizes", "batch", "batches"),
    [
        ([A], 4, [1]),
        ([A] * 5, 1, [1] * 5),
        ([A] * 5, 2, [2, 2, 1]),
        ([A, A, B, A], 4, [2, 1, 1]),
        ([A, None, A, A, THIN, A], 4, [1, 2, 1]),
        ([None, THIN], 4, []),
    ],
)
def test_a_stream_takes_neighbours_of_one_size_together(weights, sizes, batch, batches):
    predictor = recorder(weights, batch)
    found = list(predictor.stream(pictures(*sizes)))
    assert [number for number, _ in getattr(predictor.detector, "batches", [])] == batches
    names = [one.name if isinstance(one, Unusable) else one.picture.name for one in found]
    assert names == [str(i) for i in range(len(sizes))]
    for one, size in zip(found, sizes, strict=True):
        if size in (None, THIN):
            assert isinstance(one, Unusable)
        else:
            assert one.prediction["masks"][0]["size"] == list(size)


def test_a_full_batch_does_not_wait_for_the_next_picture(weights):
    asked = []

    def camera():
        for number, one in enumerate(pictures(A, A, A)):
            asked.append(number)
            yield one

    stream = recorder(weights, 1).stream(camera())
    next(stream)
    assert asked == [0]


def test_when_memory_runs_out_batches_become_smaller(weights):
    predictor = recorder(weights, 8, most=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predictor([picture()] * 8)
    assert [number for number, _ in predictor.detector.batches] == [8, 4, 2, 2, 2, 2]
    assert predictor.batch_size == 2
    wanted = make(weights, score_threshold=0)(picture())
    assert all(one["masks"] == wanted["masks"] for one in found)


def test_an_image_too_large_for_the_gpu_is_looked_at_on_the_cpu(weights):
    predictor = recorder(weights, 2, most=0)
    with pytest.warns(UserWarning, match="looked at on the CPU") as told:
        found = predictor([picture()] * 3)
    assert len(told) == 1
    assert [kind for _, kind in predictor.detector.batches].count("cpu") == 3
    wanted = make(weights, score_threshold=0)(picture())
    assert all(one["masks"] == wanted["masks"] for one in found)


@pytest.mark.parametrize("error", [MemoryError("no"), RuntimeError("bad_alloc"), KeyError("x")])
def test_what_fails_on_the_cpu_fails(weights, error, monkeypatch):
    predictor = make(weights)

    def fails(*_):
        raise error

    monkeypatch.setattr(predictor.detector, "_detect", fails)
    with pytest.raises(type(error)):
        predictor(picture())


def test_a_view_of_a_picture_is_read_right(predictor):
    pixels = picture(90, 70).transpose(1, 0, 2)
    assert not pixels.flags["C_CONTIGUOUS"]
    view, copy = predictor(pixels), predictor(np.ascontiguousarray(pixels))
    assert torch.equal(view["boxes"], copy["boxes"])


@pytest.mark.parametrize(
    ("thresholds", "kept"),
    [
        ((1.0, 1.0), []),
        ((0.75, 0.75), [0]),
        ((0.76, 0.76), []),
        ((0.25, 0.25), [0, 1]),
        ((0.0, 0.0), [0, 1, 2]),
        ((0.25, 0.76), [1]),
        ((0.26, 0.75), [0]),
        ((0.0, 1.0), [1, 2]),
    ],
)
def test_above_keeps_from_the_threshold_of_the_class_on(thresholds, kept):
    prediction = Prediction(
        boxes=torch.arange(12.0).view(3, 4), labels=torch.tensor([2, 1, 1]),
        scores=torch.tensor([0.75, 0.25, 0.125]), masks=[{"n": 0}, {"n": 1}, {"n": 2}],
    )  # fmt: skip
    found = above(prediction, thresholds)
    assert found["scores"].tolist() == [[0.75, 0.25, 0.125][i] for i in kept]
    assert found["labels"].tolist() == [[2, 1, 1][i] for i in kept]
    assert found["boxes"].tolist() == prediction["boxes"][kept].tolist()
    assert found["masks"] == [{"n": i} for i in kept]


def test_above_of_nothing_is_nothing():
    nothing = Prediction(
        boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64),
        scores=torch.zeros(0), masks=[],
    )  # fmt: skip
    found = above(nothing, (0.5, 0.5))
    assert (found["boxes"].shape, found["masks"]) == ((0, 4), [])


def test_a_threshold_between_neighbouring_scores_parts_them():
    score = np.float32(0.7)
    scores = [score, np.nextafter(score, np.float32(0))]
    between = float(np.mean(np.array(scores, np.float64)))
    prediction = Prediction(
        boxes=torch.zeros(2, 4), labels=torch.tensor([1, 1]), scores=torch.tensor(scores),
        masks=[{}, {}],
    )  # fmt: skip
    assert above(prediction, (between,))["scores"].tolist() == [score]
