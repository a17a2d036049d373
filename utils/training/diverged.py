"""A training that came to something that is no number: what is told of it, and the batch kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nets.contract import CompactMasks
from nets.weights_file import save_atomically
from utils.data.loader import Batch
from utils.data.records import RecordSet
from utils.training.panels import batch_panel

ADVICE = "lower --lr, lengthen --warmup or set --clip-norm"


@dataclass(frozen=True)
class Moment:
    """One training step: where in the run it was and what it came to."""

    epoch: int  # from 0
    step: int  # of the run, from 1
    losses: dict[str, float]
    lr: float
    scale: float | None = None  # of the gradients, for float16


class DivergedError(RuntimeError):
    """A loss, a gradient or a weight is no longer a finite number.

    Args:
        what: the message, without the ``moment``.
        moment: the step, which has not touched the weights; None outside of steps.
        batches: what the step was given.
    """

    def __init__(
        self, what: str, moment: Moment | None = None, batches: Sequence[Batch] = ()
    ) -> None:
        super().__init__(what if moment is None else f"{what} {described(moment)}")
        self.moment = moment
        self.batches = batches


def described(moment: Moment) -> str:
    """A step in words."""
    scale = "" if moment.scale is None else f", gradient scale {moment.scale:g}"
    return (
        f"in step {moment.step} (epoch {moment.epoch + 1}) at learning rate {moment.lr:.2e}{scale}"
        f" ({shown(moment.losses)})"
    )


def shown(losses: dict[str, float]) -> str:
    """Losses in one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items())


@contextmanager
def keeping_batch(data: RecordSet, path: Path | None) -> Iterator[None]:
    """Add to a ``DivergedError`` from within the step's images by name, and write the batch to
    ``path``, if there is one, for a second look, with a picture of it beside.

    The file holds plain tensors: ``torch.load(path)["images"]`` is a list of float32 (3, H, W), and
    ``["targets"]`` of dicts with boxes, labels and full-size masks.
    """
    try:
        yield
    except DivergedError as error:
        if not error.batches:
            raise
        raise DivergedError(with_batch_kept(error, data, path)) from error


def with_batch_kept(error: DivergedError, data: RecordSet, path: Path | None) -> str:
    """The message of an error whose batch is written to ``path``."""
    images = [image for images, _ in error.batches for image in images]
    targets = [target for _, targets in error.batches for target in targets]
    names = {record.image_id: str(record.path) for record in data.images}
    paths = [names.get(target["image_id"], f"scene {target['image_id']}") for target in targets]
    lines = [str(error), f"images: {', '.join(paths)}"]
    if path is not None:
        picture = path.with_suffix(".jpg")
        try:
            save_atomically(path, {"paths": paths, "images": images, "targets": plain(targets)})
            visible = [image.nan_to_num(0, 1, 0) for image in images]
            samples = list(zip(visible, targets, strict=True))
            batch_panel(samples, paths, data.classes).save(picture, quality=90)
            lines.append(f"the batch is kept in {path}, drawn in {picture.name}")
        except OSError as problem:  # the error itself is what matters
            lines.append(f"the batch could not be kept ({problem})")
    return "\n  ".join([*lines, advice(error.moment)])


def advice(moment: Moment | None) -> str:
    """What usually helps."""
    is_float16 = moment is not None and moment.scale is not None
    return ADVICE + ("; --precision bf16 and fp32 have no gradient scale" if is_float16 else "")


def plain(targets: Sequence[Any]) -> list[dict[str, Any]]:
    """Targets as plain values and tensors, their masks at full size."""
    return [
        {
            name: value.dense() if isinstance(value, CompactMasks) else value
            for name, value in target.items()
        }
        for target in targets
    ]
