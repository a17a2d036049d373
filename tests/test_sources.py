"""What --source can name, ready to be read, and what becomes of what cannot be."""

from __future__ import annotations

import base64
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, save_weights
from utils.data import shapes
from utils.data.images import load_image
from utils.data.read_options import ReadOptions
from utils.data.records import DataError
from utils.open_data import open_training_data
from utils.prediction.found_picture import Picture, Unusable
from utils.prediction.sources import SourceImage, find_sources, labelled_images

REPOSITORY = Path(__file__).resolve().parent.parent
TREE = ["A.JPG", "b.png", "sub/c.bmp", "sub/deep er/图像 1.png"]


@pytest.fixture
def tree(tmp_path) -> Path:
    """Pictures whose grey value is their place in ``TREE``, beside another file."""
    root = tmp_path / "my photos"
    for value, name in enumerate(TREE):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (value * 20,) * 3).save(path)
    (root / "notes.md").write_text("no picture")
    return root


def found(*sources, channels=3):
    return find_sources([str(source) for source in sources], channels)


def names(*sources) -> list[str]:
    return [source.name for source in found(*sources)]


def test_no_sources_are_no_images():
    assert find_sources([]) == []


def test_reading_gives_the_pixels_of_that_file(tree):
    assert names(tree) == TREE
    for value, image in enumerate(found(tree)):
        picture = image.load()
        assert isinstance(picture, Picture)
        assert (picture.name, picture.stem, picture.path) == (image.name, image.stem, image.path)
        assert picture.stamp == image.stamp
        assert (picture.pixels.height, picture.pixels.width) == (3, 4)
        pixels = picture.pixels.window(0, 0, 4, 3)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (3, 4, 3))
        assert pixels.mean() == pytest.approx(20 * value, abs=2)


def test_order_is_the_one_given(tree):
    assert names(tree / "sub" / "c.bmp", tree / "b.png") == ["c.bmp", "b.png"]


@pytest.mark.parametrize("other", ["b.png", "../my photos/b.png", "*.png", "list.txt", "link.png"])
def test_each_picture_comes_once(tree, other):
    (tree / "link.png").symlink_to(tree / "b.png")
    (tree / "list.txt").write_text("sub/../b.png\n")
    assert names(tree / "b.png", tree / other) == ["b.png"]


def test_each_picture_comes_once_through_links_to_its_folder(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree)
    assert names(tree, tmp_path / "link") == TREE


