"""Find objects in pictures and videos: overlays, COCO predictions, counts, labels, measurements.

python predict.py --weights MaskRCNN_9.pth                       # the held-out images
python predict.py --weights MaskRCNN_9.pth --source photos/ "more/*.png" one.jpg
python predict.py --weights best.pth --source clip.mp4 --track
python predict.py --weights best.pth --source photos/ --measurements --pixel-size 0.65um
python predict.py --weights best.pth --source photos/ --least-sure-first 50   # to be corrected
python predict.py --weights best.pth --source slide.tif --tile 1024
python predict.py --weights best.onnx --source photos/           # a file of tools.export
torchrun --nproc-per-node 2 predict.py --weights best.pth --source photos/
"""

from __future__ import annotations

from utils.command_line import parse
from utils.prediction.config import PredictConfig

if __name__ == "__main__":  # before torch is imported: that takes seconds, --help shall not
    settings = parse(PredictConfig, None, __doc__)

import nets.torch_pair  # noqa: F401  # isort: skip  (first: checks that torchvision fits torch)

import contextlib
import hashlib
import sys
from pathlib import Path

from nets.weights_file import WeightsFile
from utils.data.images import check_reading_rule, limit_pixels
from utils.data.records import DataError
from utils.device import choose_device
from utils.exit_codes import run
from utils.export.open_session import parts_of
from utils.interruption import Interruption
from utils.memory import keep_freed_memory
from utils.prediction.counts import counts_in_words
from utils.prediction.journal import Journal
from utils.prediction.outputs import Outputs
from utils.prediction.predictor import Predictor
from utils.prediction.review import write_review
from utils.prediction.run import Run
from utils.prediction.run_folder import open_folder, outputs_in
from utils.prediction.sources import SourceImage, find_sources, in_numbers, labelled_images
from utils.prediction.tables import Tables
from utils.prediction.threshold_text import thresholds_in_words
from utils.prediction.tiling import Tiling
from utils.prediction.videos import SourceVideo
from utils.prediction.wanted_classes import load_wanted
from utils.processes import Processes, start_processes
from utils.weights_lookup import find_weights, run_name


def main(config: PredictConfig) -> None:
    device = choose_device(config.device)
    keep_freed_memory(device)
    with (
        start_processes(device) as processes,
        Interruption() as interruption,
        interruption.deferred(),
    ):
        predict(config, processes, interruption)


def predict(config: PredictConfig, processes: Processes, interruption: Interruption) -> None:
    """Each process looks at its share of the pictures; the first one reports."""
    limit_pixels(config.most_pixels)
    path = find_weights(config.weights, config.output_root)
    model, wanted = load_wanted(path, config.classes)
    weights = model.weights
    check_reading_rule(weights.preprocessing)
    device, precision = model.place(config.device, config.precision, config.reference)
    predictor = Predictor(
        weights, device, precision, score_threshold=config.score_threshold,
        nms_threshold=config.nms_threshold, max_detections=config.max_detections, classes=wanted,
        reference=config.reference, session=model.session,
    )  # fmt: skip
    sources = list_sources(config, weights, processes)
    print(f"weights {model.about(device, precision)}")
    for note in model.limits():
        print(f"note: {note}")
    print(f"{in_numbers(sources)}, {thresholds_in_words(weights, config.score_threshold)}")

    folder = processes.from_first(open_output(config, path) if processes.is_first else Path())
    with contextlib.closing(Journal(folder, processes.rank)) as journal:
        todo = [number for number, source in enumerate(sources) if not journal.has(source)]
        todo = processes.from_first(todo)  # which others have not begun to change
        if len(todo) < len(sources):
            done = len(sources) - len(todo)
            print(f"{done} of them were done before (--overwrite looks at them again)")
        tables = Tables(folder, config, weights.classes, [source.name for source in sources])
        outputs = Outputs(folder, config)
        tiling = Tiling(config.tile, config.overlap) if config.tile else None
        looking = Run(
            predictor, outputs, journal, tables, interruption, processes, tiling, config.strict
        )
        total = looking.through([sources[number] for number in processes.share(todo)])
        seen = len(journal.pictures(tables.order))
        print(f"total in {seen} image{'' if seen == 1 else 's'}: {counts_in_words(total)}")
        if kept := sorted(processes.joined(dict.fromkeys(outputs.kept, ""))):
            whose = "a person's, or another image's"
            print(f"{len(kept)} labelme files are {whose}, and were kept, first {kept[0]}")
        looking.end()
        if config.least_sure_first and processes.is_first:
            pictures = {one.name: one for one in sources if isinstance(one, SourceImage)}
            notes = write_review(
                folder / "review", journal.records, pictures, weights.classes,
                predictor.thresholds, config.least_sure_first,
            )  # fmt: skip
            print(*notes, sep="\n")
    print(f"{outputs_in(folder)}: {folder}")
    if config.labelme == "beside":
        print("labelme files: beside the images")
    if failures := looking.failures:
        names = [f"{name}: {failures[name]}" for name in sorted(failures)]
        which = ":\n" + "\n".join(names) if processes.is_first else ": see process 0"
        raise DataError(f"{len(names)} of {in_numbers(sources)} could not be used{which}")


def list_sources(
    config: PredictConfig, weights: WeightsFile, processes: Processes
) -> list[SourceImage | SourceVideo]:
    """What to look at: what ``--source`` names, else the held-out images."""
    if not config.source:
        held_out = labelled_images(
            weights.data, weights.classes, config.data, config.format, config.reading,
            weights.channels,
        )  # fmt: skip
        return [*held_out]
    # One process looks, so that all have the same list: files come and go, and of the standard
    # input each process would read a part.
    found = find_sources(config.source, weights.channels) if processes.is_first else []
    return processes.from_first(found)


def open_output(config: PredictConfig, weights: Path) -> Path:
    """The folder for everything; that of the same run if it was stopped."""
    wanted = config.output or config.output_root / "runs" / "predict" / run_name(weights)
    digests = []
    for part in parts_of(weights):
        with open(part, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return open_folder(wanted, config.settings, " ".join(digests), config.overwrite)


if __name__ == "__main__":
    sys.exit(run(main, settings))
