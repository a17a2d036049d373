"""A small network with random weights and an image of the shapes set, to be looked into."""

from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile
from utils.data import shapes
from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import ShapesDataset
from utils.device import Precision
from utils.inspection.subject import Subject

ARCH = "maskrcnn_resnet18_fpn_small"
OPTIONS = {
    "min_size": 128, "max_size": 128, "box_batch_size_per_image": 32,
    "rpn_pre_nms_top_n_train": 200, "rpn_post_nms_top_n_train": 200,
    "rpn_pre_nms_top_n_test": 100, "rpn_post_nms_top_n_test": 50,
}  # fmt: skip

MODELS = {}  # that were made before


def make_model(arch=ARCH, classes=3, **options):
    """Random weights with scores that differ: the predictors' weights are scaled up."""
    key = repr((arch, classes, options))
    if key not in MODELS:
        MODELS[key] = _built(arch, classes, options)
    return deepcopy(MODELS[key])  # some tests change it


def _built(arch, classes, options):
    torch.manual_seed(0)
    model = build_model(arch, classes + 1, frozen_norm=True, **{**OPTIONS, **options})
    with torch.no_grad():
        model.rpn.head.cls_logits.weight.mul_(20)
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
        model.roi_heads.mask_predictor.mask_fcn_logits.weight.mul_(20)
    return model.eval()


def make_subject(number=0, model=None, without_objects=False, with_labels=True, images=4):
    """Image ``number`` of the held-out shapes; maybe without its objects or without any labels."""
    model = model or make_model()
    dataset = ShapesDataset(images, held_out=True, compact_masks=True)
    pixels, record = dataset.read(SampleKey(0, number))
    weights = WeightsFile(ARCH, 4, shapes.CLASSES, model.state_dict(), options=OPTIONS)
    known = {"dataset": dataset, "number": number, "record": record} if with_labels else {}
    subject = Subject(
        Path("best.pth"), weights, model, Precision("fp32", "cpu"), "scene.png", pixels, **known
    )
    if without_objects:
        return empty_subject(subject)
    return subject


def empty_subject(subject):
    """The same with an image of noise that holds no object."""
    pixels = np.random.default_rng(0).integers(0, 255, subject.pixels.shape, np.uint8)
    return with_instances(replace(subject, pixels=pixels), {subject.number: ()})


def with_instances(subject, instances):
    """The same with other labels in some images of its data, by number; the subject's own pixels
    are those of all images then."""
    images = [*subject.dataset.data.images]
    for number, ones in instances.items():
        images[number] = replace(images[number], instances=tuple(ones))
    dataset = copy(subject.dataset)
    dataset.data = replace(dataset.data, images=tuple(images))
    dataset.read = lambda key: (subject.pixels, images[key.number])
    return replace(subject, dataset=dataset, record=images[subject.number])
