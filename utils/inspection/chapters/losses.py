"""The losses' part of the chapter on the heads: how large they are, and which RoIs' highest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torchvision.ops import box_iou

from nets.losses import LOSSES
from utils.inspection.canvas import NEGATIVE, OBJECT, POSITIVE
from utils.inspection.chapter import Figure, Key, Table
from utils.inspection.chapters.cards import NARROW, card, grid, map_at, stacked
from utils.inspection.close_up import close_up
from utils.inspection.detections import SAME_PLACE, distinct, refined_boxes
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
LEAST_SHARE = 0.05  # of the highest: what is lower is not shown
WORST = f"of those that overlap by an IoU above {SAME_PLACE:g} only the one with the highest"


def loss_parts(subject: Subject, taught: TrainingTrace) -> tuple[Figure | Table, ...]:
    """The five losses of the image, and the RoIs with the highest of three of them."""
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
        f"{worst}. The box head's are means over {len(taught.rois)} RoIs, the boxes that are drawn "
        f"for training, the mask head's over the {len(taught.positive)} positive ones, which are "
        "on objects; the pictures below show those with the highest loss. Compare with other "
        "images, and with val/loss in TensorBoard: a much higher loss marks a hard image or a "
        "wrong label."
    )
    return Table("The five losses of this image", ("loss", "value", "share", "what it is"),
                 rows, text)  # fmt: skip


def class_costs(subject: Subject, taught: TrainingTrace) -> Figure | None:
    """The RoIs whose class is predicted worst; None without RoIs."""
    losses = taught.class_losses().float()
    places = _worst(taught.rois, losses)
    if not places:
        return None
    scores = taught.class_logits.float().softmax(-1)
    names = ("background", *subject.classes)
    cards = []
    for place in places:
        label, predicted = int(taught.roi_labels[place]), int(scores[place].argmax())
        canvas = close_up(subject.input_pixels, WIDE_SIDE, [taught.rois[place]])
        canvas.boxes(taught.target["boxes"], OBJECT, width=2)
        canvas.box(taught.rois[place], POSITIVE if label else NEGATIVE, "dashed")
        text = f"loss {losses[place]:.2f}: label {names[label]} ({scores[place, label]:.2f})"
        if predicted != label:
            text += f", predicted {names[predicted]} ({scores[place, predicted]:.2f})"
        if len(taught.target["boxes"]):
            over = box_iou(taught.rois[place][None], taught.target["boxes"]).max()
            text += f"; IoU {over:.2f} with an object"
        cards.append(card([canvas.picture()], text))
    text = (
        f"{_share(losses, places, 'loss_classifier', taught)} In brackets is the "
        "probability that the network gives. An RoI with an IoU near 0.5 is a border case, and "
        "some loss is normal. Where the label is plainly right the network has more to learn; "
        "where the prediction is, the label is wrong or missing."
    )
    keys = (
        Key(POSITIVE, "RoI taught as an object", "dashed"),
        Key(NEGATIVE, "RoI taught as background", "dashed"),
        Key(OBJECT, "labelled object"),
    )
    return Figure(
        "class-costs", "The RoIs of the highest class loss: which is right, label or prediction?",
        grid(cards, 3), text, keys,
    )  # fmt: skip


def box_costs(subject: Subject, taught: TrainingTrace) -> Figure | None:
    """The RoIs whose box is predicted worst; None without positive RoIs."""
    losses = taught.box_losses().float()
    places = _worst(taught.rois, losses)
    if not places:
        return None
    heads, size = subject.model.roi_heads, subject.trace.size
    moved = refined_boxes(heads, taught.box_regression, taught.rois, size)
    cards = []
    for place in places:
        roi, predicted = taught.rois[place], moved[place, taught.roi_labels[place]]
        label = taught.target["boxes"][taught.roi_objects[place]]
        canvas = close_up(subject.input_pixels, WIDE_SIDE, [roi, predicted, label])
        canvas.box(label, OBJECT)
        canvas.box(predicted, POSITIVE)
        canvas.box(roi, POSITIVE, "dashed")
        before, after = (box_iou(label[None], box[None]).item() for box in (roi, predicted))
        name = subject.classes[int(taught.roi_labels[place]) - 1]
        text = (
            f"loss {losses[place]:.2f}, {name}: IoU with the label {before:.2f}, then {after:.2f}"
        )
        cards.append(card([canvas.picture()], text))
    text = (
        f"{_share(losses, places, 'loss_box_reg', taught)} Good is a solid blue box on the "
        "green one; where it stays with the dashed one the head has not learned to move it, and "
        "where the green one does not fit the object the label is wrong."
    )
    keys = (
        Key(POSITIVE, "RoI", "dashed"), Key(POSITIVE, "predicted: where it is moved"),
        Key(OBJECT, "labelled box: where it should be"),
    )  # fmt: skip
    return Figure(
        "box-costs", "The RoIs of the highest box loss: does solid blue lie on green?",
        grid(cards, 3), text, keys,
    )  # fmt: skip


def mask_costs(subject: Subject, taught: TrainingTrace) -> Figure | None:
    """The RoIs whose mask is predicted worst; None without positive RoIs."""
    losses, rois = taught.mask_losses(), taught.rois[taught.positive]
    places = _worst(rois, losses)
    if not places:
        return None
    targets, labels = taught.mask_targets(), taught.roi_labels[taught.positive]
    cards = []
    for place in places:
        canvas = close_up(subject.input_pixels, SIDE, [rois[place]], NARROW)
        predicted = taught.mask_logits[place, labels[place]].float().sigmoid()
        masks = targets[place], predicted
        maps = [map_at(canvas, one.float().numpy(), rois[place]) for one in masks]
        canvas.box(rois[place], POSITIVE, "dashed", width=2)
        wrong = ((predicted >= 0.5) != (targets[place] >= 0.5)).float().mean()
        name = subject.classes[int(labels[place]) - 1]
        text = (
            f"loss {losses[place]:.2f}, {name}: {wrong:.0%} of the points on the wrong side of 0.5"
        )
        cards.append(card([canvas.picture(), *maps], text))
    sheet = grid(cards, 2)
    scale = colour_scale(min(sheet.width, 400), "0: not the object", "1: the object")
    text = (
        f"{_share(losses, places, 'loss_mask', taught)} Of each: the RoI, the mask that is "
        "labelled, the mask predicted. Some loss along the rim is normal; a region in only one of "
        "the two masks was missed or mislabelled."
    )
    return Figure(
        "mask-costs", "The RoIs of the highest mask loss: labelled (middle), predicted (right)",
        stacked([sheet, scale]), text, (Key(POSITIVE, "RoI taught as an object", "dashed"),),
    )  # fmt: skip


def _worst(rois: Tensor, losses: Tensor) -> list[int]:
    """The RoIs with the highest loss, at different places."""
    high = (losses > LEAST_SHARE * max(losses.tolist(), default=0)).nonzero()[:, 0]
    return high[distinct(rois[high], losses[high], MOST)].tolist()


def _share(losses: Tensor, places: Sequence[int], name: str, taught: TrainingTrace) -> str:
    part = float(losses[places].sum() / losses.sum())
    return (
        f"{name} is {taught.losses[name]:.3f}, the mean over {len(losses)} RoIs. Shown are the "
        f"{len(places)} with the highest loss ({WORST}); they make {part:.0%} of the sum."
    )
