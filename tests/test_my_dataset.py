"""A folder is read by the reader that fits; the data sets are there for those who ask."""

import pytest

import my_dataset
from my_dataset import InstanceDataset, PennFudanDataset, ShapesDataset, read_data
from utils.data import instance_dataset
from utils.data.records import DataError


def test_the_data_sets_are_imported_from_here(drawn_pennfudan):
    for data_set in (InstanceDataset, PennFudanDataset, ShapesDataset):
        assert data_set is getattr(instance_dataset, data_set.__name__)
    assert len(PennFudanDataset(drawn_pennfudan)) == 6


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="module 'my_dataset' has no attribute 'Transform'"):
        _ = my_dataset.Transform
    with pytest.raises(ImportError, match="cannot import name 'BalloonDataset'"):
        from my_dataset import BalloonDataset  # noqa: F401


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda root: root / "gone", "no such folder"),
        (lambda root: root, r"no known data set here. Expected .*PNGImages/ \+ PedMasks/"),
    ],
)
def test_folder_that_is_no_data_set_is_refused(tmp_path, make, match):
    with pytest.raises(DataError, match=match):
        read_data(make(tmp_path))


def test_classes_rename_what_was_read(drawn_pennfudan):
    assert read_data(drawn_pennfudan).classes == ("person",)
    assert read_data(str(drawn_pennfudan), "id-masks", ["walker"]).classes == ("walker",)
