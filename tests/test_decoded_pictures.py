"""Decoded pictures are kept as long as they fit, and nobody but the cache can change them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from my_dataset import InstanceDataset, ShapesDataset, read_data
from utils.data import decoded_pictures
from utils.data.augmentation import AUGMENTATIONS
from utils.data.decoded_pictures import PictureCache
from utils.data.epoch_batches import SampleKey
from utils.data.images import load_image
from utils.data.records import DataError
from utils.data.transforms import train_transforms

HEIGHT, WIDTH = 20, 30
PICTURE = HEIGHT * WIDTH * 3  # bytes


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        noise = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(noise).save(path)
    return paths


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that are read, as they are."""
    names = []
    monkeypatch.setattr(
        decoded_pictures,
        "load_image",
        lambda path, channels: (names.append(path.name), load_image(path, channels))[1],
    )
    return names


@pytest.mark.parametrize(
    ("size", "again"),
    [
        (0, ["0.png", "1.png", "2.png"]),
        (PICTURE - 1, ["0.png", "1.png", "2.png"]),
        (PICTURE, ["1.png", "2.png"]),
        (3 * PICTURE - 1, ["2.png"]),
        (3 * PICTURE, []),
    ],
)
def test_as_many_as_fit_are_read_once(paths, reads, size, again):
    cache = PictureCache(size)
    for _ in range(2):
        reads.clear()
        for path in paths[:3]:
            assert np.array_equal(cache.load(path, 3), load_image(path))
    assert reads == again


def test_one_that_is_too_large_leaves_the_room_to_smaller_ones(paths, reads, tmp_path):
    Image.new("RGB", (WIDTH, 2 * HEIGHT)).save(tmp_path / "large.png")
    cache = PictureCache(PICTURE)
    for path in (tmp_path / "large.png", paths[0], tmp_path / "large.png", paths[0]):
        cache.load(path, 3)
    assert reads == ["large.png", "0.png", "large.png"]


def test_other_channels_are_another_picture_of_floats(paths, reads):
    cache = PictureCache(PICTURE + 4 * HEIGHT * WIDTH)
    for _ in range(2):
        for channels, dtype in ((3, np.uint8), (1, np.float32)):
            pixels = cache.load(paths[0], channels)
            assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, channels), dtype)
    assert reads == ["0.png"] * 2


@pytest.mark.parametrize("channels", [3, 1])
def test_what_is_done_to_the_pixels_does_not_reach_the_cache(paths, channels):
    cache = PictureCache(10 * PICTURE)
    for _ in range(3):
        pixels = cache.load(paths[0], channels)
        assert np.array_equal(pixels, load_image(paths[0], channels))
        pixels[:] = 0


def test_a_damaged_picture_is_refused_each_time_and_read_once_repaired(paths):
    cache, whole = PictureCache(10 * PICTURE), paths[0].read_bytes()
    paths[0].write_bytes(whole[:200])
    for _ in range(2):
        with pytest.raises(DataError, match=r"0\.png: cannot be decoded"):
            cache.load(paths[0], 3)
    paths[0].write_bytes(whole)
    assert np.array_equal(cache.load(paths[0], 3), load_image(paths[0]))


class Pictures(Dataset[int]):
    """How many pictures the process that loads has kept, each time it has loaded one."""

    def __init__(self, paths, cache):
        self.paths, self.cache = paths, cache

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        self.cache.load(self.paths[number], 3)
        return len(self.cache.kept)


@pytest.mark.parametrize(("before", "kept"), [(0, [1, 1, 2, 2, 2, 2]), (3, [3] * 6)])
def test_loading_processes_divide_the_size(paths, before, kept):
    """Two to train, and two more to judge: each a quarter, what the main process kept included."""
    cache = PictureCache(8 * PICTURE + 3)
    for path in paths[:before]:
        cache.load(path, 3)
    loader = DataLoader(
        Pictures(paths, cache), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    assert list(loader) == kept
    assert len(cache.kept) == before


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [3, 1])
def test_samples_are_the_same_with_a_cache(drawn_pennfudan, reads, augment, channels):
    def opened(cache):
        return InstanceDataset(
            read_data(drawn_pennfudan), train_transforms(augment), compact_masks=True,
            copy_paste=AUGMENTATIONS[augment].copy_paste, channels=channels, cache=cache,
        )  # fmt: skip

    plain, cached = opened(None), opened(PictureCache(2**20))
    for epoch in range(4):
        for number in range(6):
            image, target = plain[SampleKey(epoch, number)]
            reads.clear()
            found, after = cached[SampleKey(epoch, number)]
            assert len(reads) <= (2 if epoch == 0 else 0)
            assert torch.equal(found, image)
            assert torch.equal(after["boxes"], target["boxes"])
            found.zero_()


def test_drawn_scenes_are_not_read_and_not_kept(reads):
    dataset = ShapesDataset(2)
    assert dataset[0]
    assert not reads
    assert not dataset.cache.kept


def test_what_is_kept_does_not_go_to_processes_that_are_spawned(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (9, 7)).save(path)
    cache = PictureCache(10**6)
    cache.load(path, 3)
    twin = pickle.loads(pickle.dumps(cache))
    assert (twin.size, twin.taken, twin.kept) == (10**6, 0, {})
    assert cache.taken == 9 * 7 * 3
