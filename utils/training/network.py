"""The network of a run: built for its data and filled with the weights to start from."""

from __future__ import annotations

from typing import Any, NamedTuple

from torchvision.models.detection import MaskRCNN

from nets.initial_weights import KINDS, InitialWeights, read_initial_weights
from nets.input_channels import RGB, imagenet_normalization
from nets.mask_rcnn import anchor_sizes, build_model
from utils.config import TrainConfig
from utils.doctor.network_view import NetworkView
from utils.open_data import TrainingData
from utils.training.anchor_fit import fit_anchors
from utils.training.pixel_statistics import pixel_statistics
from utils.training.resume import SavedRun
from utils.training.stages import Stage, describe_stages, read_stages
from utils.weights_lookup import find_weights


class Network(NamedTuple):
    """A model to train, the keywords of ``build_model`` that give it again, the stages that it is
    trained in, what ``--freeze auto`` came to, and what to say of it all."""

    model: MaskRCNN
    options: dict[str, Any]
    stages: tuple[Stage, ...]
    freeze: str
    notes: list[str]


def open_network(config: TrainConfig, data: TrainingData) -> Network:
    """A new network, as the settings want it.

    Raises:
        WeightsError: the weights to start from cannot be had or do not fit.
        PartError: a stage trains a part that there is not.
    """
    initial = open_weights(config)
    options = {**initial.options, **network_options(config)}
    found, told = fitted_options(config, data, options)
    options |= found
    classes = len(data.train.data.classes)
    model = build_model(config.arch, classes + 1, reference=config.reference, **options)
    loaded = initial.load_into(model)
    # Filters that were repeated over more channels than they know have to learn.
    auto = initial.freeze if config.channels in (1, RGB) else "none"
    stages = read_stages(config, auto)
    if initial.state is None and stages[-1].trains != "all":
        told.append("warning: what is frozen holds random numbers, as no weights were loaded")
    notes = [*told, str(loaded), *describe_stages(stages, model)]
    freeze = auto if config.freeze == "auto" and not config.stages else config.freeze
    return Network(model, options, stages, freeze, notes)


def reopen_network(config: TrainConfig, saved: SavedRun) -> Network:
    """The network of a saved run; its tensors are loaded with the state of the training."""
    weights = saved.weights
    model = weights.untrained(config.reference)
    stages = read_stages(config, config.freeze)
    notes = describe_stages(stages, model)
    return Network(model, weights.options, stages, config.freeze, notes)


def open_weights(config: TrainConfig) -> InitialWeights:
    """The tensors to start from; a file is found by name as in the other commands."""
    name = config.weights
    if name not in KINDS:
        name = str(find_weights(name, config.output_root))
    return read_initial_weights(config.arch, name)


def fitted_options(
    config: TrainConfig, data: TrainingData, options: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Keywords of ``build_model`` that come from the training images, and what to say of them."""
    found: dict[str, Any] = {}
    notes = []
    misfit = len(options.get("image_mean", ())) not in (0, config.channels)
    if config.normalize == "imagenet" or (config.normalize == "auto" and misfit):
        found |= imagenet_normalization(config.channels)
    elif config.normalize == "dataset":
        statistics = pixel_statistics(data.train)
        found |= statistics.options()
        notes.append(str(statistics))
    if config.anchors == "auto":
        view = NetworkView(config.min_size, config.max_size, anchor_sizes(config.arch))
        anchors = fit_anchors(data.train.data, view, config.arch, options)
        found |= anchors.options
        notes.append(str(anchors))
    return found, notes


def network_options(config: TrainConfig) -> dict[str, Any]:
    """Keywords of ``build_model`` that belong to the trained network and stay in its file."""
    return {
        "channels": config.channels,
        "min_size": config.min_size,
        "max_size": config.max_size,
        "box_batch_size_per_image": config.rois,
        "rpn_pre_nms_top_n_train": config.proposals,
        "rpn_post_nms_top_n_train": config.proposals,
        "rpn_pre_nms_top_n_test": config.proposals // 2 or 1,
        "rpn_post_nms_top_n_test": config.proposals // 2 or 1,
    }
