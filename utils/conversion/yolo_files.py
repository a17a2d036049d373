"""Writer for YOLO: ``images/``, ``labels/`` with a row per object, and ``data.yaml``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial

from utils.conversion.converted_images import ConvertedImage
from utils.conversion.drawn_outlines import one_polygon
from utils.conversion.output_files import OutputFile


def yolo_files(
    classes: tuple[str, ...], parts: Mapping[str, Sequence[ConvertedImage]], simplify: float
) -> list[OutputFile]:
    """A row is the class, counted from 0, and one polygon in shares of the picture's sides, which
    reaches parts and holes by seams of no width. Crowd regions are left out.

    Args:
        classes: names in label order.
        parts: the pictures of ``train`` and ``val``, or all of them as ``""``.
        simplify: pixels that a traced outline may be off.
    """
    files = []
    for part, images in parts.items():
        below = f"{part}/" if part else ""
        for image in images:
            files.append(OutputFile(f"images/{below}{image.name}", image.picture))
            content = partial(_rows, image, simplify)
            files.append(OutputFile(f"labels/{below}{image.stem}.txt", content))
    return [*files, OutputFile("data.yaml", partial(_data_yaml, classes, tuple(parts)))]


def _rows(image: ConvertedImage, simplify: float) -> bytes:
    rows = []
    for instance in image.objects:
        shares = one_polygon(instance, image.record, simplify)
        rows.append(" ".join([str(instance.label - 1), *(f"{share:.17g}" for share in shares)]))
    return "".join(f"{row}\n" for row in rows).encode()


def _data_yaml(classes: Sequence[str], parts: Sequence[str]) -> bytes:
    """Without parts, there is no ``val``: a model is not judged on what it was trained on."""
    places = [f"{part or 'train'}: images{'/' if part else ''}{part}" for part in parts]
    # JSON's quotes and escapes are YAML's too.
    names = [f"  {i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate(classes)]
    return "\n".join([*places, "names:", *names, ""]).encode()
