"""The exportable form finds what torchvision's own network finds: the whole, and part by part."""

from copy import deepcopy

import pytest
import torch
from exportable_scene import (
    FEW,
    MANY,
    NONE,
    assert_same,
    found_by,
    found_by_torchvision,
    make_images,
    make_network,
)
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import maskrcnn_inference
from torchvision.models.detection.transform import resize_boxes
from torchvision.ops import MultiScaleRoIAlign

from nets import exportable
from nets.exportable import ExportableMaskRCNN, anchors_of, resized
from nets.fixed_size import NONE as NO_BOX
from nets.mask_rcnn import ARCHITECTURES, build_model

SIZES = [(120, 90), (90, 120), (10, 200), (200, 10), (2, 2), (3, 50), (1, 1), (1, 60),
         (97, 131), (400, 300)]  # fmt: skip


def found_both_ways(model, images, **options):
    wanted = found_by_torchvision(model, images)
    return found_by(ExportableMaskRCNN(deepcopy(model), **options)(images)), wanted


def assert_found_the_same(model, images, **options):
    """Returns how many objects there are in each image."""
    found, wanted = found_both_ways(model, images, **options)
    assert_same(found, wanted)
    return [len(one["boxes"]) for one in wanted]


# Of more than 1000 candidates with equal scores torchvision takes any.
FEW_PROPOSALS = {"background": 0, "rpn_post_nms_top_n_test": 300}
LARGE = {"maskrcnn_resnet34_fpn", "maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet101_fpn"}


@pytest.mark.parametrize(
    "arch",
    [
        pytest.param(arch, marks=[pytest.mark.slow] if arch in LARGE else [])
        for arch in sorted(ARCHITECTURES)
    ],
)
def test_every_architecture_finds_the_same(arch):
    model = make_network(
        arch, background=1, min_size=64, max_size=96, rpn_post_nms_top_n_test=60,
        box_detections_per_img=20,
    )  # fmt: skip

    assert assert_found_the_same(model, make_images(MANY, size=(50, 70)))[0] > 0


def test_batch_norms_find_the_same():
    assert assert_found_the_same(make_network(frozen_norm=False), make_images(MANY))[0] > 0


def test_nothing_few_and_a_hundred_in_one_batch():
    images = make_images(NONE, FEW, MANY, FEW)

    nothing, few, many, _ = assert_found_the_same(make_network(), images, paste=True)

    assert nothing == 0
    assert 0 < few < 50
    assert many == 100


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_images_of_any_size(size):
    images = make_images(MANY, NONE, size=size)

    assert_found_the_same(make_network(), images, paste=True)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels(channels):
    model = make_network(channels=channels, background=0)

    found = assert_found_the_same(model, make_images(MANY, FEW, channels=channels))

    assert found[0] > 0


@pytest.mark.parametrize("classes", [1, 2, 90])
def test_any_number_of_classes(classes):
    model = make_network(classes=classes, box_score_thresh=0.02)

    assert assert_found_the_same(model, make_images(MANY, FEW))[0] > 0


@pytest.mark.parametrize(
    "options",
    [
        {"anchor_sizes": (8, 20, 50, 90, 130), "aspect_ratios": (0.3, 1, 3)},
        {"rpn_score_thresh": 0.6},
        {"rpn_pre_nms_top_n_test": 5000, "rpn_post_nms_top_n_test": 40},
        {"rpn_post_nms_top_n_test": 50, "box_detections_per_img": 200},
        {"box_nms_thresh": 0.2},
        {"box_score_thresh": 0.3},
    ],
    ids=str,
)
def test_other_settings_of_the_network(options):
    assert assert_found_the_same(make_network(**options), make_images(MANY, FEW))[0] > 0


def test_equal_scores_of_one_are_chosen_among_as_by_torchvision():
    """Large logits are all 1.0 after softmax: which box stays depends on their order alone."""
    model, images = make_network(), make_images(MANY)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.mul_(1000)

    found, wanted = found_both_ways(model, images)

    assert (wanted[0]["scores"] == 1).sum() == 100
    assert_same(found, wanted)
    torch.testing.assert_close(found[0]["boxes"], wanted[0]["boxes"], rtol=0, atol=0.02)


