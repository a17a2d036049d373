"""What benchmarks of prediction are tried on: a small network of random weights, and noise."""

import numpy as np
import torch
from PIL import Image

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights

ARCH = "maskrcnn_resnet18_fpn_small"
CLASSES = ("cat", "dog")


def save_small_weights(path):
    """A weights file; its path."""
    torch.manual_seed(0)
    options = {"min_size": 64, "max_size": 96, "box_detections_per_img": 7}
    model = build_model(ARCH, 3, **options)
    save_weights(path, WeightsFile(ARCH, 3, CLASSES, model.state_dict(), options))
    return path


def save_noise(folder):
    """Three pictures of different sizes; their folder."""
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 256, (50 + number, 70, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder
