"""Which weights, data and image a command means, and what is said where they are not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from inspected import OPTIONS, make_model, make_subject, with_instances
from PIL import Image

from nets.weights_file import WeightsError, WeightsFile, save_weights
from utils.data import shapes
from utils.data.instance_dataset import InstanceDataset, ShapesDataset
from utils.data.records import DataError, ImageRecord, Instance, RecordSet
from utils.evaluation.judge import judge
from utils.inspection.config import ExplainConfig, InspectConfig, SubjectConfig
from utils.inspection.subject import find_image, open_subject


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    model = make_model()
    data = {"format": "shapes", "classes": list(shapes.CLASSES), "root": "shapes"}
    content = WeightsFile(
        "maskrcnn_resnet18_fpn_small", 4, shapes.CLASSES, model.state_dict(),
        options={"frozen_norm": True, **OPTIONS}, data=data,
    )  # fmt: skip
    save_weights(path, content)
    return path


@pytest.fixture(scope="module")
def plain(weights):
    """A state_dict alone, as torchvision's."""
    path = weights.with_name("plain.pth")
    torch.save(make_model().state_dict(), path)
    return path


@pytest.fixture
def dataset():
    return ShapesDataset(4, held_out=True)


def test_an_image_of_the_weights_own_data(weights):
    subject = open_subject(SubjectConfig(weights=str(weights), precision="fp32"), 2)

    assert (subject.number, subject.name) == (2, "held_out_002.png")
    assert subject.classes == shapes.CLASSES
    assert subject.record.instances
    assert subject.notes == ()
    assert len(subject.trace.anchors) == 4092
    assert subject.training.target["boxes"].shape == (len(subject.record.instances), 4)


def test_the_networks_input_is_shown_as_it_is():
    subject = make_subject(1)  # 128 pixels, so not resized

    assert subject.input_pixels.dtype == np.uint8
    assert np.abs(subject.input_pixels.astype(int) - subject.pixels).max() <= 1


def test_padding_is_not_shown():
    subject = make_subject(1)
    subject = replace(subject, pixels=subject.pixels[:60], dataset=None, number=None, record=None)

    assert subject.trace.batch.shape[-2:] == (64, 128)
    assert subject.input_pixels.shape == (60, 128, 3)


def test_objects_are_scaled_to_the_networks_input():
    subject = make_subject(1, make_model(min_size=256, max_size=256))
    _, target = subject.dataset[1]
    wanted = [subject.classes[label - 1] for label in target["labels"]]

    assert subject.trace.size == (256, 256)
    assert torch.equal(subject.object_boxes, 2 * target["boxes"].as_subclass(torch.Tensor))
    assert type(subject.object_boxes) is torch.Tensor
    assert list(subject.object_names) == [f"{n} {name}" for n, name in enumerate(wanted, 1)]


def test_crowds_and_objects_without_a_pixel_keep_their_number():
    subject = make_subject(1)
    first, second, third = subject.record.instances
    empty = Instance.from_mask(1, np.zeros((128, 128), np.uint8))
    boxes = subject.object_boxes
    changed = with_instances(subject, {1: (replace(first, iscrowd=1), empty, second, third)})

    assert torch.equal(changed.object_boxes, boxes[1:])
    assert [name.split()[0] for name in changed.object_names] == ["3", "4"]


def test_without_labels_there_are_no_objects():
    subject = make_subject(1, with_labels=False)

    assert subject.object_names == ()
    assert subject.object_boxes.shape == (0, 4)
    assert list(subject.others(3)) == []


def test_other_images_are_spread_over_those_with_objects():
    subject = make_subject(2, images=12)
    crowd = [replace(one, iscrowd=1) for one in subject.dataset.data.images[7].instances]
    subject = with_instances(subject, {5: (), 7: crowd})

    def numbers(count):
        return [number for number, _, _ in subject.others(count)]

    assert numbers(20) == [0, 1, 3, 4, 6, 8, 9, 10, 11]
    assert numbers(3) == [0, 4, 9]
    assert numbers(2) == [0, 8]
    assert numbers(1) == [0]
    number, image, target = next(subject.others(1))
    assert image.shape == (3, 128, 128)
    assert len(target["boxes"]) == len(subject.dataset.data.images[number].instances)


def test_an_image_that_cannot_be_read_is_passed_over():
    subject = make_subject(0, images=6)
    read = subject.dataset.read

    def broken(key):
        if key.number in (1, 3):
            raise DataError("damaged")
        return read(key)

    subject.dataset.read = broken

    assert [number for number, _, _ in subject.others(2)] == [4, 2]
    assert [number for number, _, _ in subject.others(9)] == [2, 4, 5]


