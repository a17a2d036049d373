"""Why a number is not there: nothing that it could be made of was labelled, or found."""

from __future__ import annotations

from utils.evaluation.coco_evaluator import Metrics, names_of
from utils.evaluation.coco_parameters import AREAS, IOU_TYPES, MOST_DETECTIONS
from utils.evaluation.matches import Matches

SIZES = {
    "s": "under 32 x 32 px in area",
    "m": "between 32 x 32 and 96 x 96 px in area",
    "l": "over 96 x 96 px in area",
}
NO_MASKS = "the predictions hold no masks"
OF_PAIRS = (
    "matched/IoU",
    "matched/Dice",
    "matched/BoundaryIoU",
    "area/bias",
    "area/low",
    "area/high",
)


def undefined_numbers(
    metrics: Metrics,
    matches: Matches,
    classes: tuple[str, ...],
    kinds: tuple[str, ...] = IOU_TYPES,
    max_dets: int = MOST_DETECTIONS,
) -> dict[str, str]:
    """The headline numbers that ``metrics`` lacks, each with the reason.

    Args:
        matches: of any kind; what is labelled is the same in all.
        kinds: of what was predicted: without masks there is no ``segm``.
    """
    objects = dict(zip(AREAS, matches.objects.sum(axis=(1, 2)).tolist(), strict=True))
    per_class = matches.objects[0].sum(axis=0)
    reasons: dict[str, str] = {}
    for kind in IOU_TYPES:
        for name in names_of(max_dets):
            size = name[-1] if name[-1] in SIZES else ""
            if kind not in kinds:
                reasons[f"{kind}/{name}"] = NO_MASKS
            elif size and objects["all"]:
                reasons[f"{kind}/{name}"] = f"no labelled object is {SIZES[size]}"
            else:
                reasons[f"{kind}/{name}"] = "no object is labelled"
        for label, count in zip(classes, per_class, strict=True):
            if not count:
                for name in ("AP", "AP50"):
                    reasons[f"{kind}/{name}/{label}"] = f"no {label} is labelled"
    few = "fewer than two objects were found" if "segm" in kinds else NO_MASKS
    reasons |= dict.fromkeys(OF_PAIRS, few)
    reasons |= {"point/recall": "no object is labelled", "point/precision": "nothing was found",
                "point/F1": "nothing is labelled or found"}  # fmt: skip
    return {name: reason for name, reason in reasons.items() if name not in metrics}
