"""Anchors replaced in a network, and the grids they lie on."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from nets.anchors import feature_strides, ratios_of, set_anchors, sizes_of
from nets.mask_rcnn import ARCHITECTURES, build_model

SMALL = "maskrcnn_resnet18_fpn_small"
MOBILENET = "maskrcnn_mobilenet_v3_large_fpn"
SIZES, RATIOS = [8, 20, 50, 60, 99], [0.2, 1.5, 4.0]


def meta_model(arch):
    with torch.device("meta"):
        return build_model(arch, 3)


@pytest.mark.parametrize("arch", [SMALL, MOBILENET])
def test_every_point_has_as_many_anchors_of_the_new_kind(arch):
    model = meta_model(arch)
    counts = model.rpn.anchor_generator.num_anchors_per_location()
    set_anchors(model, SIZES, RATIOS)
    generator = model.rpn.anchor_generator

    assert generator.num_anchors_per_location() == counts
    assert (sizes_of(model), ratios_of(model)) == (tuple(SIZES), tuple(RATIOS))
    wanted = [[s] for s in SIZES] if arch == SMALL else [SIZES] * 3
    for sizes, cells in zip(wanted, generator.cell_anchors, strict=True):
        width, height = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
        shapes = [(s / r**0.5, s * r**0.5) for r in RATIOS for s in sizes]
        for found, shape in zip(zip(width.tolist(), height.tolist(), strict=True), shapes,
                                strict=True):  # fmt: skip
            assert found == pytest.approx(shape, abs=1)  # torchvision rounds half sides


def test_one_of_both_can_be_kept():
    model = meta_model(SMALL)
    set_anchors(model, SIZES, ())
    assert (sizes_of(model), ratios_of(model)) == (tuple(SIZES), (0.5, 1.0, 2.0))
    set_anchors(model, (), RATIOS)
    assert (sizes_of(model), ratios_of(model)) == (tuple(SIZES), tuple(RATIOS))


@pytest.mark.parametrize(
    ("sizes", "ratios", "problem"),
    [
        ([8, 16], [], "anchor_sizes are 2 numbers, this network has 5"),
        ([], [1, 2], "aspect_ratios are 2 numbers, this network has 3"),
        ([8, 16, 16, 32, 64], [], r"anchor_sizes are \[8, 16, 16, 32, 64\], must ascend"),
        ([], [0, 1, 2], "aspect_ratios .* from above 0"),
        ([float("nan"), 1, 2, 3, 4], [], "anchor_sizes .* must ascend"),
    ],
)
def test_anchors_that_do_not_fit_are_refused(sizes, ratios, problem):
    with pytest.raises(ValueError, match=problem):
        set_anchors(meta_model(SMALL), sizes, ratios)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_strides_are_those_of_the_anchor_generator(arch):
    model = meta_model(arch)
    image = torch.empty(1, 3, 512, 512, device="meta")
    features = list(model.backbone(image).values())
    points = [torch.empty(1, 1, *feature.shape[-2:]) for feature in features]
    generator = model.rpn.anchor_generator
    anchors = generator(ImageList(torch.empty(1, 3, 512, 512), [(512, 512)]), points)[0]
    counts = [
        per_point * point[0, 0].numel()
        for per_point, point in zip(generator.num_anchors_per_location(), points, strict=True)
    ]
    found = []
    for level, per_point in zip(
        anchors.split(counts), generator.num_anchors_per_location(), strict=True
    ):
        left = level[::per_point, 0].unique()
        found.append(int(left.diff().unique().item()))

    assert feature_strides(model) == tuple(found)


@pytest.mark.parametrize("options", [{}, {"anchor_sizes": SIZES}, {"reference": True}], ids=str)
def test_anchors_are_exact_in_any_number_format(options):
    model = build_model(SMALL, 3, **options)
    images = ImageList(torch.zeros(1, 3, 608, 1056), [(601, 1050)])
    maps = [torch.zeros(1, 1, 152 // 2**i, 264 // 2**i) for i in range(5)]
    generator = model.rpn.anchor_generator
    wanted = AnchorGenerator(generator.sizes, generator.aspect_ratios)(images, maps)[0]
    found = generator(images, [one.bfloat16() for one in maps])[0]

    assert found.dtype == torch.float32
    assert torch.equal(found, wanted)
    rounded = wanted.bfloat16().float()
    assert (rounded - wanted).abs().max() >= 2  # what bfloat16 would make of them
