"""Pictures are resized as torchvision's transform resizes them."""

import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from utils.doctor.network_view import NetworkView


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (100, 100), (3000, 200), (64, 1000)])
@pytest.mark.parametrize("limits", [(80, 133), (100, 100)])
def test_scale_is_torchvisions(size, limits):
    width, height = size
    transform = GeneralizedRCNNTransform(limits[0], limits[1], [0.0] * 3, [1.0] * 3)
    images, _ = transform([torch.zeros(3, height, width)])
    resized_height, resized_width = images.image_sizes[0]
    scale = NetworkView(*limits).scale(width, height)
    assert scale * width == pytest.approx(resized_width, abs=1.01)
    assert scale * height == pytest.approx(resized_height, abs=1.01)
