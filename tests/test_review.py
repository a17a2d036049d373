"""The review folder: its order, what a person saved in it, and that it is a data set."""

from __future__ import annotations

import csv
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from utils.data.formats.labelme import read_labelme
from utils.data.images import load_image
from utils.data.records import DataError, Instance, instance_masks
from utils.open_data import open_training_data
from utils.prediction.journal import Journal
from utils.prediction.review import least_sure, write_review
from utils.prediction.sources import SourceImage, find_sources

CLASSES = ("cat", "一 dog")
THRESHOLDS = (0.5, 0.8)
HEIGHT, WIDTH = 48, 64


def oval(x=32, y=24, rx=14, ry=9) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return ((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2 < 1


def found(label: int, score: float, mask: np.ndarray | None = None) -> dict:
    one = Instance.from_mask(label, oval() if mask is None else mask)
    return {
        "category_id": label, "bbox": list(one.bbox), "area": one.area, "score": score,
        "iscrowd": 0, "segmentation": one.segmentation,
    }  # fmt: skip


def record_of(source: SourceImage, objects: list[dict], **more) -> dict:
    return {
        "name": source.name, "stem": source.stem, "stamp": [], "width": WIDTH, "height": HEIGHT,
        "objects": objects, **more,
    }  # fmt: skip


def pictures(folder: Path, *names: str) -> dict[str, SourceImage]:
    """Drawn picture files, found as a folder, by name."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        np.save(path, pixels) if path.suffix == ".npy" else Image.fromarray(pixels).save(path)
    return {source.name: source for source in find_sources([str(folder)])}


def given(records: list[dict]):
    """As a journal gives them: those named first and in their order, then the others."""

    def begin(order):
        by_name = {record["name"]: record for record in records}
        return iter([by_name[name] for name in dict.fromkeys([*order, *by_name])])

    return begin


def review(folder, sources, found_objects: dict[str, list[dict]], most=-1) -> list[str]:
    records = [record_of(sources[name], objects) for name, objects in found_objects.items()]
    return write_review(folder, given(records), sources, CLASSES, THRESHOLDS, most)


def rows_of(folder) -> list[dict[str, str]]:
    with open(folder / "review.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def edited(path: Path, label: str = "cat") -> None:
    """What a person does in labelme: another label, saved."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for shape in content["shapes"]:
        shape["label"] = label
    content["version"] = "6.3.1"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def test_no_pictures(tmp_path):
    notes = write_review(tmp_path / "review", given([]), {}, CLASSES, THRESHOLDS, -1)
    assert names_in(tmp_path / "review") == ["label_names.txt", "review.csv"]
    assert rows_of(tmp_path / "review") == []
    assert notes == [f"0 images to correct in labelme, the least sure first: {tmp_path / 'review'}"]


@pytest.mark.parametrize(
    ("objects", "margin", "which"),
    [
        ([], np.inf, -1),
        ([(1, 0.5)], 0.0, 0),
        ([(1, 1.0)], 1.0, 0),
        ([(2, 0.9), (1, 0.9)], 0.5, 0),  # 0.1 of 0.2 above its threshold, 0.4 of 0.5
        ([(1, 0.9), (2, 0.85), (1, 0.7)], 0.25, 1),
        ([(3, 1.0)], 0.0, 0),  # a threshold of 1
        ([(1, 0.4)], -0.2, 0),
    ],
)
def test_margins_by_hand(objects, margin, which):
    record = {"name": "a", "objects": [found(label, score) for label, score in objects]}
    doubt = least_sure(record, (0.5, 0.8, 1.0))
    assert doubt == (pytest.approx(margin), "a", which)


def test_an_object_without_a_pixel_is_in_no_doubt():
    nothing = np.zeros((HEIGHT, WIDTH), bool)
    record = {"name": "a", "objects": [found(1, 0.5, nothing), found(1, 0.75)]}
    assert least_sure(record, THRESHOLDS) == (0.5, "a", 1)
    assert least_sure({**record, "objects": [found(1, 0.5, nothing)]}, THRESHOLDS).which == -1


SCENES = {
    "sure.png": [found(1, 0.95)],
    "nothing b.png": [],
    "nothing a.png": [],
    "least.jpg": [found(1, 0.99), found(2, 0.81, oval(12, 12, 9, 8)), found(1, 0.9)],
    "middle b.png": [found(2, 0.9)],
    "middle a.png": [found(1, 0.75)],
}
ORDER = ["least.jpg", "middle a.png", "middle b.png", "sure.png", "nothing a.png", "nothing b.png"]


@pytest.mark.parametrize("most", [-1, 1, 4, 6, 100])
def test_the_order_of_files_is_that_of_doubt(most, tmp_path):
    sources = pictures(tmp_path / "in", *SCENES)
    review(tmp_path / "review", sources, SCENES, most)
    wanted = ORDER if most < 0 else ORDER[:most]
    images = [f"{rank:04d}_{name}" for rank, name in enumerate(wanted, start=1)]
    jsons = [image.rpartition(".")[0] + ".json" for image in images]
    assert names_in(tmp_path / "review") == sorted(
        [*images, *jsons, "label_names.txt", "review.csv"]
    )
    rows = rows_of(tmp_path / "review")
    assert [row["image"] for row in rows] == images
    assert [row["rank"] for row in rows] == [str(n + 1) for n in range(len(wanted))]
    assert [row["original"] for row in rows] == [str(tmp_path / "in" / name) for name in wanted]
    for image, name in zip(images, wanted, strict=True):
        assert (tmp_path / "review" / image).read_bytes() == (tmp_path / "in" / name).read_bytes()


def test_the_table_names_the_object_in_doubt(tmp_path):
    review(tmp_path / "review", pictures(tmp_path / "in", *SCENES), SCENES)
    rows = rows_of(tmp_path / "review")
    keys = ("objects", "margin", "object", "class", "score")
    assert [rows[0][key] for key in keys] == ["3", "0.050", "2", "一 dog", "0.810"]
    assert [rows[-1][key] for key in keys] == ["0", "", "", "", ""]


def test_ranks_have_as_many_digits_as_the_last(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.prediction.review.DIGITS", 1)
    scenes = {f"{n}.png": [found(1, 0.5 + n / 40)] for n in range(11)}
    review(tmp_path / "review", pictures(tmp_path / "in", *scenes), scenes)
    images = [name for name in names_in(tmp_path / "review") if name.endswith(".png")]
    assert images == [f"{n + 1:02d}_{n}.png" for n in range(11)]


@pytest.mark.parametrize("most", [-1, 3])
def test_the_folder_is_a_data_set_with_the_objects_found(most, tmp_path):
    ring = oval(30, 24, 20, 20) & ~oval(31, 25, 8, 7)
    scenes = {
        "a b.png": [found(2, 0.9), found(1, 0.8, ring)],
        "图像/一.jpg": [found(2, 0.82, oval(10, 12, 8, 9) | oval(50, 30, 10, 7))],
        "x/empty.png": [],
    }
    sources = pictures(tmp_path / "in", *scenes)
    review(tmp_path / "review", sources, scenes, most)

    data = read_labelme(tmp_path / "review")
    assert data.classes == CLASSES
    assert data.notes == ()
    by_image = {row["image"]: row["original"] for row in rows_of(tmp_path / "review")}
    for image in data.images:
        original = Path(by_image[image.path.name]).relative_to(tmp_path / "in").as_posix()
        objects = scenes[original]
        assert [one.label for one in image.instances] == [one["category_id"] for one in objects]
        for mask, one in zip(instance_masks(image), objects, strict=True):
            whole = instance_masks_of(one)
            assert (mask & whole).sum() / (mask | whole).sum() >= 0.95
    assert len(open_training_data(str(tmp_path / "review")).train.data.images) == 2


def instance_masks_of(one: dict) -> np.ndarray:

    return coco_mask.decode(one["segmentation"])


def test_a_photo_turned_by_exif_is_copied_as_it_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    lying = np.zeros((WIDTH, HEIGHT, 3), np.uint8)
    Image.fromarray(lying).save(tmp_path / "in" / "a.jpg", exif=exif)
    review(tmp_path / "review", pictures(tmp_path / "in"), {"a.jpg": [found(1, 0.6)]})
    (image,) = read_labelme(tmp_path / "review").images
    mask, whole = instance_masks(image)[0], oval()
    assert (mask & whole).sum() / (mask | whole).sum() >= 0.95


def test_what_is_no_picture_file_becomes_a_png(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    sources = pictures(tmp_path / "in", "array.npy")
    sources["held out.jpg"] = SourceImage("held out.jpg", "held out", None, lambda: pixels)
    scenes = {"array.npy": [found(1, 0.6)], "held out.jpg": [found(1, 0.7)]}
    review(tmp_path / "review", sources, scenes)
    images = [row["image"] for row in rows_of(tmp_path / "review")]
    assert images == ["0001_array.png", "0002_held out.png"]
    assert np.array_equal(load_image(tmp_path / "review" / images[1]), pixels)
    array = load_image(tmp_path / "in" / "array.npy")
    assert np.array_equal(load_image(tmp_path / "review" / images[0]), array)
    assert len(read_labelme(tmp_path / "review").images) == 2


def test_pictures_of_one_name_in_two_folders_and_very_long_names(tmp_path):
    long = "长" * 83 + ".png"
    scenes = {"a/1.png": [found(1, 0.6)], "b/1.png": [found(1, 0.7)], long: [found(1, 0.8)]}
    review(tmp_path / "review", pictures(tmp_path / "in", *scenes), scenes)
    images = [row["image"] for row in rows_of(tmp_path / "review")]
    assert images[:2] == ["0001_1.png", "0002_1.png"]
    assert images[2].startswith("0003_长长长")
    assert len(read_labelme(tmp_path / "review").images) == 3


def test_a_name_that_is_not_utf_8(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / os.fsdecode(b"a\xff.png")
    Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    (source,) = pictures(tmp_path / "in").values()
    review(tmp_path / "review", {source.name: source}, {source.name: [found(1, 0.9)]})
    assert len(read_labelme(tmp_path / "review").images) == 1
    assert rows_of(tmp_path / "review")[0]["original"].endswith("a\\udcff.png")


def test_names_stay_in_the_folder(tmp_path):
    sources = pictures(tmp_path / "in", "a.png")
    source = sources["a.png"]._replace(stem="x/..")
    review(tmp_path / "run" / "review", {"a.png": source}, {"a.png": []})
    assert names_in(tmp_path / "run") == ["review"]
    assert len(names_in(tmp_path / "run" / "review")) == 4


def test_frames_of_videos_are_left_out_and_told(tmp_path):
    sources = pictures(tmp_path / "in", "a.png")
    records = [
        {**record_of(sources["a.png"], [found(1, 0.9)]), "name": f"clip.mp4/{n}.png",
         "video": "clip.mp4", "frame": n}
        for n in range(3)
    ]  # fmt: skip
    records.insert(1, record_of(sources["a.png"], [found(1, 0.9)]))
    notes = write_review(tmp_path / "review", given(records), sources, CLASSES, THRESHOLDS, -1)
    assert [row["image"] for row in rows_of(tmp_path / "review")] == ["0001_a.png"]
    assert notes[1:] == ["3 frames of videos are not among them, only images are"]


def test_pictures_that_are_gone_are_named_and_the_next_ones_given(tmp_path):
    def damaged():
        raise DataError("no longer")

    sources = pictures(tmp_path / "in", *SCENES)
    (tmp_path / "in" / ORDER[0]).unlink()
    del sources[ORDER[1]]
    sources[ORDER[2]] = SourceImage(ORDER[2], "stem", None, damaged)
    records = [
        record_of(sources.get(name, SourceImage(name, "x", None, damaged)), objects)
        for name, objects in SCENES.items()
    ]
    notes = write_review(tmp_path / "review", given(records), sources, CLASSES, THRESHOLDS, 2)
    assert [row["image"] for row in rows_of(tmp_path / "review")] == [
        "0001_sure.png", "0002_nothing a.png",
    ]  # fmt: skip
    assert len(names_in(tmp_path / "review")) == 6
    assert notes[1].splitlines() == [
        "3 images could not be copied:",
        f"{tmp_path / 'in' / ORDER[0]}: cannot be read (No such file or directory)",
        f"{ORDER[1]}: is no longer there",
        f"{ORDER[2]}: no longer",
    ]


def test_a_second_run_changes_nothing(tmp_path):
    sources = pictures(tmp_path / "in", *SCENES)
    review(tmp_path / "review", sources, SCENES)
    before = {path.name: path.read_bytes() for path in (tmp_path / "review").iterdir()}
    review(tmp_path / "review", sources, SCENES)
    assert {path.name: path.read_bytes() for path in (tmp_path / "review").iterdir()} == before


def test_what_a_person_saved_stays_and_is_not_given_again(tmp_path):
    sources = pictures(tmp_path / "in", *SCENES)
    folder = tmp_path / "review"
    review(folder, sources, SCENES, 4)
    edited(folder / "0002_middle a.json")
    (folder / "label_names.txt").write_text("_background_\ncat\n一 dog\nfox\n", encoding="utf-8")
    (folder / "notes.txt").write_text("mine")
    (folder / "own.json").write_text('{"shapes": []}')
    kept = {name: (folder / name).read_bytes() for name in (
        "0002_middle a.json", "0002_middle a.png", "label_names.txt", "notes.txt", "own.json"
    )}  # fmt: skip

    # By now the model is surer of the two first pictures, and finds something in another one.
    later = {**SCENES, "least.jpg": [found(1, 0.99)], "middle a.png": [found(1, 0.98)],
             "nothing b.png": [found(1, 0.51)]}  # fmt: skip
    notes = review(folder, sources, later)
    assert {name: (folder / name).read_bytes() for name in kept} == kept
    rows = rows_of(folder)
    assert [row["image"] for row in rows] == [
        "0001_nothing b.png", "0002_middle b.png", "0003_sure.png", "0002_middle a.png",
        "0005_least.jpg", "0006_nothing a.png",
    ]  # fmt: skip
    images = [name for name in names_in(folder) if name.endswith((".png", ".jpg"))]
    assert sorted(row["image"] for row in rows) == images  # none of them a second time
    assert "1 that you saved there before stay as they are" in notes


def test_a_file_that_a_person_made_is_not_replaced(tmp_path):
    sources = pictures(tmp_path / "in", "a.png")
    (tmp_path / "review").mkdir()
    (tmp_path / "review" / "0001_a.json").write_text("mine")
    review(tmp_path / "review", sources, {"a.png": []})
    assert (tmp_path / "review" / "0001_a.json").read_text() == "mine"
    assert [row["image"] for row in rows_of(tmp_path / "review")] == ["0001_a-2.png"]


def test_labels_left_without_their_picture_by_a_killed_run_are_cleared(tmp_path):
    sources = pictures(tmp_path / "in", *SCENES)
    folder = tmp_path / "review"
    review(folder, sources, SCENES)
    (folder / "0006_nothing b.png").unlink()
    review(folder, sources, SCENES, 5)
    assert "0006_nothing b.json" not in names_in(folder)


def test_records_come_from_a_journal(tmp_path):
    sources = pictures(tmp_path / "in", *SCENES)
    (tmp_path / "run").mkdir()
    journal = Journal(tmp_path / "run")
    for name, objects in SCENES.items():
        journal.add(record_of(sources[name], objects))
    journal.close()
    journal = Journal(tmp_path / "run")
    review_of = partial(write_review, sources=sources, classes=CLASSES, thresholds=THRESHOLDS)
    review_of(tmp_path / "run" / "review", journal.records, most=2)
    journal.close()
    images = [row["image"] for row in rows_of(tmp_path / "run" / "review")]
    assert images == ["0001_least.jpg", "0002_middle a.png"]


def test_of_all_records_one_at_a_time_is_held(tmp_path):
    sources = pictures(tmp_path / "in", *(f"{n}.png" for n in range(6)))
    alive: list[int] = []

    class Counted(dict):
        def __init__(self, *args):
            super().__init__(*args)
            alive.append(1)

        def __del__(self):
            alive.pop()

    def records(order):
        names = order or list(sources)
        for name in names:
            yield Counted(record_of(sources[name], [found(1, 0.6)]))
            assert len(alive) <= 2  # this one and the one before

    write_review(tmp_path / "review", records, sources, CLASSES, THRESHOLDS, -1)
    assert len(rows_of(tmp_path / "review")) == 6


def test_what_cannot_be_written_is_named(tmp_path):
    sources = pictures(tmp_path / "in", "a.png")
    (tmp_path / "review" / "0001_a.png").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as raised:
        review(tmp_path / "review", sources, {"a.png": [found(1, 0.9)]})
    assert raised.value.filename == str(tmp_path / "review" / "0001_a.png")
