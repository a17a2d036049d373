"""Every image is decoded before training, and all that fail are named at once."""

from dataclasses import replace

import pytest
from PIL import Image

from utils.data.doctor import check_images
from utils.data.id_masks import read_id_masks
from utils.data.records import DataError


def test_no_images_and_good_images_pass(drawn_pennfudan):
    data = read_id_masks(drawn_pennfudan)
    check_images((), 320, 640)
    check_images(data.images, 320, 640)


def test_every_bad_image_is_named_with_the_total(drawn_pennfudan):
    data = read_id_masks(drawn_pennfudan)
    half, gone, grown = data.images[0], data.images[2], data.images[4]
    half.path.write_bytes(half.path.read_bytes()[: half.path.stat().st_size // 2])
    gone.path.unlink()
    grown.path.write_bytes(data.images[5].path.read_bytes())
    with pytest.raises(DataError) as caught:
        check_images(data.images, 320, 640)
    first, *problems = str(caught.value).splitlines()
    assert first == "3 of 6 images cannot be used:"
    assert len(problems) == 3
    assert str(half.path) in problems[0]
    assert "cut short" in problems[0]
    assert str(gone.path) in problems[1]
    assert "no such file" in problems[1]
    assert str(grown.path) in problems[2]
    assert "is 70x90 pixels (upright), its annotation says 88x96" in problems[2]


@pytest.mark.parametrize(("bad", "more"), [(10, ""), (12, "and 2 more")])
def test_ten_are_shown_and_the_rest_counted(tmp_path, drawn_pennfudan, bad, more):
    data = read_id_masks(drawn_pennfudan)
    gone = replace(data.images[0], path=tmp_path / "gone.png")
    with pytest.raises(DataError) as caught:
        check_images((gone,) * bad + data.images, 320, 640)
    text = str(caught.value)
    assert text.startswith(f"{bad} of {bad + 6} images")
    assert text.count("gone.png") == 10
    assert text.endswith(more or "no such file")


@pytest.mark.parametrize(("size", "too_thin"), [((300, 2), False), ((3000, 1), True)])
def test_image_too_thin_for_the_network_is_named(drawn_pennfudan, size, too_thin):
    data = read_id_masks(drawn_pennfudan)
    Image.new("RGB", size).save(data.images[0].path)
    strip = replace(data.images[0], width=size[0], height=size[1])
    data = replace(data, images=(strip, *data.images[1:]))
    if too_thin:
        with pytest.raises(DataError, match=r"1 of 6 images.*\n.*crowded\.png: "):
            check_images(data.images, 320, 640)
    else:
        check_images(data.images, 320, 640)
