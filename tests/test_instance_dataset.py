"""From records to checked targets."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from torchvision.ops import masks_to_boxes

from my_dataset import read_data
from nets.contract import TargetError, check_target
from nets.mask_rcnn import build_model
from utils.data.epoch_batches import SampleKey
from utils.data.instance_dataset import InstanceDataset, PennFudanDataset, ShapesDataset
from utils.data.records import DataError, ImageRecord, Instance, RecordSet
from utils.data.targets import record_target
from utils.data.transforms import AUGMENTATIONS, train_transforms
from utils.open_data import open_training_data


def tree_hash(root):
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(f"{path.relative_to(root)} {path.lstat().st_mtime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def same(sample, other):
    (image, target), (other_image, other_target) = sample, other
    return torch.equal(image, other_image) and all(
        torch.equal(target[field], other_target[field]) for field in ("boxes", "masks", "labels")
    )


def names(dataset):
    return set(dataset.data.names())


def test_image_without_objects_gives_empty_tensors(drawn_pennfudan):
    image, target = PennFudanDataset(drawn_pennfudan)[1]
    assert image.shape == (3, 64, 72)
    assert {field: tuple(target[field].shape) for field in ("boxes", "labels", "masks")} == {
        "boxes": (0, 4),
        "labels": (0,),
        "masks": (0, 64, 72),
    }
    assert target["image_id"] == 2


def test_samples_hold_the_pixels_and_objects_on_disk(drawn_pennfudan):
    dataset = PennFudanDataset(drawn_pennfudan)
    assert len(dataset) == 6
    for (image, target), record in zip(dataset, dataset.data.images, strict=True):
        with Image.open(record.path) as picture:
            pixels = np.asarray(picture)
        assert np.allclose(image.permute(1, 2, 0) * 255, pixels, atol=1e-4)
        with Image.open(drawn_pennfudan / "PedMasks" / f"{record.path.stem}_mask.png") as mask:
            ids = torch.tensor(np.asarray(mask).astype(int))
        expected = torch.stack([ids == i for i in ids.unique() if i]) if ids.any() else None
        if expected is None:
            continue
        assert torch.equal(target["masks"].bool(), expected)
        assert torch.equal(target["boxes"], masks_to_boxes(expected) + torch.tensor([0, 0, 1, 1]))
        assert torch.equal(target["area"], expected.sum((1, 2)).float())


def test_numbers_count_from_the_end_and_iteration_ends(drawn_pennfudan):
    dataset = PennFudanDataset(drawn_pennfudan)
    assert same(dataset[-1], dataset[5])
    for one in (dataset, ShapesDataset(3)):
        assert sum(1 for _ in one) == len(one)
        with pytest.raises(IndexError):
            one[len(one)]


def test_reading_leaves_the_data_folder_as_it_was(drawn_pennfudan):
    before = tree_hash(drawn_pennfudan)
    data = open_training_data(str(drawn_pennfudan))
    assert sum(1 for side in (data.train, data.val) for _ in side) == 6
    assert tree_hash(drawn_pennfudan) == before


def test_augmentation_depends_on_the_key_alone(drawn_pennfudan):
    def fresh(seed=5):
        return InstanceDataset(read_data(drawn_pennfudan), train_transforms(), seed)

    keys = [SampleKey(epoch, number) for epoch in range(4) for number in range(6)]
    forward = {key: fresh()[key] for key in keys}
    dataset = fresh()
    backward = {}
    for key in reversed(keys):
        torch.rand(3)
        backward[key] = dataset[key]
    assert all(same(forward[key], backward[key]) for key in keys)
    assert not all(same(forward[key], forward[SampleKey(0, key.number)]) for key in keys)
    assert not all(same(forward[key], fresh(seed=6)[key]) for key in keys)


def test_global_random_state_is_left_alone(drawn_pennfudan):
    dataset = InstanceDataset(read_data(drawn_pennfudan), train_transforms())
    torch.manual_seed(0)
    expected = torch.rand(4)
    torch.manual_seed(0)
    assert dataset[0]
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.gpu
def test_random_state_of_the_gpu_is_left_alone(drawn_pennfudan):
    torch.cuda.manual_seed(11)
    before = torch.cuda.get_rng_state()
    assert InstanceDataset(read_data(drawn_pennfudan), train_transforms())[0]
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_picture_that_changed_size_is_named(drawn_pennfudan):
    dataset = PennFudanDataset(drawn_pennfudan)
    Image.new("RGB", (10, 20)).save(dataset.data.images[0].path)
    with pytest.raises(DataError, match=r"crowded\.png: is 10x20 .* annotation says 96x80"):
        dataset[0]


@pytest.mark.parametrize(("epoch", "always", "checked"), [(0, False, True), (1, False, False),
                                                          (1, True, True)])  # fmt: skip
def test_targets_are_checked_in_the_first_epoch_or_always(drawn_pennfudan, epoch, always, checked):
    data = read_data(drawn_pennfudan)
    wrong = replace(data.images[2].instances[0], label=2)
    images = (replace(data.images[2], instances=(wrong,)),)
    dataset = InstanceDataset(replace(data, images=images), check_always=always)
    if checked:
        with pytest.raises(TargetError, match=r"one_box\.png: target 'labels'"):
            dataset[SampleKey(epoch, 0)]
    else:
        assert dataset[SampleKey(epoch, 0)][1]["labels"].tolist() == [2]


THIN = {
    "pixel": ((4, 4), (6, 6), (6, 4, 7, 5)),
    "row": ((3, 3), (2, 8), (2, 3, 9, 4)),
    "column": ((0, 9), (5, 5), (5, 0, 6, 10)),
    "corner pixel": ((9, 9), (11, 11), (11, 9, 12, 10)),
    "everything": ((0, 9), (0, 11), (0, 0, 12, 10)),
}


@pytest.mark.parametrize("thin", THIN)
def test_thin_objects_have_valid_boxes(thin):
    rows, columns, box = THIN[thin]
    mask = np.zeros((10, 12), np.uint8)
    mask[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    record = ImageRecord(1, Path("a.png"), 12, 10, (Instance.from_mask(1, mask),))
    target = record_target(record)
    check_target(target, 10, 12, 2, "a.png")
    assert target["boxes"].tolist() == [list(map(float, box))]


@given(hnp.arrays(bool, st.tuples(st.integers(1, 15), st.integers(1, 15))).filter(np.any))
def test_boxes_are_torchvisions_one_wider(mask):
    height, width = mask.shape
    record = ImageRecord(1, Path("a.png"), width, height, (Instance.from_mask(1, mask),))
    expected = masks_to_boxes(torch.from_numpy(mask)[None]) + torch.tensor([0, 0, 1, 1])
    assert torch.equal(record_target(record)["boxes"].as_subclass(torch.Tensor), expected)


def test_crowds_and_objects_without_a_pixel_are_left_out():
    mask = np.zeros((10, 12), bool)
    mask[2:4, 3:6] = True
    objects = (
        Instance.from_mask(1, mask, iscrowd=1),
        Instance.from_mask(2, np.zeros((10, 12))),
        Instance.from_mask(3, mask),
        Instance(4, [[0.0, 0, 4, 0, 4, 5, 0, 5], [6.0, 5, 8, 5, 8, 7, 6, 7]], (0, 0, 8, 7), 24),
    )
    target = record_target(ImageRecord(7, Path("a.png"), 12, 10, objects))
    check_target(target, 10, 12, 5, "a.png")
    assert target["labels"].tolist() == [3, 4]
    assert target["boxes"].tolist() == [[3, 2, 6, 4], [0, 0, 8, 7]]
    assert target["area"].tolist() == [6, 24]
    assert target["iscrowd"].tolist() == [0, 0]
    assert record_target(ImageRecord(7, Path("a.png"), 12, 10, objects[:2]))["masks"].shape[0] == 0


def test_training_scenes_are_fresh_each_epoch_and_held_out_ones_are_not():
    train, held_out = ShapesDataset(4), ShapesDataset(4, held_out=True)
    scenes = {
        train[SampleKey(epoch, number)][0].numpy().tobytes()
        for epoch in range(3)
        for number in range(4)
    } | {ShapesDataset(4, seed=1)[number][0].numpy().tobytes() for number in range(4)}
    assert len(scenes) == 16
    for number in range(4):
        first = held_out[SampleKey(0, number)]
        assert same(first, held_out[SampleKey(9, number)])
        assert same(first, ShapesDataset(50, held_out=True, seed=8)[number])
        assert first[0].numpy().tobytes() not in scenes


def test_scene_targets_keep_the_contract_when_flipped():
    dataset = ShapesDataset(20, train_transforms(), check_always=True)
    for epoch in range(2):
        for number in range(20):
            image, target = dataset[SampleKey(epoch, number)]
            assert image.shape == (3, 128, 128)
            assert len(target["labels"]) > 0


def pasting(data, **options):
    return InstanceDataset(
        data, train_transforms("strong"), check_always=True, copy_paste=0.5, **options
    )


@pytest.mark.parametrize("compact_masks", [False, True])
def test_pasted_objects_depend_on_the_key_alone(drawn_pennfudan, compact_masks):
    data = read_data(drawn_pennfudan)
    dataset = pasting(data, compact_masks=compact_masks)
    keys = [SampleKey(epoch, number) for epoch in range(8) for number in range(6)]
    forward = {key: dataset[key] for key in keys}
    fresh = pasting(data, compact_masks=compact_masks)
    for key in reversed(keys):
        torch.rand(3)
        image, target = fresh[key]
        assert torch.equal(image, forward[key][0])
        assert torch.equal(target["boxes"], forward[key][1]["boxes"])
    # An image without objects shows those of others.
    counts = [len(forward[SampleKey(epoch, 1)][1]["labels"]) for epoch in range(8)]
    assert min(counts) == 0 < max(counts)


def test_half_of_the_samples_take_objects_of_a_random_other(drawn_pennfudan, monkeypatch):
    dataset = pasting(read_data(drawn_pennfudan))
    read = []
    monkeypatch.setattr(
        dataset, "read", lambda key: (read.append(key), InstanceDataset.read(dataset, key))[1]
    )
    others = []
    for epoch in range(60):
        read.clear()
        assert dataset[SampleKey(epoch, 2)]
        assert read[0] == SampleKey(epoch, 2)
        others += read[1:]
        assert {key.epoch for key in read} == {epoch}
    assert 20 < len(others) < 40
    assert {other.number for other in others} == set(range(6))


def test_drawn_scenes_are_pasted_from_too():
    dataset = ShapesDataset(
        30, train_transforms(), check_always=True, compact_masks=True, copy_paste=1.0
    )
    plain = sum(len(record.instances) for record in dataset.data.images)
    assert sum(len(target["labels"]) for _, target in dataset) > 1.2 * plain


@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_channels_that_are_wanted(drawn_pennfudan, channels):
    data = read_data(drawn_pennfudan)
    for dataset in (
        InstanceDataset(data, channels=channels),
        ShapesDataset(2, held_out=True, channels=channels),
    ):
        pixels, _ = dataset.read(SampleKey(0, 0))
        image, _ = dataset[0]
        assert pixels.dtype == (np.uint8 if channels == 3 else np.float32)
        assert image.dtype == torch.float32
        assert image.shape[0] == pixels.shape[2] == channels
        assert 0 <= image.min() < image.max() <= 1


def test_channels_that_there_are_not_are_named(drawn_pennfudan):
    for dataset, name in (
        (InstanceDataset(read_data(drawn_pennfudan), channels=4), "crowded.png"),
        (ShapesDataset(2, held_out=True, channels=4), "held_out_000.png"),
    ):
        with pytest.raises(DataError, match=rf"{name}: has 3 channel\(s\), 4 wanted"):
            dataset[0]


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_every_augmentation_takes_any_channels(tmp_path, augment, channels):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((60, 60, channels)))
    mask = np.zeros((60, 60), np.uint8)
    mask[10:40, 20:50] = 1
    record = ImageRecord(1, tmp_path / "a.npy", 60, 60, (Instance.from_mask(1, mask),))
    data = RecordSet(tmp_path, "drawn", ("a",), (record,))
    dataset = InstanceDataset(
        data, train_transforms(augment), copy_paste=0.5, compact_masks=True, channels=channels
    )
    for epoch in range(12):
        image, _ = dataset[SampleKey(epoch, 0)]
        assert image.shape[0] == channels
        assert 0 <= image.min() <= image.max() <= 1


def save_coco(root, names, write):
    """A COCO file of one box in each image; ``write(path)`` makes the image."""
    for name in names:
        write(root / name)
    box = [[10, 10, 30, 10, 30, 40, 10, 40]]
    content = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": box, "iscrowd": 0}
            for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "loop"}],
    }
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def write_pages(path):
    pages = [Image.new("L", (50, 60), 40 * i) for i in range(4)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


@pytest.mark.parametrize(
    ("suffix", "channels", "write"),
    [
        ("npy", 1, lambda path: np.save(path, np.random.default_rng(0).random((60, 50)))),
        ("npy", 4, lambda path: np.save(path, np.zeros((60, 50, 4), np.uint16))),
        ("tif", 4, write_pages),
        ("png", 1, lambda path: Image.fromarray(np.full((60, 50), 9999, np.uint16)).save(path)),
    ],
)
def test_files_of_any_channels_train_a_network(tmp_path, suffix, channels, write):
    save_coco(tmp_path, [f"{i}.{suffix}" for i in range(4)], write)
    data = open_training_data(str(tmp_path), channels=channels)
    image, target = data.train[0]
    model = build_model(
        "maskrcnn_resnet18_fpn_small", 2, channels=channels, min_size=64, max_size=64
    )
    losses = model([image], [target])
    sum(losses.values()).backward()
    assert image.shape == (channels, 60, 50)
    assert torch.isfinite(model.backbone.body.conv1.weight.grad).all()
    assert model.backbone.body.conv1.weight.grad.abs().sum() > 0
