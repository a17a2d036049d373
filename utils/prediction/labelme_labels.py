"""Predictions as labelme's JSON, to be corrected by hand.

What a person saved is never replaced: a file holds a digest of all that is in it, so one that is
still as it was written can be told. labelme keeps the digest when it saves, but writes its own
version and numbers, so a file that was looked at and saved as it is counts as a person's too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from nets.whole_file import replacing
from utils.conversion.labelme_files import labelme_content
from utils.conversion.output_files import json_bytes
from utils.data.annotation_files import MOST_BYTES, peek_json
from utils.data.images import IMAGE_SUFFIXES
from utils.data.records import ImageRecord, Instance, Rle
from utils.prediction.found_picture import FoundPicture, Picture
from utils.prediction.picture_files import save_picture
from utils.prediction.source_names import as_text

TOLERANCE = 0.75  # pixels: a third of the points that pixel edges have, at an IoU above 0.95
IMAGE, DIGEST = "predicted_image", "predicted_sha256"  # keys beside labelme's own


def write_labelme(found: FoundPicture, folder: Path, beside: bool) -> bool:
    """The labelme file of a picture.

    It is ``<stem>.json`` in ``folder``, or lies beside the picture, under its name. A picture that
    is no file, or none that labelme opens, is saved as a PNG in ``folder``, beside its labels.

    Polygons are traced along pixel edges and simplified by ``TOLERANCE``, 0.75 pixels; parts of an
    object share a ``group_id``, one with holes is a ``mask`` shape, which labelme reads since 5.2.
    The description says ``score 0.934``. Objects without a pixel are left out.

    Returns:
        False if a file of that name stayed as it was: a person saved it, or it is the one of
        another picture, as of ``a.jpg`` beside ``a.png``.

    Raises:
        OSError: the disk is full or not writable; names the file.
    """
    picture = found.picture
    path = folder / f"{picture.stem}.json"
    file = shown_file(picture.path)
    if file is None:
        image_path = f"{path.stem}.png"
        save_picture(whole_view(picture), path.with_name(image_path))
    elif beside:
        path, image_path = file.with_suffix(".json"), file.name
    else:
        image_path = _way(path.parent, file)
    prediction = found.prediction
    labels, scores = prediction["labels"].tolist(), prediction["scores"].tolist()
    record = predicted_record(
        picture.pixels.width, picture.pixels.height, zip(labels, prediction["masks"], strict=True)
    )
    return write_labels(path, record, found.classes, image_path, picture.name, scores)


def write_labels(
    path: Path,
    record: ImageRecord,
    classes: Sequence[str],
    image_path: str,
    name: str,
    scores: Sequence[float],
) -> bool:
    """Write a labelme file; False if there is one already that is not ours to replace.

    Args:
        path: of the file; its folder is made.
        record: size and objects of the picture.
        classes: names in label order.
        image_path: of the picture, from the file's folder.
        name: of the picture in the run.
        scores: of the objects.

    Raises:
        OSError: the disk is full or not writable; names the file, which is as it was before.
    """
    if os.path.lexists(path):
        before = predicted_content(path)
        if before is None or not is_untouched(before):
            return False
        if Path(before["imagePath"]).name != Path(image_path).name:
            return False
    content = labelme_content(record, classes, image_path, TOLERANCE, scores) | {IMAGE: name}
    content[DIGEST] = _digest(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json_bytes(content, indent=2))
    return True


def predicted_content(path: Path) -> dict[str, Any] | None:
    """What a labelme file holds that was predicted, whoever has saved it since; None if it is
    another file."""
    content = peek_json(path, (IMAGE.encode(), DIGEST.encode()), MOST_BYTES)
    is_ours = isinstance(content, dict) and {IMAGE, DIGEST, "imagePath"} <= content.keys()
    return content if is_ours else None


def is_untouched(content: dict[str, Any]) -> bool:
    """Whether it is as it was predicted."""
    return bool(content[DIGEST] == _digest(content))


def predicted_record(width: int, height: int, objects: Iterable[tuple[int, Rle]]) -> ImageRecord:
    """A picture's size and its objects, from their labels and masks."""
    instances = tuple(Instance.from_rle(label, rle) for label, rle in objects)
    return ImageRecord(0, Path(), width, height, instances)


def shown_file(path: Path | None) -> Path | None:
    """The file of a picture if labelme can show it: no array, and a name that JSON can hold."""
    if path is None or path.suffix.lower() not in IMAGE_SUFFIXES:
        return None
    name = str(path.absolute())
    return path if as_text(name) == name else None


def whole_view(picture: Picture) -> Image.Image:
    """A picture to look at, at its own size."""
    pixels = picture.pixels
    return Image.fromarray(pixels.view(pixels.width * pixels.height))


def _way(folder: Path, path: Path) -> str:
    """The path of a picture from a folder, with forward slashes."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return path.resolve().as_posix()


def _digest(content: dict[str, Any]) -> str:
    """Of all that a file holds but the digest itself."""
    rest = {key: value for key, value in content.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