@pytest.mark.parametrize("classes", [1, 3])
def test_all_scores_equal(classes):
    model, images = make_network(classes=classes, **FEW_PROPOSALS), make_images(MANY)
    torch.nn.init.zeros_(model.roi_heads.box_predictor.cls_score.weight)
    torch.nn.init.zeros_(model.roi_heads.box_predictor.cls_score.bias)

    found, wanted = found_both_ways(model, images)

    assert wanted[0]["scores"].unique().numel() == 1
    torch.testing.assert_close(found[0]["boxes"], wanted[0]["boxes"], rtol=0, atol=0.02)
    assert torch.equal(found[0]["labels"], wanted[0]["labels"])


class TestMoreCandidatesThanPlaces:
    """With K classes an image has up to K candidates per proposal; ``MOST_CANDIDATES`` go on."""

    def found(self, monkeypatch, most, **options):
        monkeypatch.setattr(exportable, "MOST_CANDIDATES", most)
        return found_both_ways(make_network(**options), make_images(MANY))

    def test_it_is_exact_if_no_more_are_sure_enough(self, monkeypatch):
        found, wanted = self.found(monkeypatch, 300, box_score_thresh=0.4)
        assert_same(found, wanted)
        assert 0 < len(wanted[0]["boxes"]) < 100

    def test_it_is_exact_if_all_places_are_filled(self, monkeypatch):
        found, wanted = self.found(monkeypatch, 300, box_detections_per_img=50)
        assert_same(found, wanted)
        assert len(wanted[0]["boxes"]) == 50

    def test_else_the_least_sure_are_missing(self, monkeypatch):
        (found,), (wanted,) = self.found(monkeypatch, 60, box_score_thresh=0.001)
        count = len(found["boxes"])
        assert 0 < count < len(wanted["boxes"])
        assert_same([found], [{name: values[:count] for name, values in wanted.items()}])


@pytest.fixture(scope="module")
def network():
    """(torchvision's, ours) of the same weights."""
    model = make_network()
    return model, ExportableMaskRCNN(deepcopy(model))


@pytest.fixture(scope="module")
def features(network):
    model, _ = network
    batch, _ = model.transform([torch.rand(3, 120, 90), torch.rand(3, 120, 90)])
    with torch.no_grad():
        return batch, model.backbone(batch.tensors)


@pytest.mark.parametrize(
    ("bounds", "sides"),
    [
        ((800, 1333), (97, 129, 300, 501)),
        ((320, 320), (77, 154, 303, 308, 400)),
        ((320, 533), (77, 154, 303, 308, 1000)),
        ((96, 160), (3, 50, 1, 2, 97, 200)),
    ],
)
def test_images_are_prepared_as_by_torchvision(bounds, sides):
    """To the bit; torchvision rounds some of these sides down by one."""
    model = build_model("maskrcnn_resnet18_fpn_small", 2, channels=1, reference=True).eval()
    model.transform.min_size, model.transform.max_size = (bounds[0],), bounds[1]
    ours = ExportableMaskRCNN(deepcopy(model))
    for height in sides:
        for width in sides[:2]:
            images = torch.rand(1, height, width, 1)
            wanted, _ = model.transform([images[0].permute(2, 0, 1)])
            batch, size = ours.prepare(images)
            assert size == tuple(wanted.image_sizes[0])
            assert torch.equal(batch, wanted.tensors)


def test_bytes_are_prepared_as_by_torchvision(network):
    model, ours = network
    images = make_images(MANY, FEW, size=(131, 97))
    wanted, _ = model.transform([image.permute(2, 0, 1).float() / 255 for image in images])

    assert torch.equal(ours.prepare(images)[0], wanted.tensors)


def test_a_strip_that_would_vanish_keeps_one_row():
    """torchvision raises an error there."""
    images = make_images(MANY, size=(2, 900))

    batch, size = ExportableMaskRCNN(make_network()).prepare(images)

    assert size == (1, 160)
    assert batch.shape == (1, 3, 32, 160)


