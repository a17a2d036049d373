"""Detections that another tool, or predict.py, left in a file: read to be judged as a network's.

The file is a list of COCO results or a COCO data set whose annotations have scores. What cannot be
meant (wrong fields, masks of another size, nothing that fits the labels) is refused; what the
labels do not cover is left out and told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask

from nets.contract import Prediction, chosen
from utils.data.annotation_files import MOST_BYTES, read_text
from utils.data.formats.coco_entries import Identity, ObjectEntry, listed, wrong
from utils.data.formats.coco_outlines import BAD_PART, LeftOut, draw_instances
from utils.data.outlines import left_out_notes, shown
from utils.data.records import (
    DataError,
    ImageRecord,
    RecordSet,
    encode_mask,
    refuse,
    to_rle,
)
from utils.evaluation.prediction_ids import Ids, ids_of_data_set, ids_of_labels

ROUNDING = 1e-6  # how far a score may lie outside 0..1: what 32 bits make of a softmax
LOWEST_SCORE = 0.1  # least that all detections of a network leave room for
LARGEST = 1e300  # what a number may be
REACH = 1.0  # pixels that a box may reach out of its image without a word
Box = tuple[float, ...]


class FilePredictions(NamedTuple):
    """The detections of a file: one ``Prediction`` for every labelled image, empty where the file
    has none. Without ``has_masks`` only boxes can be judged: every mask is empty."""

    of_image: dict[int, Prediction]  # by the image id of the record
    has_masks: bool
    notes: tuple[str, ...]  # what was left out, and what looks odd

    def for_data(self, classes: Sequence[str], data: RecordSet) -> FilePredictions:
        """The same detections, of ``classes``, for images and classes of another reading of the
        data; what it does not know is left out."""
        label_of = [data.classes.index(c) + 1 if c in data.classes else 0 for c in classes]
        if len(classes) == len(data.classes) == 1:  # whatever they are called
            label_of = [1]
        of_image = {}
        for record in data.images:
            one = self.of_image[record.image_id]
            labels = torch.tensor([0, *label_of])[one["labels"]]
            of_image[record.image_id] = chosen(Prediction(**{**one, "labels": labels}), labels > 0)
        return self._replace(of_image=of_image)


class Detection(NamedTuple):
    """One entry of the file, its fields checked but for the outline."""

    where: str
    image: Identity
    category: int
    score: float
    box: Box | None  # x, y, width, height
    outline: Any  # polygons or run lengths; None if there is none


def read_predictions(path: Path, data: RecordSet, source: Path | str) -> FilePredictions:
    """Read detections of the images of ``data``.

    Where the file lists its images and classes (a COCO data set), they are matched by name, else
    by the ids of the labels. A detection has a box, a mask or both; a box that is not given is the
    mask's. Scores are rounded to 32 bits; of equals the first in the file comes first.

    Args:
        path: the JSON file.
        data: the labelled images, with their classes as they were read.
        source: the folder or annotation file that ``data`` was read from. A list of results has
            the ids of the COCO file there; for labels in another format, it names its images
            (``file_name``, or text as ``image_id``) or counts them from 1, as it does the classes.

    Raises:
        DataError: not such a file, wrong entries, or nothing in it fits the labels; the message
            names the file, the entry and the field.
    """
    content = _content(path)
    is_list = isinstance(content, list)
    detections = _detections(content if is_list else content.get("annotations"), is_list, path)
    if is_list:
        images = {one.image for one in detections}
        categories = {one.category for one in detections}
        ids = ids_of_labels(path, data, Path(source), images, categories)
    else:
        ids = ids_of_data_set(content, path, data)
    notes = [*ids.notes, *_not_covered(detections, ids)]
    of_record: dict[int, list[Detection]] = {record.image_id: [] for record in data.images}
    for one in detections:
        if one.image in ids.images and one.category in ids.labels:
            of_record[ids.images[one.image].image_id].append(one)
    left_out: LeftOut = []
    faults: list[str] = []
    of_image = {
        record.image_id: _prediction(
            of_record[record.image_id], record, ids.labels, path, left_out, faults
        )
        for record in data.images
    }
    refuse(faults, str(path))
    kept = [one for detections in of_record.values() for one in detections]
    notes += left_out_notes(part for part in left_out if part[0] == BAD_PART)
    notes += _oddities(kept, of_image, data)
    has_masks = not kept or any(one.outline for one in kept)
    return FilePredictions(of_image, has_masks, tuple(notes))


def _content(path: Path) -> Any:
    """The list or object in the file. NaN is left for ``_detection`` to find, which names it."""
    try:
        content = json.loads(read_text(path, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: cannot be read as JSON ({error}); if writing it was cut short, write it again"
        ) from error
    if not isinstance(content, list | dict):
        raise DataError(
            f"{path}: holds {shown(content)}, must be a list of detections (COCO results) or a "
            "COCO data set with scores, as predictions.json of predict.py"
        )
    return content


def _detections(entries: Any, is_list: bool, path: Path) -> list[Detection]:
    """All entries, checked."""
    if not isinstance(entries, list):
        raise DataError(f"{path}: has no list 'annotations', found {shown(entries)}")
    if entries and not any(isinstance(entry, dict) and "score" in entry for entry in entries):
        raise DataError(
            f"{path}: none of its {len(entries)} entries has a 'score', so these are labels and no "
            "detections; name the file that the network's tool wrote"
        )
    found, faults = [], []
    for number, entry in enumerate(entries):
        try:
            where = f"entry {number}" if is_list else f"annotations[{number}]"
            found.append(_detection(entry, where, is_list, path))
        except DataError as error:
            faults.append(str(error))
    refuse(faults, str(path))
    return found


def _detection(entry: Any, where: str, is_list: bool, path: Path) -> Detection:
    if not isinstance(entry, dict):
        raise wrong(path, where, "entry", entry, "must be an object")
    image, category = _whole(entry.get("image_id")), _whole(entry.get("category_id"))
    if is_list and isinstance(entry.get("file_name"), str):  # surer than an id
        image = entry["file_name"]
    if not isinstance(image, Identity) or isinstance(image, bool):
        raise wrong(path, where, "image_id", image, "must be a whole number or text")
    if not isinstance(category, int) or isinstance(category, bool):
        raise wrong(path, where, "category_id", category, "must be a whole number")
    score: Any = entry.get("score")
    if not _is_number(score):
        raise wrong(path, where, "score", score, "must be a number, higher for surer detections")
    if not -ROUNDING <= score <= 1 + ROUNDING:
        must = ("must lie in 0..1; divide percentages by 100, put logits through 1/(1+exp(-x)), "
                "which keeps their order and so the AP")  # fmt: skip
        raise wrong(path, where, "score", score, must)
    box, outline = entry.get("bbox") or None, entry.get("segmentation") or None
    if box is None and outline is None:
        raise wrong(path, where, "bbox", box, "must be there, or a 'segmentation'")
    if box is not None:
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise wrong(path, where, "bbox", box, "must be four numbers: x, y, width, height")
        if min(box[2:]) < 0:
            must = "must be x, y, width, height with no size below 0; not x1, y1, x2, y2"
            raise DataError(f"{path}: {where}: 'bbox' is {box}, {must}")
        box = tuple(map(float, box))
    return Detection(where, image, category, min(max(float(score), 0.0), 1.0), box, outline)


def _whole(value: Any) -> Any:
    """What some tools write as 3.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < LARGEST  # not NaN, and not a whole number beyond all floats


