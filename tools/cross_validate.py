"""Train once per fold and say how much the result depends on what was held out.

    python -m tools.cross_validate --data my_folder
    python -m tools.cross_validate --folds 5 --data my_folder --group-by "patient\\d+" --epochs 20

Takes every flag of train.py but --fold. Each fold is a run of its own, NAME-fold-1, NAME-fold-2...;
runs/NAME-folds/metrics.json holds the mean and standard deviation of every metric. A series that
was interrupted goes on with the first fold it lacks when the same command is given again.
"""

from __future__ import annotations

import json
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.command_line import build_parser, parse
from utils.config import TrainConfig, to_dict
from utils.data.images import limit_pixels
from utils.data.records import DataError
from utils.folders import new_folder, numbered, safe_name, write_json

FOLDS = 5
TRAIN = Path(__file__).resolve().parent.parent / "train.py"
SETTLED = ("freeze", "batch_size")  # args.json holds what "auto" came to
SECONDS_TO_END = 10.0  # that an interrupted training has to write its files
SPREAD = (
    "std is the sample standard deviation over the folds. Folds share most of their training\n"
    "images, so it tells how much the score depends on what was held out; it is not a confidence\n"
    "interval of one model."
)


@dataclass(frozen=True)
class Series:
    """The folder of a cross-validation: which runs are its folds, and their results."""

    folder: Path
    args: dict[str, Any]  # of train.py, without the fold
    data_fingerprint: str

    @classmethod
    def open(cls, folder: Path, args: dict[str, Any], data_fingerprint: str) -> Series:
        """The newest series of this name if it was interrupted and is of the same arguments and
        data, else a new one."""
        newest = None
        for name in numbered(folder.name):
            if not folder.with_name(name).exists():
                break
            newest = cls(folder.with_name(name), args, data_fingerprint)
        if newest and newest.is_unfinished():
            return newest
        series = cls(new_folder(folder), args, data_fingerprint)
        series.write({})
        return series

    def is_unfinished(self) -> bool:
        """Whether it is this series, and folds of it are missing."""
        same = plain({"args": self.args, "data_fingerprint": self.data_fingerprint})
        try:
            found = read_json(self.folder / "folds.json")
            return {name: found[name] for name in same} == same and not self.metrics_file.exists()
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def metrics_file(self) -> Path:
        """Where the results go when all folds are trained."""
        return self.folder / "metrics.json"

    def runs(self) -> dict[str, str]:
        """The names in runs/ of the folds that are trained and still there, by fold."""
        runs = read_json(self.folder / "folds.json")["runs"]
        root = self.folder.parent
        return {n: name for n, name in runs.items() if (root / name / "metrics.json").exists()}

    def write(self, runs: dict[str, str]) -> None:
        """Note which runs are trained."""
        known = {"args": self.args, "data_fingerprint": self.data_fingerprint, "runs": runs}
        write_json(self.folder / "folds.json", known)


def main(config: TrainConfig, argv: Sequence[str]) -> None:
    limit_pixels(config.max_pixels)
    folds = config.folds or FOLDS
    fingerprint = fingerprint_of(config)
    series = Series.open(
        config.output_root / "runs" / safe_name(f"{config.name}-folds"),
        to_dict(replace(config, fold=1)), fingerprint,
    )  # fmt: skip
    for fold in range(1, folds + 1):
        if str(fold) in series.runs():
            print(f"fold {fold} of {folds}: is trained, in runs/{series.runs()[str(fold)]}")
            continue
        name = f"{config.name}-fold-{fold}"
        print(f"fold {fold} of {folds}", flush=True)
        found = train_fold(replace(config, fold=fold, name=name), argv)
        series.write({**series.runs(), str(fold): found.name})
    runs = [config.output_root / "runs" / series.runs()[str(fold + 1)] for fold in range(folds)]
    check_same_data(runs, fingerprint)
    results = summarise([read_json(path / "metrics.json") for path in runs])
    write_json(series.metrics_file, results)
    print(f"{folds_table(results)}\n{SPREAD}\nwritten: {series.metrics_file}")


def fingerprint_of(config: TrainConfig) -> str:
    """Read the data as train.py will; what is wrong with it is told before anything is trained."""
    from utils.open_data import open_configured  # needs torch, which parsing does not wait for

    return open_configured(config).split.data_fingerprint


