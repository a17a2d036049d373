"""The commands of the labelme page do what it says, one after the other in a fresh folder."""

import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from test_commands import CPU, NETWORK, REPOSITORY, TINY, run_in

PAGE = REPOSITORY / "docs" / "labelme.md"
SCENES = 10


def documented():
    """The page's commands; labelme itself is not ours to start."""
    text = PAGE.read_text(encoding="utf-8").split("## Was this run?")[0]
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("python")]


def draw(folder, count):
    folder.mkdir()
    for n in range(count):
        pixels = np.zeros((64, 80, 3), np.uint8)
        pixels[10:40, 8 + n : 50] = (200, 10 * n, 60)
        Image.fromarray(pixels).save(folder / f"photo {n}.png")


def label(folder):
    """What labelme writes beside each picture."""
    for path in folder.glob("*.png"):
        n = int(path.stem[-4:]) - 1
        shape = {"label": "box", "shape_type": "rectangle", "points": [[50, 40], [8 + n, 10]],
                 "group_id": None, "flags": {}, "description": "", "mask": None}  # fmt: skip
        content = {"version": "6.3.1", "flags": {}, "shapes": [shape], "imagePath": path.name,
                   "imageData": None, "imageHeight": 64, "imageWidth": 80}  # fmt: skip
        path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.slow
def test_every_command_of_the_page(project):
    draw(project / "photos", SCENES)
    (project / "photos" / "broken.jpg").write_bytes(b"no picture")
    draw(project / "new_photos", 2)
    outputs = {}
    for command in documented():
        _, *arguments = shlex.split(command)
        if arguments[0] == "train.py":
            arguments += ["--epochs", "1", *NETWORK, *TINY, *CPU]
        outputs[" ".join(arguments[:5])] = run_in(project, *arguments)
        if "tools.gather" in arguments:
            label(project / "my_labels")
    assert len(outputs) == 7
    assert (
        f"{SCENES} of {SCENES + 1} pictures"
        in outputs["-m tools.gather photos my_labels --name-pattern"]
    )
    assert "nothing found" in outputs["-m tools.check my_labels"]
    assert (project / "runs/check/my_labels/page.html").is_file()
    assert (project / "runs/my_labels/train_batch0.jpg").is_file()
    assert "segm" in outputs["test.py"]
    assert "total in 2 images" in outputs["predict.py --weights best.pth --source new_photos"]
    assert {path.name for path in (project / "runs/predict/my_labels").iterdir()} >= {
        "predictions.json", "counts.csv",
    }  # fmt: skip
    coco = json.loads((project / "my_coco/annotations.json").read_text(encoding="utf-8"))
    assert len(coco["annotations"]) == SCENES
    assert sorted(path.name for path in (project / "my_pngs").iterdir()) == [
        "img", "label", "label_names", "label_viz",
    ]  # fmt: skip
    for path in (project / "my_pngs/img").iterdir():
        assert Image.open(path).size == (128, 64)
