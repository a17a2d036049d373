"""A trained network that finds objects; where memory runs out, in fewer images at a time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.transforms.v2.functional import to_dtype

from nets.class_thresholds import set_class_thresholds
from nets.contract import Prediction
from nets.detect import detect
from nets.inference import ready_for_inference
from nets.mask_rcnn import input_size
from nets.out_of_memory import is_out_of_memory
from nets.weights_file import WeightsFile
from utils.data.images import check_resizable
from utils.device import Precision
from utils.prediction.detector import Detector


class NetworkDetector(Detector):
    """The network of a weights file.

    Args:
        weights: of the model.
        device: where to compute.
        precision: number format of its convolutions.
        batch_size: how many images go through the network together.
        thresholds: from which score on a detection counts, by class in label order.
        nms_threshold, max_detections: instead of the network's own.
        reference: compute with torchvision's own modules.
    """

    def __init__(
        self,
        weights: WeightsFile,
        device: torch.device,
        precision: Precision,
        batch_size: int,
        thresholds: Sequence[float],
        nms_threshold: float | None = None,
        max_detections: int | None = None,
        reference: bool = False,
    ) -> None:
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self._build = partial(_built, weights, thresholds, nms_threshold, max_detections, reference)
        self.model = self._build(device, precision)

    def check_size(self, height: int, width: int) -> None:
        check_resizable(height, width, *input_size(self.model))

    def detect(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        predictions: list[Prediction] = []
        while len(predictions) < len(arrays):  # batches may become smaller meanwhile
            first = len(predictions)
            predictions += self._detect_batch(arrays[first : first + self.batch_size])
        return predictions

    def _detect_batch(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        """If memory runs out, fewer at a time from now on; if it does for one, that one on the CPU.

        Raises:
            RuntimeError: memory runs out on the CPU.
        """
        try:
            return self._detect(arrays, self.model, self.device, self.precision)
        except Exception as error:
            if not is_out_of_memory(error) or (len(arrays) == 1 and self.device.type == "cpu"):
                raise
        # Here and not above, where the error still holds what is to be freed.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(arrays) > 1:
            self.batch_size = len(arrays) // 2
            return self.detect(arrays)
        return self._detect(arrays, *self._on_cpu)

    @cached_property
    def _on_cpu(self) -> tuple[MaskRCNN, torch.device, Precision]:
        """For images that are too large for a GPU."""
        warnings.warn(
            f"the memory of the {self.device.type} device is too small for some images; they are "
            "looked at on the CPU, which is slower",
            stacklevel=2,
        )
        device = torch.device("cpu")
        precision = Precision("fp32", "cpu")
        return self._build(device, precision), device, precision

    @torch.inference_mode()
    def _detect(
        self,
        arrays: Sequence[np.ndarray],
        model: MaskRCNN,
        device: torch.device,
        precision: Precision,
    ) -> list[Prediction]:
        moved = [_tensor(array).to(device) for array in arrays]  # before they become floats
        images = [to_dtype(image, torch.float32, scale=True) for image in moved]
        with precision.autocast():
            predictions, _ = detect(model, images)
        return predictions


def _built(
    weights: WeightsFile,
    thresholds: Sequence[float],
    nms_threshold: float | None,
    max_detections: int | None,
    reference: bool,
    device: torch.device,
    precision: Precision,
) -> MaskRCNN:
    model = weights.build(reference).to(device)
    set_class_thresholds(model.roi_heads, thresholds)
    if not reference:
        ready_for_inference(model, precision.dtype)
    if nms_threshold is not None:
        model.roi_heads.nms_thresh = nms_threshold
    if max_detections is not None:
        model.roi_heads.detections_per_img = max_detections
    return model


def _tensor(array: np.ndarray) -> Tensor:
    """(H, W, C) as (C, H, W); copied where torch cannot take it, as if it may not be written to."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).permute(2, 0, 1)
