"""The files that are made of each picture: which of them a run wants, and where they lie.

Each kind has a folder of its own in the output folder, in which the sources' folders are mirrored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from utils.prediction.colour_splash import splash
from utils.prediction.config import PredictConfig
from utils.prediction.cut_outs import write_crops, write_cutouts
from utils.prediction.found_picture import FoundPicture
from utils.prediction.id_pictures import class_ids, instance_ids
from utils.prediction.journal import Record
from utils.prediction.labelme_labels import write_labelme
from utils.prediction.measurements import measure
from utils.prediction.overlays import overlay
from utils.prediction.picture_files import save_picture, shown_suffix


class Outputs:
    """Writes the files of one picture after the other; threads may share it.

    Args:
        folder: is there already.
        config: says which outputs are wanted.

    Attributes:
        kept: pictures whose labelme file is a person's, who keeps it.
    """

    def __init__(self, folder: Path, config: PredictConfig) -> None:
        self.folder = folder
        self.config = config
        self.kept: list[str] = []

    def write(self, found: FoundPicture) -> Record:
        """Write all files of a picture but its overlay, which in a video is a frame.

        Raises:
            OSError: the disk is full or not writable; names the file.
        """
        stem = found.picture.stem
        if self.config.id_masks:
            save_picture(instance_ids(found), self.folder / "ids" / f"{stem}.png")
        if self.config.class_masks:
            save_picture(class_ids(found), self.folder / "classes" / f"{stem}.png")
        if self.config.splash:
            save_picture(splash(found), self.folder / "splash" / shown_name(found))
        if self.config.crops:
            write_crops(found, self.folder / "crops" / stem)
        if self.config.cutouts:
            write_cutouts(found, self.folder / "cutouts" / stem)
        if self.config.labelme:
            beside = self.config.labelme == "beside"
            if not write_labelme(found, self.folder / "labelme", beside):
                self.kept.append(found.picture.name)
        return record_of(found, self.config.measurements)

    def write_all(self, found: FoundPicture) -> Record:
        """The same, and the overlay."""
        if self.config.overlays:
            save_picture(overlay(found), self.folder / "overlays" / shown_name(found))
        return self.write(found)


def shown_name(found: FoundPicture) -> str:
    """The file name of a picture to look at: JPEG if the source is one, else PNG."""
    return f"{found.picture.stem}{shown_suffix(found.picture.name)}"


def record_of(found: FoundPicture, measured: bool = False) -> Record:
    """The journal's record of a picture."""
    picture = found.picture
    record = Record(
        name=picture.name, stem=picture.stem, stamp=picture.stamp,
        width=picture.pixels.width, height=picture.pixels.height, objects=_objects(found),
    )  # fmt: skip
    if measured:
        record["measurements"] = measure(found)
    return record


def _objects(found: FoundPicture) -> list[dict[str, Any]]:
    """The objects as COCO annotations, without ids: plain values, boxes as x, y, width, height."""
    prediction = found.prediction
    boxes = prediction["boxes"].tolist()
    labels, scores = prediction["labels"].tolist(), prediction["scores"].tolist()
    objects: list[dict[str, Any]] = [
        {
            "category_id": label,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": float(coco_mask.area(rle)),
            "score": score,
            "iscrowd": 0,
            "segmentation": rle,
        }
        for (x1, y1, x2, y2), label, score, rle in zip(
            boxes, labels, scores, prediction["masks"], strict=True
        )
    ]
    for item, track in zip(objects, found.tracks, strict=False):
        item["track_id"] = track
    return objects
