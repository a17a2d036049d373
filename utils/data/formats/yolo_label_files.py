"""Which label file of a YOLO data set belongs to which picture.

The label file of ``images/train/a.jpg`` is ``labels/train/a.txt``: the last folder called
``images`` is exchanged. Where there is no such folder, the label file lies beside the picture.
"""

from __future__ import annotations

import re
from pathlib import Path

from utils.data.annotation_files import path_inside
from utils.data.images import list_images
from utils.data.label_map import FILE_NAMES as CLASS_LISTS

IMAGES, LABELS = "images", "labels"
SUFFIX = ".txt"
MOST_BYTES = 50_000_000  # of one file
# Text files that lie among label files and are none.
NOT_LABELS = re.compile(
    "|".join((*map(re.escape, CLASS_LISTS), r"(train|val|valid|test)\.", "readme"))
)


class LabelFiles:
    """Finds the label files of pictures under ``home``; every folder is listed once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._listings: dict[Path, tuple[Path, dict[str, Path]]] = {}

    def expected(self, picture: Path) -> Path:
        """Where the label file of a picture would lie.

        Raises:
            DataError: the folder is a link that leads out of ``home``.
        """
        return self._listing(picture.parent)[0] / f"{picture.stem}{SUFFIX}"

    def find(self, picture: Path) -> Path | None:
        """The label file of a picture; None if it has none. Raises as ``expected``."""
        return self._listing(picture.parent)[1].get(picture.stem)

    def lonely(self) -> list[Path]:
        """Label files without a picture, in the folders that were asked for, sorted."""
        rest: list[Path] = []
        for folder, (_, by_stem) in self._listings.items():
            stems = {picture.stem for picture in list_images(folder)}
            rest += [path for stem, path in by_stem.items() if stem not in stems]
        return sorted(path for path in rest if not NOT_LABELS.match(path.name.lower()))

    def _listing(self, folder: Path) -> tuple[Path, dict[str, Path]]:
        """The label folder of a picture folder, and its label files by stem."""
        if folder not in self._listings:
            place = self._label_folder(folder)
            files = (p for p in place.iterdir() if p.suffix.lower() == SUFFIX and p.is_file())
            self._listings[folder] = place, {path.stem: path for path in files}
        return self._listings[folder]

    def _label_folder(self, folder: Path) -> Path:
        parts = list(folder.relative_to(self.home).parts)
        if IMAGES not in parts:
            return folder
        last = len(parts) - 1 - parts[::-1].index(IMAGES)
        name = "/".join((*parts[:last], LABELS, *parts[last + 1 :]))
        return place if (place := path_inside(self.home, name, folder)).is_dir() else folder
