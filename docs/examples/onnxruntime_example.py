"""Find objects in a photo with ONNX Runtime: without PyTorch, and nothing of this project.

    pip install numpy onnxruntime pillow
    python docs/examples/onnxruntime_example.py best.onnx photo.jpg

Prints the objects and writes found.png. Written for ``python -m tools.export --format onnx``.
"""

import json
import os
import sys

import numpy as np
from PIL import Image, ImageOps

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it tells its makers of its use
import onnxruntime

OUTPUTS = ["boxes", "labels", "scores", "masks", "counts"]
MEAN_COLOUR, MARK = (124, 116, 104), np.array([127, 32, 32], np.uint8)


def main(model: str, photo: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["maskrcnn_finetune"])
    settings, weights = card["settings"], card["weights"]
    picture = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    if settings["size"]:  # height and width, if the file takes one size only
        width_height = settings["size"][::-1]
        picture = ImageOps.pad(picture, width_height, color=MEAN_COLOUR, centering=(0, 0))
    pixels = np.array(picture)
    images = np.repeat(pixels[None], settings["batch"] or 1, axis=0)
    boxes, labels, scores, masks, counts = session.run(OUTPUTS, {"images": images})
    everywhere = [weights["score_threshold"]] * len(weights["classes"])
    thresholds = weights["operating_point"].get("thresholds", everywhere)
    for n in range(counts[0]):  # of the first image; label 1 is the first class
        place, score = labels[0, n] - 1, float(scores[0, n])
        if score >= thresholds[place]:
            mask = pasted(masks[0, n], boxes[0, n], *pixels.shape[:2])
            pixels[mask] = pixels[mask] // 2 + MARK
            x1, y1, x2, y2 = boxes[0, n]
            print(f"{weights['classes'][place]} {score:.4f} box {x1:.1f} {y1:.1f} {x2:.1f} "
                  f"{y2:.1f} pixels {mask.sum()}")  # fmt: skip
    Image.fromarray(pixels).save("found.png")


def pasted(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """Probabilities (28, 28) within a box as bool (height, width), as torchvision does it."""
    side = len(mask) + 2
    middle, half = (box[:2] + box[2:]) * 0.5, (box[2:] - box[:2]) * 0.5 * (side / len(mask))
    low, high = (middle - half).astype(int), (middle + half).astype(int)
    across, down = (
        shares(*ends, side, size) for *ends, size in zip(low, high, (width, height), strict=True)
    )
    return down @ np.pad(mask, 1) @ across.T >= 0.5


def shares(low: int, high: int, cells: int, pixels: int) -> np.ndarray:
    """How much of each cell, stretched from pixel ``low`` to ``high``, is in each pixel."""
    length = max(high - low + 1, 1)
    here = np.arange(pixels) - low
    place = ((here + 0.5) * cells / length - 0.5).clip(0, cells - 1)
    bilinear = (1 - abs(place[:, None] - np.arange(cells))).clip(0)
    return bilinear * ((here >= 0) & (here < length))[:, None]


if __name__ == "__main__":
    main(*sys.argv[1:])
