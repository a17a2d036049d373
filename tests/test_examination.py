"""The data doctor: each mistake in pictures is named, all at once, and good data passes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from utils.data.formats.coco import read_coco
from utils.data.formats.id_masks import read_id_masks
from utils.data.formats.labelme import read_labelme
from utils.data.records import DataError
from utils.doctor.examination import check_data, check_sizes, examine, look_at_all, same_pictures
from utils.doctor.findings import Kind
from utils.doctor.network_view import NetworkView

VIEW = NetworkView(320, 640, (1, 1000))
SMALL_SET = {Kind.RARE_CLASS.title, Kind.EMPTY.title}  # true of the drawn set as it is


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(drawn_pennfudan):
    return read_id_masks(drawn_pennfudan)


def kinds(findings):
    return {finding.kind for finding in findings} - SMALL_SET


def errors_of(data):
    return [f for f in examine({"all": data}, (), VIEW) if f.severity == "error"]


def test_good_data_passes(data):
    findings = check_data({"all": data}, (), VIEW)
    assert {finding.kind for finding in findings} == SMALL_SET
    (empty,) = [finding for finding in findings if finding.kind == Kind.EMPTY.title]
    assert "1 of 6 images have no object, first PNGImages/empty.png" in empty.what


def test_without_images_or_objects_there_is_nothing_to_learn(data):
    empty = replace(data, images=tuple(replace(r, instances=()) for r in data.images))
    crowds = tuple(
        replace(r, instances=tuple(replace(i, iscrowd=1) for i in r.instances)) for r in data.images
    )
    for nothing in (replace(data, images=()), empty, replace(data, images=crowds)):
        assert Kind.NOTHING.title in kinds(examine({"all": nothing}, (), VIEW))
        assert Kind.NOTHING.title not in kinds(examine({"all": nothing}, ["a: broken"], VIEW))
        assert Kind.NOTHING.title not in kinds(examine({"train": data, "val": nothing}, (), VIEW))
        assert Kind.NOTHING.title not in kinds(examine({"val": nothing}, (), VIEW))
    check_sizes((), 320, 640)


def test_one_image_cannot_be_split(data):
    one = replace(data, images=data.images[:1])
    assert Kind.NOTHING.title in kinds(examine({"all": one}, (), VIEW))
    assert Kind.NOTHING.title not in kinds(examine({"train": one, "val": data}, (), VIEW))


def damage(path, how):
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes({"half": path.read_bytes()[: path.stat().st_size // 2],
                          "empty": b"", "text": b"hello"}[how])  # fmt: skip


@pytest.mark.parametrize(
    ("how", "what"),
    [("half", "cut short"), ("gone", "no such file"), ("empty", "0 bytes"), ("text", "not a pic")],
)
def test_a_picture_that_cannot_be_read(data, how, what):
    damage(data.images[0].path, how)
    (finding,) = errors_of(data)
    assert (finding.kind, finding.where) == (Kind.UNREADABLE.title, str(data.images[0].path))
    assert what in finding.what


@pytest.mark.parametrize(("size", "kind"), [((96, 80), None), ((80, 96), Kind.SWAPPED),
                                            ((97, 80), Kind.SIZE)])  # fmt: skip
def test_a_picture_of_another_size(data, size, kind):
    Image.new("RGB", size).save(data.images[0].path)
    found = errors_of(data)
    assert [finding.kind for finding in found] == ([kind.title] if kind else [])
    if kind:
        said = f"is {size[0]}x{size[1]} pixels (upright), its annotation says 96x80"
        assert found[0].what == said


def test_a_photo_that_exif_turns(data):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (96, 80)).save(data.images[0].path, exif=exif)
    assert kinds(errors_of(data)) == {Kind.SWAPPED.title}


@pytest.mark.parametrize(("size", "too_thin"), [((300, 2), False), ((3000, 1), True)])
def test_a_picture_too_thin_for_the_network(data, size, too_thin):
    Image.new("RGB", size).save(data.images[0].path)
    strip = replace(data.images[0], width=size[0], height=size[1], instances=())
    data = replace(data, images=(strip, *data.images[1:]))
    assert kinds(errors_of(data)) == ({Kind.TOO_THIN.title} if too_thin else set())
    if too_thin:
        with pytest.raises(DataError, match=r"1 problem\(s\) in 6 image\(s\):\n.*crowded\.png: "):
            check_sizes(data.images, 320, 640)
    else:
        check_sizes(data.images, 320, 640)


def test_all_errors_are_told_at_once(data):
    paths = [record.path for record in data.images]
    damage(paths[0], "half")
    damage(paths[2], "gone")
    paths[4].write_bytes(paths[5].read_bytes())
    with pytest.raises(DataError) as caught:
        check_data({"all": data}, (), VIEW)
    text = str(caught.value)
    assert text.startswith("3 error(s) in the data:\nerror: pictures that cannot be read (2)\n")
    assert all(str(paths[i]) in text for i in (0, 2, 4))
    assert "is 70x90 pixels (upright), its annotation says 88x96" in text
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(("bad", "more"), [(10, False), (12, True)])
def test_ten_are_shown_and_the_rest_counted(tmp_path, data, bad, more):
    gone = tuple(replace(data.images[0], path=tmp_path / f"gone{i}.png") for i in range(bad))
    with pytest.raises(DataError) as caught:
        check_data({"all": replace(data, images=gone)}, (), VIEW)
    assert str(caught.value).count("gone") == 10
    assert ("and 2 more" in str(caught.value)) == more
    assert len(caught.value.problems) == bad


def test_what_the_reader_could_not_use_is_an_error(data):
    problems = ["a.json: shapes is 5, must be a list", "something odd"]
    found = [f for f in examine({"all": data}, problems, VIEW) if f.severity == "error"]
    assert [(f.where, f.what) for f in found] == [
        ("a.json", "shapes is 5, must be a list"),
        ("data", "something odd"),
    ]
    assert examine({}, [], VIEW) == []


def turned_photo(path, size):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", size).save(path, exif=exif)


def coco_problems(root, size):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [],
    }
    (root / "all.json").write_text(json.dumps(content), encoding="utf-8")
    return read_coco, root


def labelme_problems(root, size):
    content = {"imagePath": "a.jpg", "imageWidth": size[0], "imageHeight": size[1], "shapes": []}
    (root / "a.json").write_text(json.dumps(content), encoding="utf-8")
    return read_labelme, root


def mask_problems(root, size):
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    (root / "a.jpg").rename(root / "images" / "a.jpg")
    Image.new("L", size).save(root / "masks" / "a.png")
    return read_id_masks, root


@pytest.mark.parametrize("problems_of", [coco_problems, labelme_problems, mask_problems])
@pytest.mark.parametrize(("size", "kind"), [((30, 20), Kind.SWAPPED), ((30, 21), Kind.SIZE)])
def test_sizes_that_a_reader_refuses_have_the_kind_they_are(tmp_path, problems_of, size, kind):
    turned_photo(tmp_path / "a.jpg", (30, 20))  # upright it is 20x30
    read, root = problems_of(tmp_path, size)
    problems = []
    try:
        read(root, problems=problems)
    except DataError as error:
        problems += error.problems
    found = examine({}, problems, VIEW)
    assert [f.fix for f in found if "upright" in f.what] == [kind.fix]


def test_what_a_reader_cannot_open_is_an_unreadable_picture(data):
    picture, mask = data.images[0].path, data.root / "PedMasks" / "one_box_mask.png"
    picture.write_bytes(b"text")
    damage(mask, "half")
    Image.new("RGB", (70, 90)).save(data.root / "PedMasks" / "two_kinds_mask.png")
    problems = []
    read_id_masks(data.root, problems=problems)
    found = {(Path(f.where).name, f.kind) for f in examine({}, problems, VIEW)}
    assert found == {
        ("crowded.png", Kind.UNREADABLE.title),
        ("one_box_mask.png", Kind.UNREADABLE.title),
        ("two_kinds_mask.png", Kind.ANNOTATION.title),
    }


def copy_picture(data, source, target):
    """The pixels of one image in the file of another, in another format; its record to match."""
    Image.open(data.images[source].path).save(data.images[target].path, compress_level=1)
    size = {"width": data.images[source].width, "height": data.images[source].height}
    images = list(data.images)
    images[target] = replace(images[target], **size, instances=())
    return replace(data, images=tuple(images))


def test_the_same_picture_twice(data):
    data = copy_picture(data, 3, 1)
    found = examine({"all": data}, (), VIEW)
    assert kinds(found) == {Kind.DUPLICATE_IMAGE.title}
    (finding,) = [f for f in found if f.kind == Kind.DUPLICATE_IMAGE.title]
    assert finding.where == str(data.images[3].path)
    assert str(data.images[1].path) in finding.what
    parts = {"all": data}
    assert same_pictures(parts, look_at_all(parts)) == [
        [("all", data.images[1].path), ("all", data.images[3].path)]
    ]


def test_the_same_picture_on_both_sides(data):
    data = copy_picture(data, 3, 1)
    names = [data.name_of(record) for record in data.images]
    parts = {"train": data.subset(names[:2]), "val": data.subset(names[2:])}
    found = examine(parts, (), VIEW)
    (leak,) = [f for f in found if f.kind == Kind.LEAK.title]
    assert "(val) has the pixels of" in leak.what
    assert "(train)" in leak.what
    assert found.index(leak) == 0
    assert Kind.DUPLICATE_IMAGE.title not in kinds(found)


def test_two_unreadable_pictures_are_not_the_same_picture(data):
    for i in (0, 1):
        damage(data.images[i].path, "text")
    assert kinds(errors_of(data)) == {Kind.UNREADABLE.title}
    assert kinds(examine({"all": data}, (), VIEW)) == {Kind.UNREADABLE.title}


def test_objects_classes_masks_and_notes_are_looked_at_too(data):
    thin = replace(data.images[0].instances[0], bbox=(4.0, 6.0, 1.0, 34.0))
    record = replace(data.images[0], instances=(thin, thin))
    data = replace(data, images=(record, data.images[1]), notes=("2 shapes left out",))
    assert kinds(examine({"all": data}, (), replace(VIEW, anchors=(1, 10)))) == {
        Kind.THIN.title, Kind.DUPLICATE_OBJECT.title, Kind.READER.title, Kind.LARGE.title
    }  # fmt: skip


def test_pictures_of_other_channels_than_the_networks_are_named(data):
    findings = examine({"train": data}, [], replace(VIEW, channels=4))
    unreadable = [finding for finding in findings if finding.kind == Kind.UNREADABLE.title]
    assert len(unreadable) == len(data.images)
    assert "has 3 channel(s), 4 wanted" in str(unreadable[0])


def test_pictures_are_decoded_once_for_all_parts(data, monkeypatch):
    from utils.doctor import picture_cache

    parts = {"train": data, "val": data}
    assert set(look_at_all(parts)) == {record.path for record in data.images}
    monkeypatch.setattr(
        picture_cache, "load_image", lambda path, channels: pytest.fail(f"decoded {path}")
    )
    assert set(look_at_all(parts)) == {record.path for record in data.images}
    assert all(isinstance(path, Path) for path in look_at_all(parts))
