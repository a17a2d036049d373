"""What an exported file knows of itself: classes, preprocessing, thresholds, and its own shape.

A text of JSON in the file's metadata, under ``KEY``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
import torchvision

from nets.exportable import OUTPUTS, PASTED
from nets.input_channels import imagenet_normalization
from nets.mask_rcnn import input_size
from nets.weights_file import WeightsError, WeightsFile
from utils.evaluation.operating_point import stored_point
from utils.export.formats import FORMATS
from utils.export.settings import ExportSettings

KEY = "maskrcnn_finetune"
CARD_VERSION = 1


@dataclass(frozen=True)
class ModelCard:
    """What is known of an exported file.

    Attributes:
        format: a name in ``FORMATS``.
        weights: of the weights file, without its tensors.
        settings: what it was exported with.
        input_size: shorter side that images are resized to within it, and the longer one's limit.
        score_threshold: it gives no detection below; ``weights.thresholds`` say which count.
        nms_threshold: of two boxes of a class with a higher IoU it gives the surer one.
        detections: places for detections, of each image.
    """

    format: str
    weights: WeightsFile
    settings: ExportSettings
    input_size: tuple[int, int]
    score_threshold: float
    nms_threshold: float
    detections: int

    def to_json(self) -> str:
        """As text, for a file's metadata."""
        known = {
            f.name: getattr(self.weights, f.name) for f in fields(WeightsFile) if f.name != "model"
        }
        content = {
            **{f.name: getattr(self, f.name) for f in fields(self)},
            "card_version": CARD_VERSION,
            "weights": known,
            "settings": asdict(self.settings),
            "input": "images: (batch, height, width, channels), "
            + ("uint8 RGB" if self.takes_bytes else "float32 in 0..1"),
            "versions": {"torch": str(torch.__version__), "torchvision": torchvision.__version__},
        }
        return json.dumps(content)

    @property
    def takes_bytes(self) -> bool:
        """Whether images are uint8 RGB; else they are float32 in 0..1 of another number of
        channels."""
        return self.weights.channels == 3

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the file gives, in order."""
        return (*OUTPUTS, PASTED) if self.settings.paste else OUTPUTS

    @property
    def image_mean(self) -> Sequence[float]:
        """What the network subtracts from each channel of pixels in 0..1."""
        own: Sequence[float] | None = self.weights.options.get("image_mean")
        return own or imagenet_normalization(self.weights.channels)["image_mean"]


def card_of(weights: WeightsFile, settings: ExportSettings, format: str) -> ModelCard:
    """What a file of this network is to know of itself."""
    with torch.device("meta"):  # no weights are made
        model = weights.untrained(reference=True)
    heads = model.roi_heads

    def chosen(asked: Any, own: Any) -> Any:
        return own if asked is None else asked

    return ModelCard(
        format=format,
        weights=weights,
        settings=settings,
        input_size=input_size(model),
        score_threshold=chosen(settings.score_threshold, heads.score_thresh),
        nms_threshold=chosen(settings.nms_threshold, heads.nms_thresh),
        detections=chosen(settings.max_detections, heads.detections_per_img),
    )


def read_card(path: Path, text: str | None) -> ModelCard:
    """The card from a file's metadata.

    Raises:
        WeightsError: there is none, or it is of a newer version or was changed.
    """
    if not text:
        raise WeightsError(
            f"{path}: holds no description of a Mask R-CNN of this program (classes, thresholds); "
            "it was not written by tools.export, or its metadata were removed"
        )
    try:
        content: dict[str, Any] = json.loads(text)
        version = content["card_version"]
        if version > CARD_VERSION:
            raise WeightsError(
                f"{path}: its description has version {version}, this program reads up to "
                f"{CARD_VERSION}; update it"
            )
        known = dict(content["weights"])
        known["classes"] = tuple(known["classes"])
        content["weights"] = WeightsFile(**known, model={})
        settings = dict(content["settings"])
        settings["size"] = settings["size"] and tuple(settings["size"])
        content["settings"] = ExportSettings(**settings)
        content["input_size"] = tuple(content["input_size"])
        card = ModelCard(**{f.name: content[f.name] for f in fields(ModelCard)})
        is_sound = _is_sound(card)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(
            f"{path}: its description cannot be read ({error}); was it edited?"
        ) from error
    if not is_sound:
        raise WeightsError(f"{path}: its description contradicts itself; was it edited?")
    return card


def _is_sound(card: ModelCard) -> bool:
    """Whether the parts of a card agree with each other; where a part is missing or of another
    kind, some error that tells so."""
    weights, settings = card.weights, card.settings
    classes = len(weights.classes)
    if classes != weights.num_classes - 1:
        return False
    if len(weights.thresholds) != classes:
        return False
    shorter, longer = card.input_size
    height, width = settings.size or (1, 1)
    numbers = (shorter, longer, height, width, card.detections, settings.batch or 1)
    known = stored_point(weights).thresholds.values()
    shares = (card.score_threshold, card.nms_threshold, weights.score_threshold, *known)
    return (
        card.format in FORMATS
        and all(isinstance(part, dict) for part in (weights.data, weights.preprocessing))
        and all(isinstance(number, int) and number > 0 for number in numbers)
        and all(share >= 0 for share in shares)
        and len(weights.options.get("image_mean", (0,) * weights.channels)) == weights.channels
    )
