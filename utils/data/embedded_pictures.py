"""Pictures that labelme embedded in its JSON files: base64 text under ``imageData``."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

from utils.data.annotation_files import read_json
from utils.data.records import DataError

MOST_CHARACTERS = 400_000_000  # of base64, 300 MB of picture file


def open_embedded(path: Path) -> BytesIO:
    """The bytes of the picture file that a JSON file holds.

    Raises:
        DataError: the file is missing or not JSON, holds no ``imageData``, or too much of it, or
            it is not base64.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    content = read_json(path)
    text = content.get("imageData") if isinstance(content, dict) else None
    if not isinstance(text, str) or not text:
        raise DataError(f"{path}: holds no picture (imageData); name the picture file itself")
    if len(text) > MOST_CHARACTERS:
        raise DataError(
            f"{path}: imageData holds {len(text)} characters, more than {MOST_CHARACTERS}; save "
            "the picture as a file"
        )
    try:
        return BytesIO(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise DataError(
            f"{path}: imageData is not base64 text ({error}); save the file in labelme again"
        ) from error
