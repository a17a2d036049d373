"""The page on adding a format is followed to the letter, in a copy of the project."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_commands import CPU, NETWORK, REPOSITORY, TINY, run_in

PAGE = REPOSITORY / "docs" / "own_format.md"


@pytest.fixture(scope="module")
def with_circles(project):
    """The project with the page's reader in it, beside a folder of plates."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    with open(project / "my_dataset.py", "a", encoding="utf-8") as file:
        file.write("\n\n" + code)
    draw_plates(project / "plates")
    return project


def draw_plates(folder):
    folder.mkdir()
    rows = ["image,class,x,y,radius"]
    for n in range(10):
        picture = Image.new("RGB", (80, 64), (30, 30, 30))
        for name, colour, x in (("coli", (220, 60, 60), 22), ("yeast", (60, 220, 60), 58)):
            y, radius = 20 + 2 * n, 9 + n % 4
            box = (x - radius, y - radius, x + radius, y + radius)
            ImageDraw.Draw(picture).ellipse(box, colour)
            rows.append(f"plate {n}.png,{name},{x},{y},{radius}")
        picture.save(folder / f"plate {n}.png")
    rows.append("plate 0.png,coli,500,500,3")
    (folder / "circles.csv").write_text("\n".join(rows), encoding="utf-8")


def test_the_page_is_short():
    code = re.search(r"def read_circles.*?\n\n\n", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len(code.strip().splitlines()) <= 20


def test_check_train_test_predict_and_convert_work(with_circles):
    project = with_circles
    checked = run_in(project, "-m", "tools.check", "plates", "--output", "checked")
    assert re.search(r"coli +10\nyeast +10", checked)
    trained = run_in(
        project, "train.py", "--data", "plates", "--epochs", "1", *NETWORK, *TINY, *CPU
    )
    assert re.search(r"training: 8 images, 16 objects of coli, yeast, .*\(circles\)", trained)
    split = json.loads((project / "runs/plates/split.json").read_text(encoding="utf-8"))
    assert len(split["val"]) == 2
    assert "segm" in run_in(project, "test.py", *CPU)
    assert "total in 2 images" in run_in(project, "predict.py", *CPU)
    run_in(project, "-m", "tools.convert", "plates", "--to", "coco", "plates_coco")
    coco = json.loads((project / "plates_coco/annotations.json").read_text(encoding="utf-8"))
    assert [category["name"] for category in coco["categories"]] == ["coli", "yeast"]
    areas = [a["area"] for a in coco["annotations"] if a["image_id"] == coco["images"][0]["id"]]
    assert np.allclose(areas, np.pi * 9**2, rtol=0.05)


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("image,class,x,y,radius\na.png,coli,1,2,abc", "abc"),
        ("image;class;x;y;radius\na.png;coli;1;2;3", "'x'"),
        ("image,class,x,y,radius\na.png,coli,1", "NoneType"),
    ],
)
def test_a_wrong_table_ends_with_a_message(with_circles, tmp_path, table, wrong):
    (tmp_path / "set").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "circles.csv").write_text(table, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "tools.check", tmp_path / "set", "--output", tmp_path / "out"],
        cwd=with_circles, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert result.returncode == 4
    assert "circles.csv" in result.stderr
    assert wrong in result.stderr
    assert "Traceback" not in result.stderr
