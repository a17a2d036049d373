"""What a network is taught from one image: sampled anchors and RoIs, their targets, the losses.

torchvision's RPN and RoI heads draw and match by themselves; what their methods return is kept
while they compute the losses that ``nets.detect.detect`` reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from nets.detect import fixed_seed, heads_compute_losses
from utils.inspection.trace import on_cpu, outputs_of


@dataclass(frozen=True)
class TrainingTrace:
    """What one image teaches; all tensors are on the CPU. A are all anchors, R the sampled RoIs, Q
    the positive ones among them, in the same order; K are the classes without background.

    Attributes:
        target: ``boxes``, ``labels`` and ``masks`` of the objects in the network's input.
        anchor_labels: 1 object, 0 background, -1 ignored, by the RPN's matcher, float32 (A,).
        sampled_anchors: which of the positive, and which of the negative anchors the RPN's loss is
            made of, two bool (A,).
        rois: boxes (R, 4), xyxy in pixels of the input.
        roi_labels: int64 (R,), 0 for background.
        roi_objects: the object each is matched to, int64 (R,); it means nothing for background.
        roi_deltas: what the box head is asked to move the RoIs by, (R, 4), in the box coder's
            units.
        class_logits: (R, K + 1).
        box_regression: (R, (K + 1) * 4).
        mask_logits: of the positive RoIs, (Q, K + 1, 28, 28).
        losses: the five of torchvision, by name.
    """

    target: dict[str, Any]
    anchor_labels: Tensor
    sampled_anchors: tuple[Tensor, Tensor]
    rois: Tensor
    roi_labels: Tensor
    roi_objects: Tensor
    roi_deltas: Tensor
    class_logits: Tensor
    box_regression: Tensor
    mask_logits: Tensor
    losses: dict[str, float]

    @property
    def positive(self) -> Tensor:
        """The places of the positive RoIs among all, int64 (Q,)."""
        return torch.where(self.roi_labels > 0)[0]

    def mask_targets(self) -> Tensor:
        """What the mask head is asked for in each positive RoI, float32 (Q, 28, 28) in 0..1."""
        positive, side = self.positive, self.mask_logits.shape[-1]
        if not len(positive):
            return self.mask_logits.new_zeros(0, side, side)
        objects = self.roi_objects[positive]
        return project_masks_on_boxes(self.target["masks"], self.rois[positive], objects, side)

    def mask_losses(self) -> Tensor:
        """The mask loss of each positive RoI, float32 (Q,); ``loss_mask`` is their mean."""
        positive = self.positive
        chosen = self.mask_logits[torch.arange(len(positive)), self.roi_labels[positive]].float()
        loss = F.binary_cross_entropy_with_logits(chosen, self.mask_targets(), reduction="none")
        return loss.mean(dim=(1, 2))

    def class_losses(self) -> Tensor:
        """The classification loss of each RoI, (R,); ``loss_classifier`` is their mean."""
        return F.cross_entropy(self.class_logits, self.roi_labels, reduction="none")

    def box_losses(self) -> Tensor:
        """The box loss of each RoI, (R,), 0 for background; ``loss_box_reg`` is their mean."""
        positive = self.positive
        codes = self.box_regression.view(len(self.rois), -1, 4)[positive, self.roi_labels[positive]]
        losses = self.class_logits.new_zeros(len(self.rois))
        loss = F.smooth_l1_loss(codes, self.roi_deltas[positive], beta=1 / 9, reduction="none")
        losses[positive] = loss.sum(dim=1)
        return losses


@torch.inference_mode()
def trace_training(model: MaskRCNN, image: Tensor, target: dict[str, Tensor]) -> TrainingTrace:
    """Compute the losses of one image and keep what they are made of.

    Args:
        model: of ``build_model``, in evaluation mode; stays in it. Sampling is as in validation:
            always from the same seed.
        image: float32 (channels, H, W) in 0..1, on the model's device.
        target: ``boxes``, ``labels`` and ``masks`` of its objects, maybe none, as in
            ``nets.contract.Target``; on the same device.
    """
    rpn, heads = model.rpn, model.roi_heads
    predictors = {"box_predictor": heads.box_predictor, "mask_predictor": heads.mask_predictor}
    batch, targets = model.transform([image], [target])
    features = model.backbone(batch.tensors)
    with (
        heads_compute_losses(model),
        fixed_seed(batch.tensors.device),
        results_of(rpn, "assign_targets_to_anchors") as anchor_targets,
        results_of(rpn, "fg_bg_sampler") as anchor_samples,
        results_of(heads, "select_training_samples") as roi_samples,
        outputs_of(predictors) as outputs,
    ):
        proposals, rpn_losses = rpn(batch, features, targets)
        _, head_losses = heads(features, proposals, batch.image_sizes, targets)
    rois, objects, labels, deltas = (values[0] for values in on_cpu(roi_samples[0]))
    class_logits, box_regression = on_cpu(outputs["box_predictor"])
    return TrainingTrace(
        target={**on_cpu(targets[0]), "boxes": targets[0]["boxes"].as_subclass(Tensor).cpu()},
        anchor_labels=anchor_targets[0][0][0].cpu(),
        sampled_anchors=tuple(masks[0].bool().cpu() for masks in anchor_samples[0]),
        rois=rois,
        roi_labels=labels,
        roi_objects=objects,
        roi_deltas=deltas,
        class_logits=class_logits,
        box_regression=box_regression,
        mask_logits=outputs["mask_predictor"].cpu(),
        losses={name: float(loss) for name, loss in {**head_losses, **rpn_losses}.items()},
    )


@torch.inference_mode()
def sampled_labels(model: MaskRCNN, image: Tensor, target: dict[str, Tensor]) -> Tensor:
    """The labels of the RoIs that the heads would be taught from an image, int64 (R,), 0 for
    background: the network is run as far as that. Arguments as of ``trace_training``."""
    batch, targets = model.transform([image], [target])
    features = model.backbone(batch.tensors)
    with heads_compute_losses(model), fixed_seed(batch.tensors.device):
        proposals, _ = model.rpn(batch, features, targets)
        return model.roi_heads.select_training_samples(proposals, targets)[2][0].cpu()


@contextmanager
def results_of(owner: Any, name: str) -> Iterator[list[Any]]:
    """Within, a list of what the method or callable attribute of an object has returned."""
    results: list[Any] = []
    own: Callable[..., Any] = getattr(owner, name)
    was_attribute = name in vars(owner)

    def kept(*arguments: Any) -> Any:
        result = own(*arguments)
        results.append(result)
        return result

    setattr(owner, name, kept)
    try:
        yield results
    finally:
        if was_attribute:
            setattr(owner, name, own)
        else:
            delattr(owner, name)