def _prediction(
    detections: Sequence[Detection],
    record: ImageRecord,
    labels: dict[int, int],
    path: Path,
    left_out: LeftOut,
    faults: list[str],
) -> Prediction:
    """The detections of one image; ``faults`` takes what is wrong with their outlines."""
    height, width = record.height, record.width
    ordered = sorted(detections, key=lambda one: -one.score)
    nothing = encode_mask(np.zeros((height, width), np.uint8)) if ordered else {}
    # The label of a drawn outline tells which it is: outlines without a pixel are missing.
    outlines = [
        ObjectEntry(f"{one.where} of {record.path}", number, one.outline, 0)
        for number, one in enumerate(ordered, 1)
        if one.outline is not None and not _is_of_other_size(one, record, path, faults)
    ]
    instances = draw_instances(outlines, width, height, path, left_out, faults)
    drawn = {instance.label: instance for instance in instances}
    boxes, masks = [], []
    for number, one in enumerate(ordered, 1):
        mask = to_rle(drawn[number].segmentation, height, width) if number in drawn else nothing
        x, y, w, h = one.box or coco_mask.toBbox(mask).tolist()
        boxes.append((x, y, x + w, y + h))
        masks.append(mask)
    return Prediction(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([labels[one.category] for one in ordered], dtype=torch.int64),
        scores=torch.tensor([one.score for one in ordered], dtype=torch.float32),
        masks=masks,
    )