@pytest.mark.parametrize(
    ("image", "number"),
    [("", 0), (0, 0), ("3", 3), (3, 3), ("held_out_002.png", 2)],
)
def test_images_by_number_name_or_path(dataset, image, number):
    assert find_image(dataset, image) == number


def test_the_first_image_with_objects_is_taken(dataset):
    images = [*dataset.data.images]
    images[0] = replace(images[0], instances=())
    dataset.data = replace(dataset.data, images=tuple(images))

    assert find_image(dataset, "") == 1


def test_a_set_without_objects_has_a_first_image(dataset):
    images = tuple(replace(one, instances=()) for one in dataset.data.images)
    dataset.data = replace(dataset.data, images=images)

    assert find_image(dataset, "") == 0


def test_files_are_those_that_lie_there(tmp_path, monkeypatch):
    for name in ("a/one.png", "b/one.png", "a/two.png", "here/two.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path / "here")
    records = tuple(
        ImageRecord(number, tmp_path / name, 20, 20, ())
        for number, name in enumerate(("a/one.png", "b/one.png", "a/two.png"))
    )
    dataset = InstanceDataset(RecordSet(tmp_path, "coco", ("cat",), records))

    assert find_image(dataset, "a/two.png") == 2  # its name in the data
    assert find_image(dataset, "../b/one.png") == 1  # its path
    assert find_image(dataset, "two.png") is None  # another file, which lies here
    assert find_image(dataset, "./two.png") is None
    with pytest.raises(DataError, match=r"several images are called so: a/one.png, b/one.png"):
        find_image(dataset, "one.png")


def test_the_network_sees_what_test_py_shows_it():
    subject = make_subject(1)
    image, target = subject.dataset[1]
    wanted = next(judge(subject.model, [([image], [target])], subject.precision)).prediction
    alone = replace(subject, dataset=None, number=None, record=None)

    for prediction in (subject.trace.prediction, alone.trace.prediction):
        assert torch.equal(prediction["scores"], wanted["scores"])
        assert torch.equal(prediction["boxes"], wanted["boxes"])
        assert prediction["masks"] == wanted["masks"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("4", "has 4 images in this part, numbered from 0 to 3"),
        ("-1", "-1: no such file"),
        ("gone.png", r"no such file.*there are 4: held_out_000.png"),
        ("gone/held_out_000.png", "no such file"),
    ],
)
def test_an_image_that_is_nowhere(dataset, image, message):
    with pytest.raises(DataError, match=message):
        find_image(dataset, image)


def test_any_picture_without_labels(weights, tmp_path):
    picture = tmp_path / "photo.png"
    Image.new("RGB", (50, 40), "grey").save(picture)
    subject = open_subject(SubjectConfig(weights=str(weights)), str(picture))

    assert (subject.name, subject.number, subject.record) == ("photo.png", None, None)
    assert subject.dataset is not None
    assert subject.training is None
    assert subject.about()[-1] == "image: photo.png, 50x40 pixels, without labels"


def test_weights_without_data_look_at_a_picture(plain, tmp_path):
    picture = tmp_path / "photo.png"
    Image.new("RGB", (50, 40), "grey").save(picture)
    subject = open_subject(SubjectConfig(weights=str(plain)), str(picture))

    assert subject.dataset is None
    assert subject.classes == ("class_1", "class_2", "class_3")
    assert "the weights file names no data set" in subject.notes[0]
    assert subject.about()[-1] == subject.notes[0]


def test_weights_without_data_and_no_picture(plain):
    with pytest.raises(DataError, match="names no data set"):
        open_subject(SubjectConfig(weights=str(plain)))


def test_classes_that_the_weights_do_not_know(plain, tmp_path):
    picture = tmp_path / "photo.png"
    Image.new("RGB", (50, 40), "grey").save(picture)
    with pytest.raises(DataError, match="square, circle, triangle, the weights class_1"):
        open_subject(SubjectConfig(weights=str(plain), data="shapes"), str(picture))


def test_no_such_weights(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        open_subject(SubjectConfig(weights="gone.pth", output_root=tmp_path))


def test_a_picture_that_is_too_thin(weights, tmp_path):
    picture = tmp_path / "thin.png"
    Image.new("RGB", (2000, 2)).save(picture)
    with pytest.raises(DataError, match="too thin"):
        open_subject(SubjectConfig(weights=str(weights)), str(picture))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"object": 1, "missed": 1}, "give one"),
        ({"object": 0}, "--object is 0; objects are numbered from 1 on"),
        ({"missed": -2}, "--missed is -2"),
    ],
)
def test_objects_are_numbered_from_one(values, message):
    with pytest.raises(ValueError, match=message):
        ExplainConfig(image="3", **values)


def test_defaults():
    assert InspectConfig(what="all").image == ""
    assert ExplainConfig(image="3").weights == "best.pth"
