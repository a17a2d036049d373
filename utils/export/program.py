"""The graph of a trained network, as ``torch.export`` takes it down."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from nets.export_operators import TORCH_OPERATORS, ExportOperators
from nets.exportable import ExportableMaskRCNN
from nets.weights_file import WeightsFile
from utils.export.card import ModelCard
from utils.export.settings import ExportSettings

# Any would do; they differ from each other and from all sides that mean something in the network.
EXAMPLE_BATCH, EXAMPLE_SIZE = 2, (200, 270)


def exportable(
    weights: WeightsFile, settings: ExportSettings, operators: ExportOperators = TORCH_OPERATORS
) -> ExportableMaskRCNN:
    """The network as it is exported."""
    model = weights.build(reference=True)
    if settings.nms_threshold is not None:
        model.roi_heads.nms_thresh = settings.nms_threshold
    if settings.max_detections is not None:
        model.roi_heads.detections_per_img = settings.max_detections
    return ExportableMaskRCNN(
        model,
        score_threshold=settings.score_threshold,
        paste=settings.paste,
        operators=operators,
    )


def card_of(weights: WeightsFile, settings: ExportSettings, format: str) -> ModelCard:
    """What a file of this network is to know of itself."""
    network = exportable(weights, settings)
    return ModelCard(
        format=format,
        weights=weights,
        settings=settings,
        input_size=(network.min_size, network.max_size),
        score_threshold=network.score_threshold,
        nms_threshold=network.iou,
        detections=network.detections,
    )


def example_images(weights: WeightsFile, settings: ExportSettings) -> Tensor:
    """Images that a file of these settings takes; what they show does not matter."""
    batch, size = settings.batch or EXAMPLE_BATCH, settings.size or EXAMPLE_SIZE
    dtype = torch.uint8 if weights.channels == 3 else torch.float32
    return torch.zeros(batch, *size, weights.channels, dtype=dtype)


@torch.no_grad()
def export_program(
    weights: WeightsFile, settings: ExportSettings, operators: ExportOperators = TORCH_OPERATORS
) -> ExportedProgram:
    """The graph, for images of the size and number that the settings say."""
    any_of_these: dict[int, Dim] = {}
    if settings.batch is None:
        any_of_these[0] = Dim("batch")
    if settings.size is None:
        any_of_these |= {1: Dim("height"), 2: Dim("width")}
    network = exportable(weights, settings, operators)
    with warnings.catch_warnings():  # on what the exporter does inside
        warnings.simplefilter("ignore")
        return torch.export.export(
            network,
            (example_images(weights, settings),),
            dynamic_shapes=(any_of_these or None,),
            strict=False,
        )