def _is_of_other_size(one: Detection, record: ImageRecord, path: Path, faults: list[str]) -> bool:
    """Whether a mask is not of the size of its image, which is told in ``faults``."""
    size = one.outline.get("size") if isinstance(one.outline, dict) else None
    wanted = [record.height, record.width]
    if not isinstance(size, list) or size == wanted:
        return False
    faults.append(
        f"{path}: {one.where}: the mask is of size {size} (height, width), its image {record.path} "
        f"of {wanted}; masks must be at the size of the upright picture"
    )
    return True


def _not_covered(detections: Sequence[Detection], ids: Ids) -> list[str]:
    """Notes on detections that are left out."""
    notes = []
    elsewhere = [one.image for one in detections if one.image not in ids.images]
    if elsewhere:
        notes.append(
            f"{len(elsewhere)} of {len(detections)} detections left out: in {len(set(elsewhere))} "
            f"image(s) that the labels do not have, first {shown(elsewhere[0])}"
        )
    others = Counter(one.category for one in detections if one.category not in ids.labels)
    if others:
        names = listed(ids.names.get(category, f"id {category}") for category in sorted(others))
        notes.append(
            f"{others.total()} of {len(detections)} detections left out: of classes that the "
            f"labels do not have ({names})"
        )
    return notes


def _oddities(
    detections: Sequence[Detection], predictions: dict[int, Prediction], data: RecordSet
) -> list[str]:
    """Notes on what is judged as it is and may not be meant."""
    notes = []
    given = Counter((one.image, one.category, one.score, one.box) for one in detections if one.box)
    if repeats := given.total() - len(given):
        notes.append(
            f"{repeats} of {len(detections)} detections have class, score and box of another one "
            "and count as false; was the file put together twice?"
        )
    bare = sum(one.outline is None for one in detections)
    if 0 < bare < len(detections):
        notes.append(f"{bare} of {len(detections)} detections have no mask and find none")
    outside = 0
    for record in data.images:
        corners = predictions[record.image_id]["boxes"][:, 2:]
        border = torch.tensor([record.width, record.height]) + REACH
        outside += int((corners > border).any(dim=1).sum())
    if outside:
        notes.append(
            f"{outside} of {len(detections)} boxes reach out of their image; 'bbox' must be x, y, "
            "width, height and not x1, y1, x2, y2"
        )
    if empty := sum(not len(one["scores"]) for one in predictions.values()):
        notes.append(f"{empty} of the {len(data.images)} images have no detection in the file")
    lowest = min((one.score for one in detections), default=0.0)
    if lowest > LOWEST_SCORE:
        notes.append(
            f"no score is below {lowest:.2f}: if less sure detections are left out, AP is too low; "
            "predict.py --score-threshold 0.05 writes them all"
        )
    return notes
