"""Pictures of a run: the panel of augmented samples."""

import numpy as np
import pytest

from my_dataset import InstanceDataset, ShapesDataset, read_data
from utils.data.transforms import train_transforms
from utils.drawing import CAPTION_SIZE, PANEL_SIDE
from utils.training.panels import augmentation_panel

GAP, COLUMNS = 6, 4


def cells(dataset):
    """The pictures of a panel of square images, (rows, columns, side, side, 3)."""
    sheet = np.asarray(augmentation_panel(dataset)).astype(int)
    width, height = PANEL_SIDE + GAP, PANEL_SIDE + CAPTION_SIZE + 2 * GAP
    rows, columns = (sheet.shape[0] - GAP) // height, (sheet.shape[1] - GAP) // width
    sheet = sheet[GAP:, GAP:].reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return sheet[:, :, CAPTION_SIZE + GAP : height - GAP, :PANEL_SIDE]


def differ(one, other):
    return np.abs(one - other).max() > 20


def test_each_row_shows_an_image_and_what_becomes_of_it():
    plain = cells(ShapesDataset(3))
    assert plain.shape[:2] == (2, COLUMNS)
    assert not any(differ(row, row[0]) for row in plain), "without augmentation: the same"
    assert differ(plain[0], plain[1])

    flipped = cells(ShapesDataset(3, train_transforms(), compact_masks=True))
    for row, original in zip(flipped, plain[:, 0], strict=True):
        assert not differ(row[0], original)
    changed = [differ(picture, row[0]) for row in flipped for picture in row[1:]]
    assert 0 < sum(changed) < 6

    strong = cells(ShapesDataset(3, train_transforms("strong"), copy_paste=1.0))
    for row, original in zip(strong, plain[:, 0], strict=True):
        assert not differ(row[0], original)
        assert all(differ(row[a], row[b]) for a in range(COLUMNS) for b in range(a))


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (6, 2)])
def test_images_with_objects_are_shown(drawn_pennfudan, count, rows):
    data = read_data(drawn_pennfudan)  # its second image has no object
    shown = []

    class Watched(InstanceDataset):
        def read(self, key):
            shown.append(key.number)
            return super().read(key)

    picture = augmentation_panel(Watched(data.subset(data.names()[:count])))
    assert sorted(set(shown)) == [0, 2][:rows]
    assert picture.width > 4 * 300
    assert picture.height // 300 == rows
