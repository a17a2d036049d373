"""Measurements are scikit-image's, or what can be counted by hand; the table is read by pandas."""

import math

import numpy as np
import pandas
import pytest
import torch
from scipy import ndimage
from skimage.draw import disk, ellipse, polygon
from skimage.measure import regionprops

from nets.contract import Prediction
from utils.data.records import encode_mask
from utils.prediction import measurements
from utils.prediction.found_picture import FoundPicture, Picture
from utils.prediction.journal import Record
from utils.prediction.measurements import measure, write_measurements
from utils.prediction.pixels import PixelArray

HEIGHT, WIDTH = 48, 64
CLASSES = ("cell", "a, b")


def looked_at(masks, array=None) -> FoundPicture:
    """A picture in which these masks were found."""
    if array is None:
        array = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    count = len(masks)
    prediction = Prediction(
        boxes=torch.zeros(count, 4),
        labels=torch.ones(count, dtype=torch.int64),
        scores=torch.ones(count, dtype=torch.float64),
        masks=[encode_mask(mask) for mask in masks],
    )
    return FoundPicture(Picture("a.png", "a", PixelArray(array)), prediction, CLASSES)


def drawn(*places) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for place in places:
        mask[place] = True
    return mask


def blob(seed) -> np.ndarray:
    """Smoothed noise: several parts, holes, touching the border."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH))
    return ndimage.gaussian_filter(noise, 1 + seed % 4) > 0.02


def ring() -> np.ndarray:
    return drawn(disk((24, 30), 15)) & ~drawn(disk((22, 33), 7))


SCENES = {
    "pixel": drawn((7, 9)),
    "corner pixel": drawn((HEIGHT - 1, WIDTH - 1)),
    "two pixels": drawn((0, 0), (1, 1)),
    "far pixels": drawn((0, 0), (HEIGHT - 1, WIDTH - 1)),
    "row": drawn((5, slice(3, 40))),
    "column": drawn((slice(3, 40), WIDTH - 1)),
    "falling": np.eye(HEIGHT, WIDTH, dtype=bool),
    "rising": np.eye(HEIGHT, WIDTH, dtype=bool)[:, ::-1],
    "all": drawn(slice(None)),
    "square": drawn((slice(4, 14), slice(20, 30))),
    "disc": drawn(disk((20, 20), 12)),
    "ring": ring(),
    "ellipse": drawn(ellipse(24, 30, 8, 20, rotation=0.4)),
    "upright": drawn(ellipse(24, 30, 20, 7, rotation=0.2)),
    "triangle": drawn(polygon([2, 40, 30], [5, 10, 60])),
    "two parts": drawn(disk((10, 10), 6), (slice(30, 44), slice(40, 64))),
    "cross": drawn((slice(10, 31), 20), (20, slice(10, 31))),
    "board": np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2 == 0,
    **{f"blob {seed}": blob(seed) for seed in range(12)},
}


@pytest.fixture(params=[1 << 20, 300], ids=["at once", "in bands"])
def band(request, monkeypatch) -> None:
    monkeypatch.setattr(measurements, "BAND", request.param)


def test_no_object_has_no_measurement():
    assert measure(looked_at([])) == []


@pytest.mark.usefixtures("band")
@pytest.mark.parametrize("mask", SCENES.values(), ids=SCENES)
def test_scikit_image_measures_the_same(mask):
    found = looked_at([mask])
    grey = found.picture.pixels.array @ np.array([0.299, 0.587, 0.114])
    (theirs,) = regionprops(mask.astype(np.uint8), grey)
    (ours,) = measure(found)
    top, left, bottom, right = theirs.bbox
    y, x = theirs.centroid
    expected = {
        "area_px": theirs.area, "equivalent_diameter_px": theirs.equivalent_diameter_area,
        "box_x_px": left, "box_y_px": top, "box_width_px": right - left,
        "box_height_px": bottom - top, "centroid_x_px": x, "centroid_y_px": y,
        "perimeter_px": theirs.perimeter, "major_axis_px": theirs.axis_major_length,
        "minor_axis_px": theirs.axis_minor_length, "eccentricity": theirs.eccentricity,
        "mean_intensity": theirs.intensity_mean,
    }  # fmt: skip
    orientation = ours.pop("orientation_deg")
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-6)
    if orientation is None:
        assert theirs.eccentricity == pytest.approx(0, abs=1e-6)
    else:  # one axis has two names where it lies flat
        turned = (orientation - math.degrees(theirs.orientation) + 90) % 180 - 90
        assert turned == pytest.approx(0, abs=1e-6)
        assert -90 < orientation <= 90


@pytest.mark.parametrize(
    ("scene", "degrees"),
    [("column", 0), ("row", 90), ("falling", 45), ("rising", -45), ("pixel", None),
     ("square", None), ("disc", None), ("cross", None), ("two pixels", 45)],
)  # fmt: skip
def test_orientation_is_zero_upright_and_grows_counter_clockwise(scene, degrees):
    assert measure(looked_at([SCENES[scene]]))[0]["orientation_deg"] == degrees


@pytest.mark.usefixtures("band")
def test_a_rectangle_by_hand():
    array = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    array[:, :, 0], array[:, :, 1], array[:, :, 2] = 100, 50, 10
    array[20:] = 0
    (ours,) = measure(looked_at([drawn((slice(10, 30), slice(3, 7)))], array))
    assert ours == {
        "area_px": 80,
        "equivalent_diameter_px": pytest.approx(math.sqrt(320 / math.pi)),
        "box_x_px": 3, "box_y_px": 10, "box_width_px": 4, "box_height_px": 20,
        "centroid_x_px": 4.5, "centroid_y_px": 19.5,
        "perimeter_px": pytest.approx(2 * (3 + 19)),
        "major_axis_px": pytest.approx(4 * math.sqrt((20**2 - 1) / 12)),
        "minor_axis_px": pytest.approx(4 * math.sqrt((4**2 - 1) / 12)),
        "orientation_deg": 0,
        "eccentricity": pytest.approx(math.sqrt(1 - 15 / 399)),
        "mean_intensity": pytest.approx((29.9 + 29.35 + 1.14) / 2),
    }  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_have_a_mean_each(channels):
    array = np.random.default_rng(2).random((HEIGHT, WIDTH, channels), np.float32)
    mask = SCENES["ring"]
    (ours,) = measure(looked_at([mask], array))
    names = [name for name in ours if name.startswith("mean")]
    many = [f"mean_intensity_{n + 1}" for n in range(channels)]
    assert names == (["mean_intensity"] if channels == 1 else many)
    means = [np.mean(array[:, :, n][mask], dtype=np.float64) for n in range(channels)]
    assert [ours[name] for name in names] == pytest.approx(means, rel=1e-9)


def test_an_object_without_pixels_has_no_numbers():
    empty, whole = measure(looked_at([drawn(), SCENES["disc"]]))
    assert list(empty) == list(whole)
    assert set(empty.values()) == {None}
    assert whole["area_px"] == SCENES["disc"].sum()


@pytest.mark.usefixtures("band")
def test_only_windows_around_the_objects_are_read():
    class Watched(PixelArray):
        def window(self, x, y, width, height):
            read.append((x, y, x + width, y + height))
            return super().window(x, y, width, height)

    read = []
    found = looked_at([SCENES["all"], SCENES["row"]])
    object.__setattr__(found.picture, "pixels", Watched(found.picture.pixels.array))
    measure(found)
    asked = np.zeros((HEIGHT, WIDTH), int)
    for x1, y1, x2, y2 in read[1:]:  # the first is a pixel, to learn how many channels there are
        asked[y1:y2, x1:x2] += 1
        assert (x2 - x1) * (y2 - y1) <= measurements.BAND
    assert (asked == 1 + SCENES["row"]).all()


def objects(*masks, **more):
    return [
        {"category_id": 1 + n % 2, "score": 0.9 - n / 8, "segmentation": encode_mask(mask), **more}
        for n, mask in enumerate(masks)
    ]


def table_of(path, records, *arguments) -> pandas.DataFrame:
    write_measurements(path / "measurements.csv", CLASSES, iter(records), *arguments)
    return pandas.read_csv(path / "measurements.csv")


def record_of(name, *masks, **more) -> Record:
    measured = measure(looked_at(masks))
    return Record(name=name, objects=objects(*masks), measurements=measured, **more)


UNITS = [(), ("0.5um",), ("", "10kb", "chr1"), ("0.5um", "10kb", "chr1")]


@pytest.mark.parametrize("arguments", UNITS)
def test_without_objects_the_columns_are_the_same(tmp_path, arguments):
    full = table_of(tmp_path, [record_of("a.png", SCENES["ring"])], *arguments)
    for records in ([], [record_of("a.png")], [Record(name="a.png", objects=[])]):
        empty = table_of(tmp_path, records, *arguments)
        assert empty.columns.tolist() == full.columns.tolist()
        assert len(empty) == 0


def test_a_row_per_object_numbered_in_each_picture(tmp_path):
    names = ["图, 1.png", 'x"y\n.png', "=none.png"]
    scenes = [("ring", "pixel"), ("row",), ()]
    records = [
        record_of(name, *(SCENES[scene] for scene in inside))
        for name, inside in zip(names, scenes, strict=True)
    ]
    table = table_of(tmp_path, records)
    assert table["image"].tolist() == [names[0], names[0], names[1]]
    assert table["object"].tolist() == [1, 2, 1]
    assert table["class"].tolist() == ["cell", "a, b", "cell"]
    assert table["score"].tolist() == [0.9, 0.775, 0.9]
    assert table[["video", "frame", "seconds", "track"]].isna().all(axis=None)
    measured = [one for record in records for one in record["measurements"]]
    for name in measured[0]:
        expected = [math.nan if one[name] is None else one[name] for one in measured]
        assert table[name].tolist() == pytest.approx(expected, rel=1e-9, nan_ok=True), name
    assert table["orientation_deg"].isna().tolist() == [False, True, False]


def test_frames_and_tracks(tmp_path):
    record = record_of("c.mp4/000012.png", SCENES["disc"], video="c.mp4", frame=12, seconds=0.48)
    record["objects"][0]["track_id"] = 7
    (row,) = table_of(tmp_path, [record]).to_dict("records")
    assert (row["video"], row["frame"], row["seconds"], row["track"]) == ("c.mp4", 12, 0.48, 7)


def test_physical_units(tmp_path):
    table = table_of(
        tmp_path, [record_of("a.png", SCENES["ring"], drawn(), drawn((0, 0)))], "650 nm"
    )
    lengths = [name for name in table if name.endswith("_px") and name != "area_px"]
    assert len(lengths) == 10
    for name in lengths:
        assert table[f"{name[:-3]}_nm"][0] == pytest.approx(650 * table[name][0])
    assert table["area_nm2"][0] == 650**2 * SCENES["ring"].sum()
    assert not {"orientation_nm", "eccentricity_nm", "mean_intensity_nm"} & {*table}
    assert table.loc[1, "area_px":].isna().all()
    assert table["centroid_x_nm"][2] == table["perimeter_nm"][2] == 0


def test_regions_of_a_contact_map(tmp_path):
    record = record_of("a.png", SCENES["square"], drawn())
    table = table_of(tmp_path, [record], "", "10kb", "chr1:100,chr2:5Mb")
    columns = ["chrom1", "start1", "end1", "chrom2", "start2", "end2"]
    assert table.columns[-6:].tolist() == columns
    square = ["chr1", 200_100, 300_100, "chr2", 5_040_000, 5_140_000]
    assert table.loc[0, columns].tolist() == square
    assert table.loc[1, columns].isna().all()


def test_records_without_measurements_have_empty_cells(tmp_path):
    bare = Record(name="a.png", objects=objects(SCENES["square"]))
    for records in ([bare, record_of("b.png", SCENES["ring"])], [bare]):
        table = table_of(tmp_path, records, "1um", "1", "chr1:0")
        assert table.loc[0, "area_px":"mean_intensity"].isna().all()
        assert table.loc[0, ["image", "object", "start1"]].tolist() == ["a.png", 1, 20]
    assert table_of(tmp_path, [bare, record_of("b.png", SCENES["ring"])])["area_px"][1] > 0


def test_two_channels_have_two_columns_though_the_first_picture_is_empty(tmp_path):
    array = np.random.default_rng(2).random((HEIGHT, WIDTH, 2), np.float32)
    masks = drawn(), SCENES["ring"]
    record = Record(
        name="a.png", objects=objects(*masks), measurements=measure(looked_at(masks, array))
    )
    empty = Record(name="0.png", objects=[], measurements=[])
    bare = Record(name="b.png", objects=objects(SCENES["ring"]))
    table = table_of(tmp_path, [empty, record, bare])
    assert table.columns[-2:].tolist() == ["mean_intensity_1", "mean_intensity_2"]
    assert table["mean_intensity_2"].notna().tolist() == [False, True, False]


def test_one_record_is_in_memory_at_a_time_and_a_failure_leaves_the_old_table(tmp_path):
    path = tmp_path / "measurements.csv"
    path.write_text("before")
    with pytest.raises(ValueError, match="unit"):
        write_measurements(path, CLASSES, [], "0.65")

    def records():
        for number in range(3000):
            written.append((tmp_path / ".measurements.csv.part").exists() and size())
            yield Record(name=f"{number}.png", objects=objects(SCENES["pixel"]))
        raise RuntimeError

    def size():
        return (tmp_path / ".measurements.csv.part").stat().st_size

    written = []
    with pytest.raises(RuntimeError):
        write_measurements(path, CLASSES, records())
    assert max(written) > 50_000
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=r"measurements\.csv") as error:
        write_measurements(tmp_path / "none" / "measurements.csv", CLASSES, [])
    assert error.value.filename == str(tmp_path / "none" / "measurements.csv")
