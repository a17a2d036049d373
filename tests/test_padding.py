"""Batches that are padded to more than their own largest image."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from nets.mask_rcnn import build_model
from nets.padding import padding_to


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model("maskrcnn_resnet18_fpn_small", 2, min_size=64, max_size=128)


IMAGES = [torch.rand(3, 40, 50), torch.rand(3, 64, 33)]


def test_a_batch_is_padded_as_in_a_larger_one(model):
    other = torch.rand(3, 60, 100)
    whole = model.transform.batch_images([*IMAGES, other])
    with padding_to(model, lambda shape: torch.tensor([shape, other.shape]).amax(0).tolist()):
        part = model.transform.batch_images(IMAGES)
    assert part.shape == (2, 3, 64, 128)
    assert torch.equal(part, whole[:2])


def test_others_are_told_what_holds_all_images(model):
    heard = []
    with padding_to(model, lambda shape: heard.append(list(shape)) or shape):
        alone = model.transform.batch_images(IMAGES)
    assert heard == [[3, 64, 50]]
    assert torch.equal(alone, model.transform.batch_images(IMAGES))


@pytest.mark.parametrize("agree", [None, lambda shape: [3, 500, 500]])
def test_nothing_stays_behind(model, agree):
    before = model.transform.batch_images(IMAGES)
    with pytest.raises(KeyError), padding_to(model, agree):
        raise KeyError
    assert torch.equal(model.transform.batch_images(IMAGES), before)


@pytest.mark.parametrize("arch", ["maskrcnn_resnet18_fpn_small", "maskrcnn_mobilenet_v3_large_fpn"])
def test_padding_for_others_does_not_change_what_the_heads_look_at(arch):
    """A square image beside wide and upright ones of other processes: its maps are twice as large
    as its own size tells."""
    torch.manual_seed(0)
    padded, alone = (build_model(arch, 2, min_size=64, max_size=128) for _ in range(2))
    alone.load_state_dict(padded.state_dict())
    image = [torch.rand(3, 64, 64)]
    with padding_to(padded.eval(), lambda shape: [3, 128, 128]), torch.no_grad():
        padded(image)
    with torch.no_grad():
        alone.eval()([torch.rand(3, 128, 128)])
    for part in ("box_roi_pool", "mask_roi_pool"):
        pools = [getattr(model.roi_heads, part) for model in (padded, alone)]
        assert pools[0].scales == pools[1].scales
        original = MultiScaleRoIAlign(pools[0].featmap_names, 7, 2)
        features = padded.backbone(torch.rand(1, 3, 128, 128))
        original(features, [torch.tensor([[0.0, 0, 9, 9]])], [(128, 128)])
        assert pools[0].scales == original.scales
        assert vars(pools[0].map_levels) == vars(original.map_levels)
