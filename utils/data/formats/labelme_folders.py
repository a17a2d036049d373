"""Where a labelme data set keeps its JSON files and its pictures, and which belongs to which."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from utils.data.annotation_files import check_stays, path_inside, peek_json, read_json
from utils.data.images import list_images
from utils.data.outlines import shown
from utils.data.records import DataError

JSON_FOLDERS = ("labelme_json", "json")
IMAGE_FOLDERS = ("pic", "images")
JSON_SUFFIX = "_json"
EMBEDDED = "picture(s) taken from imageData, no file of their name is here"
FOUND_BY_OWN_NAME = "picture(s) found by their JSON's name, imagePath names a file that is not here"
KEYS = (b'"shapes"', b'"imagePath"')
LOOKED_INTO = 10  # JSON files of a folder that are opened to recognise it
MOST_PEEK_BYTES = 64_000_000  # larger files are not opened for that


@dataclass(frozen=True)
class LabelmeFolders:
    """JSON files, and the folders where their pictures are looked for, best first."""

    jsons: list[Path]
    image_folders: list[Path]


def find_layouts(root: Path) -> list[LabelmeFolders]:
    """What ``root`` holds; several only if it holds several pairs of ``x/`` and ``x_json/``."""
    if not root.is_dir():
        return []
    resolved = root.resolve()
    if jsons := _labelme_files(root):
        own = resolved.name.removesuffix(JSON_SUFFIX)
        beside = IMAGE_FOLDERS if resolved.name in JSON_FOLDERS else (own,)
        siblings = [resolved.with_name(n) for n in beside if n and n != resolved.name]
        return [
            LabelmeFolders(jsons, _folders([root, *siblings, *(root / n for n in IMAGE_FOLDERS)]))
        ]
    images = [root / name for name in IMAGE_FOLDERS]
    for name in JSON_FOLDERS:
        if jsons := _labelme_files(root / name):
            return [LabelmeFolders(jsons, _folders([root / name, *images, root]))]
    pairs = []
    if resolved.name:
        pairs.append((root, resolved.with_name(f"{resolved.name}{JSON_SUFFIX}")))
    for folder in sorted(root.glob(f"?*{JSON_SUFFIX}")):
        pairs.append((folder.with_name(folder.name.removesuffix(JSON_SUFFIX)), folder))
    found = []
    for image_folder, json_folder in pairs:
        if image_folder.is_dir() and (jsons := _labelme_files(json_folder)):
            found.append(LabelmeFolders(jsons, _folders([json_folder, image_folder])))
    return found


def the_layout(root: Path) -> LabelmeFolders:
    """The one layout that ``root`` holds."""
    try:
        layouts = find_layouts(root)
        if not layouts and root.is_dir():
            for path in _json_files(root)[:LOOKED_INTO]:
                read_json(path)  # the reason why it was not recognised, if it is damaged
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error})") from error
    if not layouts:
        raise DataError(
            f"{root}: no labelme data set here, it needs JSON files with shapes and imagePath, in "
            f"this folder, in {' or '.join(JSON_FOLDERS)}, or in NAME{JSON_SUFFIX} beside NAME"
        )
    if len(layouts) > 1:
        names = [layout.image_folders[-1].name for layout in layouts]
        raise DataError(
            f"{root}: holds {len(layouts)} labelled folders ({', '.join(names)}); name one of "
            "them with --data and, to evaluate on another, that one with --val-data"
        )
    return layouts[0]


def _labelme_files(folder: Path) -> list[Path]:
    """All JSON files of a folder if one of the first few is labelme's, else none."""
    files = _json_files(folder)
    return files if any(_is_labelme(path) for path in files[:LOOKED_INTO]) else []


def _json_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    paths = (path for path in folder.iterdir() if path.suffix.lower() == ".json")
    return sorted(path for path in paths if not path.name.startswith(".") and path.is_file())


def _is_labelme(path: Path) -> bool:
    content = peek_json(path, KEYS, MOST_PEEK_BYTES)
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def _folders(candidates: Iterable[Path]) -> list[Path]:
    return [folder for folder in candidates if folder.is_dir()]


class PictureFinder:
    """Finds the picture of a JSON file in the folders of a layout."""

    def __init__(self, root: Path, folders: list[Path], embedded_images: bool = False) -> None:
        self.root = root
        self.embedded_images = embedded_images
        self.listings = []
        for folder in folders:
            by_name: dict[str, list[Path]] = {}
            for path in list_images(folder):
                for key in {_key(path.name), _key(path.stem)}:
                    by_name.setdefault(key, []).append(path)
            self.listings.append((folder, by_name))

    def picture(self, source: Path, image_path: str, is_embedded: bool) -> tuple[Path, str]:
        """The picture, which is ``source`` itself if it is taken from there, and a remark or "".

        Args:
            source: the JSON file.
            image_path: what it says.
            is_embedded: whether it holds a picture.

        Raises:
            DataError: as ``find``, or there is no picture file, and the embedded one is not asked
                for.
        """
        found = self.find(source, image_path)
        if found is not None:
            return found[0], FOUND_BY_OWN_NAME if found[1] else ""
        if is_embedded and self.embedded_images:
            return source, EMBEDDED
        hint = "" if not is_embedded else (
            " The picture is only embedded in the file (imageData): take it from there with "
            "--embedded-images, or save it as a file."
        )  # fmt: skip
        folders = " or ".join(str(folder) for folder, _ in self.listings)
        raise DataError(
            f"{source}: imagePath is {shown(image_path)}, and no picture of that name is in "
            f"{folders}; put it there or correct imagePath.{hint}"
        )

    def find(self, source: Path, image_path: str) -> tuple[Path, bool] | None:
        """The picture, and whether only the JSON file's own name led to it.

        Raises:
            DataError: two pictures of the same name, or a link that leads out of the folder.
        """
        if (inside := self._relative(source, image_path)) is not None:
            return inside, False
        base = re.split(r"[\\/]", image_path)[-1]
        named = self._in_folders(source, base) or self._in_folders(source, Path(base).stem)
        if named is not None:
            return named, False
        if _leads_away(source, image_path):
            return None
        own = self._in_folders(source, source.stem)
        return None if own is None else (own, True)

    def _relative(self, source: Path, image_path: str) -> Path | None:
        """The file that ``imagePath`` names, if it lies in the data set."""
        if not source.is_relative_to(self.root):
            return None
        try:
            folder = source.parent.relative_to(self.root).as_posix()
            path = path_inside(self.root, f"{folder}/{image_path}", source)
            path = self.root / path.resolve().relative_to(self.root.resolve())
            return path if path.is_file() else None
        except (DataError, OSError):
            return None

    def _in_folders(self, source: Path, name: str) -> Path | None:
        for folder, by_name in self.listings:
            paths = by_name.get(_key(name), [])
            exact = [path for path in paths if path.name == name]
            paths = exact or paths
            if len(paths) > 1:
                raise DataError(
                    f"{source}: imagePath may mean {paths[0].name} or {paths[1].name} in {folder}; "
                    "write the full file name or rename one"
                )
            if paths:
                # The other folder of a pair lies beside the root, in the same folder.
                check_stays(
                    paths[0], self.root if folder.is_relative_to(self.root) else folder.parent
                )
                return paths[0]
        return None


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _leads_away(source: Path, image_path: str) -> bool:
    """True for an absolute path and for one out of the JSON file's folder."""
    try:
        path_inside(source.parent, image_path, source)
    except DataError:
        return True
    return False