def test_pictures_of_one_name_get_names_of_their_own(tree, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 3)).save(tmp_path / folder / "b.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "B.PNG")
    images = found(tree / "b.png", tmp_path / "x", tmp_path / "y" / "b.png", tmp_path / "B.PNG")
    assert [image.name for image in images] == ["b.png", "b-2.png", "b-3.png", "B.PNG"]
    assert [image.stem for image in images] == ["b", "b-2", "b-3", "B-4"]


def test_pictures_that_differ_in_their_ending_get_stems_of_their_own(tree):
    Image.new("RGB", (4, 3)).save(tree / "b.jpg")
    assert {image.name: image.stem for image in found(tree)} == {
        "A.JPG": "A", "b.jpg": "b", "b.png": "b-2", "sub/c.bmp": "sub/c",
        "sub/deep er/图像 1.png": "sub/deep er/图像 1",
    }  # fmt: skip


def test_a_source_that_names_nothing_is_an_error(tree):
    with pytest.raises(DataError, match=r"missing\.png"):
        found(tree / "b.png", tree / "missing.png")


def test_videos_are_found_among_pictures(tree):
    pytest.importorskip("av")
    (tree / "sub" / "B.MP4").touch()
    clip, *images = found(tree / "sub" / "B.MP4", tree)
    assert (clip.name, clip.stem, clip.path) == ("B.MP4", "B-2", tree / "sub" / "B.MP4")
    assert [image.name for image in images] == TREE  # of which one is called b, too
    assert all(isinstance(image, SourceImage) for image in images)
    assert not isinstance(clip, SourceImage)


def test_cameras_are_found_by_number():
    pytest.importorskip("av")
    first, second = found("2", "0", "02")
    assert (first.camera, first.path, first.name, first.stem) == (2, None, "camera 2", "camera 2")
    assert second.camera == 0


def test_pictures_are_read_as_the_network_takes_them(tree):
    for image in found(tree, channels=1):
        pixels = image.read()
        assert (pixels.dtype, pixels.shape) == (np.float32, (3, 4, 1))


def test_arrays_are_pictures_too(tree, tmp_path):
    np.save(tree / "a.npy", np.zeros((3, 4, 5)))
    np.save(tmp_path / "b.npy", np.zeros((3, 4, 5)))
    assert names(tree / "*.npy", tmp_path / "b.npy") == ["a.npy", "b.npy"]
    (image,) = found(tree / "a.npy", channels=5)
    assert image.read().shape == (3, 4, 5)


def test_sources_can_be_sent_to_another_process(tree):
    for image in found(tree):
        assert pickle.loads(pickle.dumps(image)).load().stem == image.stem


# -- what cannot be used ---------------------------------------------------------------------------


def assert_unusable(image, problem) -> None:
    for picture in (image.load(), image.open()):
        assert isinstance(picture, Unusable)
        assert picture.name == image.name
        assert problem in picture.problem


def test_a_file_that_is_no_picture_is_unusable(tree):
    (image,) = found(tree / "notes.md")
    assert_unusable(image, "notes.md: is not a picture Pillow can read")


def test_a_file_that_vanishes_is_unusable(tree):
    images = found(tree)
    (tree / "b.png").unlink()
    assert images[1].stamp == []
    assert_unusable(images[1], "b.png: no such file")
    assert isinstance(images[0].load(), Picture)


def test_what_a_list_names_and_is_not_there_is_unusable(tree):
    (tree / "list.txt").write_text("gone.png\nb.png")
    gone, here = found(tree / "list.txt")
    assert gone.name == "gone.png"
    assert_unusable(gone, "gone.png: no such file")
    assert isinstance(here.load(), Picture)


def test_a_folder_of_a_list_that_cannot_be_used_is_unusable(tree):
    (tree / "x.png").mkdir()
    (tree / "list.txt").write_text("x.png\nb.png")
    folder, _ = found(tree / "list.txt")
    assert_unusable(folder, "x.png: no pictures in this folder")


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "I/O error")]
)
def test_a_file_that_cannot_be_read_is_unusable(tree, error):
    def refuse():
        raise error

    (image,) = found(tree / "b.png")
    unusable = image._replace(read=refuse).load()
    assert unusable == Unusable("b.png", str(error))


def test_a_link_that_leads_nowhere_is_unusable(tree):
    (tree / "b.png").unlink()
    (tree / "b.png").symlink_to(tree / "b.png")
    assert_unusable(found(tree)[1], "b.png")


# -- stamps ----------------------------------------------------------------------------------------


def test_a_stamp_tells_whether_a_file_is_the_same(tree, monkeypatch):
    (image,) = found(tree / "b.png")
    stamp = image.stamp
    monkeypatch.chdir(tree)
    assert found("b.png")[0].stamp == stamp
    assert json.loads(json.dumps(stamp)) == stamp
    os.utime(tree / "b.png", ns=(1, stamp[2] + 1))
    assert image.stamp != stamp
    os.utime(tree / "b.png", ns=(1, stamp[2]))
    assert image.stamp == stamp
    with open(tree / "b.png", "ab") as file:
        file.write(b"more")
    os.utime(tree / "b.png", ns=(1, stamp[2]))
    assert image.stamp != stamp


def test_stamps_are_not_taken_while_files_are_listed(tree, monkeypatch):
    taken = []
    monkeypatch.setattr(SourceImage, "stamp", property(lambda image: taken.append(image.name)))
    images = found(tree)
    assert taken == []
    images[0].load()
    assert taken == ["A.JPG"]


def test_the_stamp_is_that_of_the_file_that_was_read(tree):
    """A file that is replaced while it is read is another one for the next run."""

    def replaced():
        pixels = load_image(tree / "b.png")
        Image.new("RGB", (40, 30)).save(tree / "b.png")
        return pixels

    (image,) = found(tree / "b.png")
    stamp = image.stamp
    assert image._replace(read=replaced).load().stamp == stamp != image.stamp


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text here")
def test_names_that_are_no_text_can_be_written(tree):
    Image.new("RGB", (4, 3)).save(os.fsdecode(bytes(tree) + b"/\xb5.png"))
    (image,) = [image for image in found(tree) if image.name not in TREE]
    assert (image.name, image.stem) == ("\\udcb5.png", "_udcb5")
    assert json.dumps([image.name, image.stamp], ensure_ascii=False).encode()
    assert isinstance(image.load(), Picture)


# -- labelled images -------------------------------------------------------------------------------


