"""What COCO evaluates at: the parameters of pycocotools' ``COCOeval``."""

from __future__ import annotations

import numpy as np

IOU_TYPES = ("bbox", "segm")
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
# COCO's sizes by area in square pixels: all, small, medium, large. Both ends belong to a size.
AREAS = {"all": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}
ALL, IOU_50, IOU_75 = 0, 0, 5  # the first area; places in IOU_THRESHOLDS
MOST_DETECTIONS = 100  # per image and class, as COCO counts
