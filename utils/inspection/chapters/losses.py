"""The losses' part of the fifth chapter: what the image costs, and which RoIs cost most."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.ops import box_iou

from nets.losses import LOSSES
from utils.inspection.canvas import NEGATIVE, NEUTRAL, OBJECT, POSITIVE
from utils.inspection.chapter import Figure, Key, Table
from utils.inspection.chapters.cards import NARROW, card, grid, map_at, stacked
from utils.inspection.close_up import close_up
from utils.inspection.detections import refined_boxes, spread
from utils.inspection.heat_map import colour_scale
from utils.inspection.subject import Subject
from utils.inspection.training_trace import TrainingTrace

MEANINGS = {
    "loss_classifier": "box head: object or background, and of which class",
    "loss_box_reg": "box head: how far from the labelled box",
    "loss_mask": "mask head: which pixels of the box are the object's",
    "loss_objectness": "RPN: object or background at the anchors",
    "loss_rpn_box_reg": "RPN: how far from the labelled box",
}
MOST = 6
WIDE_SIDE, SIDE = 330, 160
LEAST_SHARE = 0.05  # of the highest: what costs less is not shown
WORST = "of those that overlap by more than half only the one that costs most"


def loss_parts(subject: Subject, taught: TrainingTrace) -> tuple[Figure | Table, ...]:
    """The five losses of the image, and the RoIs that cost most of three of them."""
    figures = (
        class_costs(subject, taught), box_costs(subject, taught), mask_costs(subject, taught)
    )  # fmt: skip
    return (loss_table(taught), *(figure for figure in figures if figure))


def loss_table(taught: TrainingTrace) -> Table:
    """The five losses."""
    total = sum(taught.losses.values())
    rows = tuple(
        (name, f"{taught.losses[name]:.4f}", f"{taught.losses[name] / (total or 1):.0%}",
         MEANINGS[name])
        for name in LOSSES
    )  # fmt: skip
    worst = max(taught.losses, key=taught.losses.__getitem__)
    text = (
        f"What training on this image would make smaller: their sum, {total:.3f}. The largest is "
        f"{worst}. The box head's and the mask head's are means over {len(taught.rois)} boxes "
        f"(RoIs) that are drawn for training, {len(taught.positive)} of them on objects; the "
        "pictures below show which of these cost most. Compare with other images, and with "
        "val/loss in TensorBoard: a much higher loss marks a hard image or a wrong label."
    )
    return Table("The five losses of this image", ("loss", "value", "share", "what it is"),
                 rows, text)  # fmt: skip


def class_costs(subject: Subject, taught: TrainingTrace) -> Figure | None:
    """The RoIs whose class is taken most wrongly; None without RoIs."""
    losses = taught.class_losses().float()
    places = _worst(taught.rois, losses)
    if not places:
        return None
    scores = taught.class_logits.float().softmax(-1)
    names = ("background", *subject.classes)
    cards = []
    for place in places:
        asked, said = int(taught.roi_labels[place]), int(scores[place].argmax())
        canvas = close_up(subject.input_pixels, WIDE_SIDE, [taught.rois[place]])
        canvas.boxes(taught.target["boxes"], OBJECT, width=2)
        canvas.box(taught.rois[place], POSITIVE if asked else NEGATIVE)
        text = f"loss {losses[place]:.2f}: asked for {names[asked]} ({scores[place, asked]:.2f})"
        text += f", said {names[said]} ({scores[place, said]:.2f})" if said != asked else ""
        if len(taught.target["boxes"]):
            over = box_iou(taught.rois[place][None], taught.target["boxes"]).max()
            text += f"; IoU {over:.2f} with an object"
        cards.append(card([canvas.picture()], text))
    text = (
        f"{_share(losses, places, 'loss_classifier', taught)} In brackets is the "
        "probability that the network gives. An RoI with an IoU near 0.5 is a border case and may "
        "cost something. Where the label is plainly right the network has more to learn; where the "
        "network is, the label is wrong or missing."
    )
    keys = (
        Key(POSITIVE, "RoI taught as an object"),
        Key(NEGATIVE, "RoI taught as background"),
        Key(OBJECT, "labelled object"),
    )
    return Figure(
        "class-costs", "Which RoIs cost most for their class: who is right, label or network?",
        grid(cards, 3), text, keys,
    )  # fmt: skip


def box_costs(subject: Subject, taught: TrainingTrace) -> Figure | None:
    """The RoIs that are moved most wrongly; None without positive RoIs."""
    losses = taught.box_losses().float()
    places = _worst(taught.rois, losses)
    if not places:
        return None
    heads, size = subject.model.roi_heads, subject.trace.size
    moved = refined_boxes(heads, taught.box_regression, taught.rois, size)
    cards = []
    for place in places:
        roi, said = taught.rois[place], moved[place, taught.roi_labels[place]]
        asked = taught.target["boxes"][taught.roi_objects[place]]
        canvas = close_up(subject.input_pixels, WIDE_SIDE, [roi, said, asked])
        canvas.box(asked, OBJECT)
        canvas.box(said, POSITIVE)
        canvas.box(roi, NEUTRAL, "dashed")
        before, after = (box_iou(asked[None], box[None]).item() for box in (roi, said))
        name = subject.classes[int(taught.roi_labels[place]) - 1]
        text = (
            f"loss {losses[place]:.2f}, {name}: IoU with the label {before:.2f}, then {after:.2f}"
        )
        cards.append(card([canvas.picture()], text))
    text = (
        f"{_share(losses, places, 'loss_box_reg', taught)} Good is a blue box on the green one; "
        "where it stays with the yellow one the head has not learned to move it, and where the "
        "green one does not fit the object the label is wrong."
    )
    keys = (
        Key(NEUTRAL, "RoI", "dashed"), Key(POSITIVE, "where it is moved"),
        Key(OBJECT, "where it should be: labelled box"),
    )  # fmt: skip
    return Figure(
        "box-costs", "Which RoIs cost most for their box: does blue lie on green?",
        grid(cards, 3), text, keys,
    )  # fmt: skip


def mask_costs(subject: Subject, taught: TrainingTrace) -> Figure | None:
    """The RoIs whose masks are most wrong; None without positive RoIs."""
    losses, rois = taught.mask_losses(), taught.rois[taught.positive]
    places = _worst(rois, losses)
    if not places:
        return None
    targets, labels = taught.mask_targets(), taught.roi_labels[taught.positive]
    cards = []
    for place in places:
        canvas = close_up(subject.input_pixels, SIDE, [rois[place]], NARROW)
        said = taught.mask_logits[place, labels[place]].float().sigmoid()
        maps = [map_at(canvas, one.float().numpy(), rois[place]) for one in (targets[place], said)]
        canvas.box(rois[place], POSITIVE, width=2)
        wrong = ((said >= 0.5) != (targets[place] >= 0.5)).float().mean()
        name = subject.classes[int(labels[place]) - 1]
        text = (
            f"loss {losses[place]:.2f}, {name}: {wrong:.0%} of the points on the wrong side of 0.5"
        )
        cards.append(card([canvas.picture(), *maps], text))
    sheet = grid(cards, 2)
    scale = colour_scale(min(sheet.width, 400), "0: not the object", "1: the object")
    text = (
        f"{_share(losses, places, 'loss_mask', taught)} Of each: the RoI, the mask asked for, the "
        "mask said. Rims cost something always; a part that only one of both has is either missed "
        "by the network or drawn wrongly in the label."
    )
    return Figure(
        "mask-costs", "Which RoIs cost most for their mask: asked (middle) against said (right)",
        stacked([sheet, scale]), text, (Key(POSITIVE, "RoI taught as an object"),),
    )  # fmt: skip


def _worst(rois: Tensor, losses: Tensor) -> list[int]:
    """The RoIs that cost most, at different places."""
    costly = (losses > LEAST_SHARE * max(losses.tolist(), default=0)).nonzero()[:, 0]
    return costly[spread(rois[costly], losses[costly], MOST)].tolist()


def _share(losses: Tensor, places: Sequence[int], name: str, taught: TrainingTrace) -> str:
    part = float(losses[places].sum() / losses.sum())
    return (
        f"{name} is {taught.losses[name]:.3f}, the mean over {len(losses)} RoIs. Shown are the "
        f"{len(places)} that cost most ({WORST}); they make {part:.0%} of the sum."
    )