def test_labelled_images_are_read_as_the_network_takes_them(drawn_pennfudan):
    data = open_training_data(str(drawn_pennfudan), channels=1)
    assert data.train[0][0].shape[0] == data.val[0][0].shape[0] == 1
    found = labelled_images(data.description(), data.train.data.classes, channels=1)
    assert all(image.read().shape[2] == 1 for image in found)


@pytest.mark.parametrize("slash", ["", "/"])
def test_labelled_images_are_those_of_the_split(drawn_pennfudan, slash):
    root = f"{drawn_pennfudan}{slash}"
    data = open_training_data(root)
    description = data.description()
    found = labelled_images(description, data.train.data.classes, "", "auto")
    assert tuple(image.name for image in found) == data.split.val
    assert 0 < len(found) < 6
    for image in found:
        assert np.array_equal(image.read(), load_image(drawn_pennfudan / image.name))
        assert image.path == drawn_pennfudan / image.name
        assert image.stem == image.name.removesuffix(".png")
        assert image.stamp[1] == image.path.stat().st_size


def test_labelled_images_need_a_data_set():
    with pytest.raises(DataError, match=r"predict\.py with --source"):
        labelled_images({}, ("cat",), "", "auto")


def test_drawn_images_have_no_files():
    description = {"format": shapes.NAME, "root": shapes.NAME, "val_root": shapes.NAME}
    found = labelled_images(description, shapes.CLASSES)
    assert len(found) == shapes.HELD_OUT
    assert all(image.path is None for image in found)
    assert found[0].stamp == [found[0].name]
    assert isinstance(found[0].load(), Picture)
    assert isinstance(found[0].open(), Picture)


def test_pictures_in_labelme_files_have_no_files_of_their_own(tree):
    image = base64.b64encode((tree / "b.png").read_bytes()).decode()
    shape = {"label": "cat", "points": [[0, 0], [3, 0], [3, 2]], "shape_type": "polygon"}
    content = {"imagePath": "gone.png", "imageData": image, "shapes": [shape]}
    (tree / "data").mkdir()
    (tree / "data" / "1.json").write_text(json.dumps(content))
    options = ReadOptions(embedded_images=True)
    (found,) = labelled_images({}, ("cat",), str(tree / "data"), "labelme", options)
    assert (found.path, found.stem) == (None, "1")
    assert found.read().mean() == 20


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained network."""
    options = {"min_size": 64, "max_size": 96, "rpn_post_nms_top_n_test": 20}
    arch = "maskrcnn_resnet18_fpn_small"
    torch.manual_seed(0)
    state = build_model(arch, 2, **options).state_dict()
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    save_weights(path, WeightsFile(arch, 2, ("cat",), state, options))
    return path


def predict(weights, tree, *arguments, given=b""):
    """Run predict.py in the tree; its exit code, what it printed, its errors, what was found."""
    out = tree.parent / "out"
    command = [
        sys.executable, REPOSITORY / "predict.py", "--weights", weights, "--output", out,
        "--device", "cpu", "--no-overlays", *arguments,
    ]  # fmt: skip
    result = subprocess.run(command, cwd=tree, input=given, capture_output=True, check=False)
    data = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    errors = result.stderr.decode()
    assert "Traceback" not in errors
    return result.returncode, errors, [image["file_name"] for image in data["images"]]


@pytest.mark.slow
def test_a_list_through_the_standard_input_names_what_failed(weights, tree):
    Image.new("RGB", (40, 30)).save(tree / "b.jpg")
    (tree / "sub" / "x.png").mkdir()
    (tree / "broken 图.png").write_bytes(b"\x89PNG")
    listed = ["b.png", "gone.png", "b.jpg", "broken 图.png", "sub/deep er/图像 1.png", "sub/x.png"]
    code, errors, images = predict(weights, tree, "--source", "-", given="\0".join(listed).encode())
    assert code == 4
    assert images == ["b.png", "b.jpg", "sub/deep er/图像 1.png"]
    assert "3 of 6 images could not be used" in errors
    for name in ("broken 图.png: ", "gone.png: ", "sub/x.png: "):
        assert name in errors


@pytest.mark.slow
def test_strict_stops_at_the_first_that_failed(weights, tree):
    (tree / "list.txt").write_text("b.png\ngone.png\nsub\n")
    code, errors, images = predict(weights, tree, "--source", "list.txt", "--strict")
    assert code == 4
    assert "gone.png: no such file" in errors
    assert images == ["b.png"]
