"""The data sets: annotation records in, ``(image, target)`` pairs out.

    from my_dataset import PennFudanDataset
    image, target = PennFudanDataset("PennFudanPed")[0]

To add your own kind of data set, write a function that returns a ``RecordSet`` and name it in
``READERS``, with how such a folder is recognised: docs/own_format.md shows one in 20 lines.
Everything else follows from the records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from utils.data.annotation_files import without_collection
from utils.data.formats.coco import find_coco, read_coco
from utils.data.formats.id_masks import find_layout, read_id_masks
from utils.data.formats.labelme import find_labelme, read_labelme
from utils.data.formats.via import find_via, read_via
from utils.data.formats.yolo import read_yolo
from utils.data.formats.yolo_folders import find_yolo
from utils.data.formats.yolo_yaml import find_yaml
from utils.data.read_options import ReadOptions
from utils.data.records import DataError, RecordSet

if TYPE_CHECKING:
    from utils.data.instance_dataset import InstanceDataset as InstanceDataset
    from utils.data.instance_dataset import PennFudanDataset as PennFudanDataset
    from utils.data.instance_dataset import ShapesDataset as ShapesDataset

DATA_SETS = ("InstanceDataset", "PennFudanDataset", "ShapesDataset")


def __getattr__(name: str) -> Any:
    """A data set is imported when it is asked for. It needs torch, which takes seconds; the command
    line, which offers the ``READERS``, is read without."""
    if name not in DATA_SETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import nets.torch_pair  # noqa: F401  (before torchvision: checks that it fits torch)
    from utils.data import instance_dataset

    return getattr(instance_dataset, name)


class Reader(NamedTuple):
    """How one annotation format is recognised in a folder, and read.

    ``read(root)`` returns a ``RecordSet`` or raises ``DataError``.
    """

    recognises: Callable[[Path], object]  # true if the folder is of this format
    read: Callable[..., RecordSet]
    wants: str  # what a folder of this format holds, for messages
    takes: tuple[str, ...] = ()  # the fields of ``ReadOptions`` that ``read`` has as keywords
    tells_problems: bool = False  # ``read`` has the keyword ``problems`` (``records.settle``)
    divides: Callable[[Path], object] | None = None  # true if a file in the folder divides the set


READERS = {
    "id-masks": Reader(
        find_layout,
        read_id_masks,
        "PNGImages/ + PedMasks/, images/ + masks/ or the folders of Pascal VOC",
        tells_problems=True,
    ),
    "coco": Reader(
        find_coco,
        read_coco,
        "a COCO JSON here or in annotations/",
        takes=("images",),
        tells_problems=True,
    ),
    "labelme": Reader(
        find_labelme,
        read_labelme,
        "labelme JSON files, one per image",
        takes=("embedded_images",),
        tells_problems=True,
    ),
    "via": Reader(
        find_via,
        read_via,
        "via_region_data.json or a VIA project",
        takes=("class_attribute",),
        tells_problems=True,
    ),
    "yolo": Reader(
        find_yolo,
        read_yolo,
        "a YOLO data.yaml, or images/ + labels/ of outlines",
        tells_problems=True,
        divides=find_yaml,
    ),
}


def read_data(
    root: Path | str,
    format: str = "auto",
    classes: Sequence[str] = (),
    options: ReadOptions = ReadOptions(),
    problems: list[str] | None = None,
) -> RecordSet:
    """Read a labelled folder with the reader that ``format`` names, or the one that fits.

    Args:
        root: the folder, or an annotation file.
        format: a name in ``READERS``, or ``auto``.
        classes: other names for the classes, in label order.
        options: what the format's reader is to be told.
        problems: takes what is wrong with single images, which are left out then, instead of
            raising.

    Raises:
        DataError: no reader fits, an option is not for it, or what it found is wrong.
    """
    root = Path(root)
    if not root.exists():
        raise DataError(f"{root}: no such folder or file")
    names = fitting_formats(root) if format == "auto" else [format]
    if not names:
        wanted = "; ".join(f"{name}: {reader.wants}" for name, reader in READERS.items())
        raise DataError(f"{root}: no known data set here. Expected {wanted} (docs/data.md)")
    reader = READERS[names[0]]
    given = options.given()
    for option in given.keys() - set(reader.takes):
        flag = option.replace("_", "-")
        raise DataError(f"{root}: is {names[0]}, which has no use for --{flag}; leave it out")
    if problems is not None and reader.tells_problems:
        given["problems"] = problems
    with without_collection():
        data = reader.read(root, **given).renamed(classes)
    if names[1:]:
        other = f"it could also be read as {' or '.join(names[1:])}; --format chooses"
        data = replace(data, notes=(*data.notes, other))
    return data


def fitting_formats(root: Path) -> list[str]:
    """The formats that the folder may be of, the one that is read first."""
    return [name for name, reader in READERS.items() if reader.recognises(root)]