def train_fold(config: TrainConfig, argv: Sequence[str]) -> Path:
    """Train one fold in a process of its own; returns its folder in ``runs/``.

    ``argv`` are the arguments of train.py; those that ``config`` differs in follow, and count.

    Raises:
        SystemExit: training failed, with its exit code.
        KeyboardInterrupt: it was interrupted.
    """
    before = runs_named(config.output_root / "runs", config.name)
    own = ["--folds", str(config.folds), "--fold", str(config.fold), "--name", config.name]
    code = run_process([sys.executable, str(TRAIN), *argv, *own])
    if code:
        again = shlex.join(["python", "-m", "tools.cross_validate", *argv])
        print(f"fold {config.fold} ended with {code}; to go on from it: {again}", file=sys.stderr)
        raise SystemExit(code)
    made = [
        folder
        for folder in runs_named(config.output_root / "runs", config.name)
        if folder not in before and is_of(folder, config)
    ]
    if not made:
        raise DataError(
            f"{config.output_root / 'runs'}: holds no new run {config.name} with these settings "
            "and a metrics.json; was it moved?"
        )
    return made[0]


def runs_named(root: Path, name: str) -> list[Path]:
    """The runs of a name, those with a number behind it too."""
    found: list[Path] = []
    for candidate in numbered(safe_name(name)):
        if not (root / candidate).exists():
            return found
        found.append(root / candidate)
    return found


def is_of(folder: Path, config: TrainConfig) -> bool:
    """Whether a run was made with these settings, and has results."""
    try:
        found, wanted = read_json(folder / "args.json"), plain(to_dict(config))
        same = all(found[name] == value for name, value in wanted.items() if name not in SETTLED)
        return same and (folder / "metrics.json").exists()
    except (OSError, ValueError):
        return False


def run_process(command: Sequence[str]) -> int:
    """Run a command in this terminal; returns its exit code, 128 and the signal's number if it was
    killed.

    An interruption or a termination of this process ends the other one first.
    """
    process = subprocess.Popen(command)

    def pass_on(number: int, frame: object) -> None:
        process.send_signal(number)

    previous = signal.signal(signal.SIGTERM, pass_on)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        end_process(process)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    return code if code >= 0 else 128 - code


def end_process(process: subprocess.Popen[bytes]) -> None:
    """See an interrupted process to its end.

    Ctrl-C in a terminal has reached it too, so it has time to save; then it is told once more. A
    second Ctrl-C ends it at once.
    """
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()


def check_same_data(runs: Sequence[Path], fingerprint: str) -> None:
    """Raise ``DataError`` if a fold was trained on other data than was read in the beginning."""
    for path in runs:
        if read_json(path / "split.json")["data_fingerprint"] != fingerprint:
            raise DataError(
                f"{path}: was trained on other images or labels than the first fold; they changed "
                "on the way. Start again under another --name"
            )


def summarise(folds: Sequence[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Mean, sample standard deviation and values of every metric that any fold has.

    A metric that is undefined in a fold is null there, is counted in ``undefined``, and does not
    enter the mean. ``std`` is absent where fewer than two folds define the metric.
    """
    results: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for metrics in folds for name in metrics):
        values = [metrics[name] for metrics in folds if name in metrics]
        results[name] = {
            "mean": statistics.fmean(values),
            **({"std": statistics.stdev(values)} if len(values) > 1 else {}),
            "folds": [metrics.get(name) for metrics in folds],
            "undefined": len(folds) - len(values),
        }
    return results


def folds_table(results: dict[str, dict[str, Any]]) -> str:
    """One line per metric: mean, standard deviation, each fold; ``-`` where undefined."""
    width = max((len(name) for name in results), default=0)
    count = max((len(metric["folds"]) for metric in results.values()), default=0)
    heads = ["mean", "std", *(f"fold {n + 1}" for n in range(count))]
    lines = [f"{'':{width}}" + "".join(f"{head:>8}" for head in heads)]
    for name, metric in results.items():
        values = [metric["mean"], metric.get("std"), *metric["folds"]]
        shown = ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append(f"{name:{width}}" + "".join(f"{text:>8}" for text in shown))
    if any(metric["undefined"] for metric in results.values()):
        lines.append("-: undefined, the fold holds no object of that size or class; not averaged")
    return "\n".join(lines)


def plain(content: Any) -> Any:
    """What a JSON file with this content is read as: lists for tuples."""
    return json.loads(json.dumps(content))


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_arguments(argv: Sequence[str]) -> TrainConfig:
    """The settings of the first fold; exits with status 2 on a wrong flag."""
    parser = build_parser(TrainConfig, __doc__)
    given = vars(parser.parse_args(argv))
    if "fold" in given:
        parser.error("--fold is one of those that are all trained here; leave it out")
    folds = str(given.get("folds", FOLDS))
    config = parse(TrainConfig, [*argv, "--folds", folds, "--fold", "1"], __doc__)
    return replace(config, name=config.name or Path(config.data).resolve().name)


def command(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    config = read_arguments(argv)
    from utils.exit_codes import INTERRUPTED, run  # needs torch, which parsing does not wait for

    code = run(lambda config: main(config, argv), config)
    if code == INTERRUPTED:
        again = shlex.join(["python", "-m", "tools.cross_validate", *argv])
        print(f"to go on with the fold that was interrupted: {again}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
