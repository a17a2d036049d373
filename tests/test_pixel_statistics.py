"""Mean and deviation of a data set's pixels, against all pixels at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from my_dataset import InstanceDataset, ShapesDataset
from nets.mask_rcnn import build_model
from utils.data.records import DataError, ImageRecord, RecordSet
from utils.training import pixel_statistics as module
from utils.training.pixel_statistics import PixelStatistics, pixel_statistics


def data_set(folder, images, channels=3):
    """Images of any size, as PNG or array."""
    records = []
    for number, image in enumerate(images):
        path = folder / f"{number}.npy"
        np.save(path, image)
        records.append(ImageRecord(number + 1, path, image.shape[1], image.shape[0], ()))
    return InstanceDataset(RecordSet(folder, "drawn", ("a",), tuple(records)), channels=channels)


def drawn(channels, count=7):
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 30, (count, 2))
    return [rng.integers(8 * i, 256, (*size, channels), np.uint8) for i, size in enumerate(sizes)]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_every_pixel_weighs_the_same(tmp_path, channels):
    images = drawn(channels)
    found = pixel_statistics(data_set(tmp_path, images, channels))
    everything = np.concatenate([image.reshape(-1, channels) for image in images]) / 255
    assert np.allclose(found.mean, everything.mean(axis=0), atol=1e-6)
    assert np.allclose(found.std, everything.std(axis=0), atol=1e-6)
    assert (found.images, found.total) == (7, 7)


def test_a_large_offset_costs_no_precision(tmp_path):
    rng = np.random.default_rng(0)
    images = [(0.9 + 1e-4 * rng.random((200, 200))).astype(np.float32) for _ in range(3)]
    found = pixel_statistics(data_set(tmp_path, images, 1))
    assert found.std[0] == pytest.approx(np.std(np.float64(images)), rel=1e-5)


def test_a_constant_channel_is_not_divided_by_zero(tmp_path):
    images = [np.full((9, 8, 2), (51, value), np.uint8) for value in (0, 255)]
    found = pixel_statistics(data_set(tmp_path, images, 2))
    assert np.allclose(found.mean, [0.2, 0.5], atol=1e-6)
    assert found.std == pytest.approx((1, 0.5), abs=1e-6)


def test_of_a_large_set_an_evenly_spread_sample_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 4)
    images = [np.full((2, 2, 1), 10 * number, np.uint8) for number in range(10)]
    found = pixel_statistics(data_set(tmp_path, images, 1))
    assert (found.images, found.total) == (4, 10)
    assert found.mean[0] * 255 == pytest.approx(10 * np.mean([0, 2, 5, 7]), abs=1e-4)
    assert "4 of 10 images, evenly spread" in str(found)


def test_drawn_scenes_are_measured():
    dataset = ShapesDataset(6, held_out=True)
    everything = np.float64([dataset[i][0].numpy() for i in range(6)])
    found = pixel_statistics(dataset)
    assert np.allclose(found.mean, everything.mean(axis=(0, 2, 3)), atol=1e-6)
    assert np.allclose(found.std, everything.std(axis=(0, 2, 3)), atol=1e-6)
    grey = pixel_statistics(ShapesDataset(6, held_out=True, channels=1))
    assert len(grey.mean) == 1
    assert min(found.mean) < grey.mean[0] < max(found.mean)


def test_it_is_read_in_threads_and_the_same_each_time(tmp_path):
    dataset = data_set(tmp_path, drawn(3, 30))
    threads = set()
    original = dataset.read
    dataset.read = lambda key: threads.add(threading.current_thread()) or original(key)
    assert pixel_statistics(dataset) == pixel_statistics(dataset)
    assert threading.main_thread() not in threads


def test_an_unreadable_image_is_named(tmp_path):
    dataset = data_set(tmp_path, drawn(3))
    Image.new("L", (3, 2)).save(tmp_path / "3.png")
    (tmp_path / "3.png").rename(tmp_path / "3.npy")
    with pytest.raises(DataError, match=r"3\.npy"):
        pixel_statistics(dataset)


def test_they_are_options_of_a_network_and_a_line_of_the_log():
    found = PixelStatistics((0.25, 0.5), (0.125, 1.0), 3, 3)
    model = build_model("maskrcnn_resnet18_fpn_small", 2, channels=2, **found.options())
    assert model.transform.image_mean == [0.25, 0.5]
    assert model.transform.image_std == [0.125, 1.0]
    assert str(found) == (
        "normalised by mean 0.2500 0.5000 and deviation 0.1250 1.0000, of 3 images"
    )
