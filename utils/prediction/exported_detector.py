"""An exported file that finds objects."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from nets.contract import Prediction, are_shown
from nets.mask_paste import paste_masks
from nets.out_of_memory import is_out_of_memory
from nets.weights_file import WeightsError, first_line
from utils.config import ConfigError
from utils.data.images import check_resizable
from utils.data.records import DataError
from utils.export.fitting import fitted
from utils.export.session import Found, Session
from utils.prediction.detector import Detector

SMALLEST_SIDE = 2  # pixels; to exporters a side of one is another kind of side


class ExportedDetector(Detector):
    """A file of ``tools.export``.

    Its own threshold, non-maximum suppression and number of detections are part of it; what is
    asked for here is chosen among what it gives. An image of another size than the file's own, if
    it has one, is fitted into that.

    Args:
        session: the file.
        thresholds: from which score on a detection counts, by class in label order.
        nms_threshold: that of the file; it has no other.
        max_detections: the surest detections of an image that are given, if not all.

    Raises:
        ConfigError: the file cannot give what is asked for.
    """

    def __init__(
        self,
        session: Session,
        thresholds: Sequence[float],
        nms_threshold: float | None = None,
        max_detections: int | None = None,
    ) -> None:
        card, path = session.card, session.path
        least = min(thresholds)
        if least < card.score_threshold:
            raise ConfigError(
                f"score_threshold is {least:g}, and {path} gives nothing below "
                f"{card.score_threshold:g}; export it again with --score-threshold {least:g}"
            )
        if nms_threshold not in (None, card.nms_threshold):
            raise ConfigError(
                f"nms_threshold is {nms_threshold:g}, that of {path} is {card.nms_threshold:g}; "
                f"export it again with --nms-threshold {nms_threshold:g}"
            )
        if max_detections is not None and max_detections > card.detections:
            raise ConfigError(
                f"max_detections is {max_detections}, {path} gives at most {card.detections}; "
                f"export it again with --max-detections {max_detections}"
            )
        self.session = session
        self.card = card
        self.thresholds = thresholds
        self.most = max_detections or card.detections
        self.batch_size = card.settings.batch or 1
        self._has_told = False

    def check_size(self, height: int, width: int) -> None:
        if not self.card.settings.size and min(height, width) < SMALLEST_SIDE:
            raise DataError(f"{width}x{height} pixels is too thin for an exported file")
        check_resizable(height, width, *self.card.input_size)

    def detect(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        at_once = self.card.settings.batch or self.batch_size
        return [
            prediction
            for first in range(0, len(arrays), at_once)
            for prediction in self._detect(arrays[first : first + at_once])
        ]

    def _detect(self, arrays: Sequence[np.ndarray]) -> list[Prediction]:
        """As ``detect``, of no more images than the file takes."""
        height, width = inner = arrays[0].shape[:2]
        images = [self._pixels(array) for array in arrays]
        size = self.card.settings.size
        if size and size != inner:
            self._tell_of_fitting(*size)
            canvases = [fitted(image, size, self.card.image_mean) for image in images]
            images = [one.canvas for one in canvases]
            inner = canvases[0].height, canvases[0].width
        missing = (self.card.settings.batch or 0) - len(images)
        images += [np.zeros_like(images[0])] * missing
        found = self._run(np.stack(images))
        across, down = width / inner[1], height / inner[0]
        ratio = torch.tensor([across, down, across, down])
        return [self._prediction(found, n, height, width, ratio) for n in range(len(arrays))]

    def _pixels(self, array: np.ndarray) -> np.ndarray:
        """The pixels in the type that the file takes."""
        if self.card.takes_bytes:
            return array if array.dtype == np.uint8 else np.rint(array * 255).astype(np.uint8)
        return array if array.dtype == np.float32 else array / np.float32(255)

    def _run(self, images: np.ndarray) -> Found:
        try:
            found = self.session.run(images)
        except Exception as error:  # of many kinds, as there are as many runtimes
            if is_out_of_memory(error):
                raise
            raise WeightsError(
                f"{self.session.path}: fails on images {images.shape} ({first_line(error)}); "
                "export it again"
            ) from error
        path, known = self.session.path, len(self.card.weights.classes)
        if (most := found.labels.max(initial=0)) > known:
            raise WeightsError(
                f"{path}: finds class {most}, its description names {known}; was it edited?"
            )
        if (places := found.labels.shape[1]) != self.card.detections:
            raise WeightsError(
                f"{path}: has places for {places} detections, its description says "
                f"{self.card.detections}; was it edited?"
            )
        return found

    def _prediction(
        self, found: Found, n: int, height: int, width: int, ratio: Tensor
    ) -> Prediction:
        """What counts of the ``n``-th image, at its own size.

        Args:
            ratio: of its sides to those that the file saw, for each coordinate of a box.
        """
        # Copies: a runtime may give its own memory, which others may only read.
        boxes, labels, scores, masks = (
            torch.tensor(values[n, : int(found.counts[n])]) for values in found[:4]
        )
        boxes = clip_boxes_to_image(boxes * ratio, (height, width))
        # None is left of a box that lies beside a picture that was fitted.
        shown = are_shown(scores, labels, self.thresholds) & (boxes[:, :2] < boxes[:, 2:]).all(1)
        kept = shown.nonzero()[: self.most, 0]
        return Prediction(
            boxes=boxes[kept],
            labels=labels[kept],
            scores=scores[kept],
            masks=paste_masks(masks[kept, None], boxes[kept], height, width),
        )

    def _tell_of_fitting(self, height: int, width: int) -> None:
        if not self._has_told:
            self._has_told = True
            warnings.warn(
                f"{self.session.path} takes images of {width}x{height} pixels; those of another "
                "size are fitted into it; in those of other proportions less is found",
                stacklevel=2,
            )