@pytest.mark.parametrize("padded", [(96, 128), (32, 640), (160, 224)])
def test_anchors_are_torchvisions(padded):
    model = build_model("maskrcnn_mobilenet_v3_large_fpn", 2, reference=True)
    generator = model.rpn.anchor_generator
    # The last map's sides are rounded up: of 160 pixels it has 3 cells, 53 and a third pixels each.
    cells = [(-(-padded[0] // stride), -(-padded[1] // stride)) for stride in (16, 32, 64)]
    maps = [torch.zeros(1, 1, *one) for one in cells]

    wanted = generator(ImageList(torch.zeros(1, 3, *padded), [padded]), maps)[0]
    found = [
        anchors_of(shapes, one, padded)
        for shapes, one in zip(generator.cell_anchors, cells, strict=True)
    ]

    assert torch.equal(torch.cat(found), wanted)


@torch.no_grad()
def test_proposals_are_those_of_torchvisions_rpn(network, features):
    model, ours = network
    batch, maps = features
    wanted, _ = model.rpn(batch, maps)

    boxes, scores = ours.propose(maps, tuple(batch.tensors.shape[-2:]), batch.image_sizes[0])

    for image in range(2):
        real = scores[image] > NO_BOX
        torch.testing.assert_close(boxes[image][real], wanted[image], rtol=0, atol=1e-3)
        assert len(wanted[image]) > 0
        assert not real[len(wanted[image]) :].any()  # those without a box come last


@torch.no_grad()
def test_boxes_are_classified_as_by_torchvisions_heads(network, features):
    model, ours = network
    batch, maps = features
    proposals, _ = model.rpn(batch, maps)
    heads, size = model.roi_heads, batch.image_sizes
    codes = heads.box_head(heads.box_roi_pool(maps, proposals, size))
    wanted = heads.postprocess_detections(*heads.box_predictor(codes), proposals, size)

    places = max(len(one) for one in proposals) + 7
    boxes, real = torch.zeros(2, places, 4), torch.zeros(2, places, dtype=torch.bool)
    for image, one in enumerate(proposals):
        boxes[image, : len(one)], real[image, : len(one)] = one, True
    ours = deepcopy(ours)
    ours.proposals = places
    found = ours.classify(maps, boxes, real, size[0])

    for image in range(2):
        here = found[2][image] > NO_BOX
        for ours_are, theirs_are in zip(
            (found[0], found[2], found[1]), (part[image] for part in wanted), strict=True
        ):
            torch.testing.assert_close(ours_are[image][here], theirs_are, rtol=0, atol=1e-3)


@torch.no_grad()
def test_masks_are_those_of_torchvisions_head(network, features):
    model, ours = network
    batch, maps = features
    heads = model.roi_heads
    torch.manual_seed(0)
    corners = torch.rand(2, 30, 2) * 60
    boxes = torch.cat([corners, corners + 1 + torch.rand(2, 30, 2) * 60], dim=2)
    labels, objects = torch.randint(1, 4, (2, 30)), torch.tensor([0, 3, 29, 30, 31, 59])
    flat, numbers = boxes.flatten(0, 1)[objects], labels.flatten()[objects]
    parts = [flat[:3], flat[3:]]
    logits = heads.mask_predictor(
        heads.mask_head(heads.mask_roi_pool(maps, parts, batch.image_sizes))
    )
    wanted = torch.cat(maskrcnn_inference(logits, [numbers[:3], numbers[3:]]))[:, 0]

    found = ours.segment(maps, boxes, labels, objects)

    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_boxes_are_pooled_from_the_map_of_their_size():
    """Also where no box, or every box, is on a map, and at the sizes where maps change."""
    torch.manual_seed(0)
    ours = ExportableMaskRCNN(make_network())
    maps = {str(n): torch.rand(2, 4, 512 >> n, 512 >> n) for n in range(4)}
    sides = torch.cat([torch.rand(40) * 500 + 1, torch.tensor([112.0, 224.0, 448.0, 0.0])])
    for chosen in (sides, sides[sides < 90], sides[:0]):
        corners = torch.rand(len(chosen), 2) * 100
        boxes = torch.cat([corners, corners + chosen[:, None]], dim=1)
        images = torch.arange(len(chosen)) % 2
        pool = MultiScaleRoIAlign(list(maps), 7, 2)
        in_order = [boxes[images == number] for number in range(2)]
        wanted = pool(maps, in_order, [(2048, 2048)] * 2)
        pool.scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]

        found = ours.pool(pool, maps, images, boxes)

        found = torch.cat([found[images == number] for number in range(2)])
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_boxes_are_resized_as_by_torchvision():
    boxes = torch.rand(2, 9, 4) * 300

    wanted = [resize_boxes(one, [800, 1066], [97, 129]) for one in boxes]

    assert torch.equal(resized(boxes, (800, 1066), (97, 129)), torch.stack(wanted))


def test_no_hook_and_no_gradient_is_left():
    """Exporters would follow them."""
    ours = ExportableMaskRCNN(build_model("maskrcnn_resnet18_fpn_small", 2, reference=True).eval())

    assert not any(one._forward_hooks or one._forward_pre_hooks for one in ours.modules())
    assert not any(one.requires_grad for one in ours.parameters())
    assert not any(one.training for one in ours.modules())
