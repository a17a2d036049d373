"""A form of a trained Mask R-CNN that goes through exporters: the same weights, the same results.

torchvision's forward pass loops over the images of a batch and selects by lists of indices whose
length is known only when it runs. Here all images of a batch are one tensor, and each selection has
places for the most there can be (``nets.fixed_size``). Resizing and normalising are part of the
network; it takes pictures as they are, and its graph holds for any number of images of any size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.ops import MultiScaleRoIAlign

from nets.class_thresholds import SMALLEST
from nets.dense_paste import dense_masks
from nets.export_operators import TORCH_OPERATORS, ExportOperators
from nets.fixed_size import (
    NONE,
    are_large,
    candidates_of,
    clipped,
    decoded,
    places_of,
    ranked,
    spread,
    surest,
    taken,
)
from nets.fold_norms import fold_batch_norms
from nets.roi_align import Pooling

OUTPUTS = ("boxes", "labels", "scores", "masks", "counts")
PASTED = "pasted"  # a sixth output, if it is asked for
# Boxes of an image that non-maximum suppression chooses from; torchvision has no limit. Only if
# more are sure enough, and places stay empty nevertheless, the least sure objects are missing.
MOST_CANDIDATES = 4000
INSIDE = 0.5  # a pixel belongs to an object from this probability on


class ExportableMaskRCNN(nn.Module):
    """Images in, detections out, in tensors of fixed size.

    Args:
        model: of ``build_model``; its modules are used and changed, so it is no longer of use.
        paste: give masks of the images' size too.
        operators: NMS and RoIAlign of the format that it is for.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: MaskRCNN,
        *,
        paste: bool = False,
        operators: ExportOperators = TORCH_OPERATORS,
    ) -> None:
        super().__init__()
        model.eval()  # in training the RPN has other numbers of proposals
        clear_hooks(model)
        fold_batch_norms(model)
        heads, rpn, transform = model.roi_heads, model.rpn, model.transform
        self.backbone, self.rpn_head = model.backbone, rpn.head
        self.box_head, self.box_predictor = heads.box_head, heads.box_predictor
        self.mask_head, self.mask_predictor = heads.mask_head, heads.mask_predictor
        self.box_pool, self.mask_pool = heads.box_roi_pool, heads.mask_roi_pool
        self.rpn_coder, self.box_coder = rpn.box_coder, heads.box_coder
        self.min_size, self.max_size = transform.min_size[-1], transform.max_size
        self.multiple = transform.size_divisible
        for name, values in (("mean", transform.image_mean), ("std", transform.image_std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None])
        self.anchor_shapes = nn.ParameterList(
            nn.Parameter(shapes.float(), requires_grad=False)
            for shapes in rpn.anchor_generator.cell_anchors
        )
        self.level_proposals, self.proposals = rpn.pre_nms_top_n(), rpn.post_nms_top_n()
        self.rpn_iou, self.rpn_smallest = rpn.nms_thresh, rpn.min_size
        self.objectness_threshold = rpn.score_thresh
        self.iou, self.detections = heads.nms_thresh, heads.detections_per_img
        self.score_threshold = heads.score_thresh
        self.paste, self.operators = paste, operators
        # As CPUs convolve fastest, and as ``pool_rows`` reads maps. The mask head keeps its own
        # layout: AOTInductor has to know that of each result, and for a number of images that is
        # in the data alone it takes it for granted that channels come first.
        for part in (self.backbone, self.rpn_head):
            part.to(memory_format=torch.channels_last)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Find objects.

        Args:
            images: (B, H, W, C), RGB uint8, or of another number of channels float32 in 0..1.

        Returns:
            For D places (the network's most detections): ``boxes`` float32 (B, D, 4) xyxy in pixels
            of the images; ``labels`` int64 (B, D), 1..K; ``scores`` float32 (B, D), sorted down;
            ``masks`` float32 (B, D, 28, 28), probabilities within the box; ``counts`` int64 (B,),
            how many places are filled, from the first on; the others hold zeros. If asked for,
            ``pasted`` uint8 0/1 (B, D, H, W).
        """
        height, width = images.shape[1], images.shape[2]
        batch, size = self.prepare(images)
        features = self.backbone(batch)
        proposals, scores = self.propose(features, sides_of(batch), size)
        boxes, labels, scores = self.classify(features, proposals, scores > NONE, size)
        found = scores > NONE
        objects = places_of(found)
        masks = self.segment(features, boxes, labels, objects)
        boxes = resized(boxes, size, (height, width)) * found[:, :, None]
        counts = found.sum(1)
        results = (boxes, labels * found, scores * found, spread(masks, objects, found), counts)
        if not self.paste:
            return results
        whole = dense_masks(masks, boxes.flatten(0, 1)[objects], height, width) >= INSIDE
        return *results, spread(whole.to(torch.uint8), objects, found)

    def prepare(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Normalise, resize and pad as ``GeneralizedRCNNTransform``; the batch, and the height and
        width of its images in it."""
        sides = images.shape[1], images.shape[2]
        scale = torch.sym_min(
            self.min_size / torch.sym_min(*sides), self.max_size / torch.sym_max(*sides)
        )
        # The bounds are kept anyhow; they are for compilers, which need to know them.
        height, width = (
            torch.sym_max(1, torch.sym_min(self.max_size, torch.sym_int(side * scale)))
            for side in sides
        )
        pixels = images.permute(0, 3, 1, 2).float()
        if images.dtype == torch.uint8:
            pixels = pixels / 255
        pixels = (pixels - self.mean) / self.std
        pixels = F.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)
        below, right = (
            (side + self.multiple - 1) // self.multiple * self.multiple - side
            for side in (height, width)
        )
        return F.pad(pixels, (0, right, 0, below)), (height, width)

    def propose(
        self, features: Mapping[str, Tensor], padded: tuple[int, int], size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The RPN's boxes (B, P, 4) in pixels of the batch, and their scores (B, P)."""
        maps = list(features.values())
        boxes, scores = [], []
        for shapes, objectness, changes in zip(
            self.anchor_shapes, *self.rpn_head(maps), strict=True
        ):
            anchors = anchors_of(shapes, sides_of(objectness), padded)
            logits = objectness.permute(0, 2, 3, 1).flatten(1)
            codes = changes.permute(0, 2, 3, 1).reshape(logits.shape[0], -1, 4)
            best, places = surest(logits, self.level_proposals)
            level = clipped(decoded(taken(codes, places), anchors[places], self.rpn_coder), *size)
            chances = best.sigmoid()
            real = (best > -torch.inf) & are_large(level, self.rpn_smallest)
            real = real & (chances >= self.objectness_threshold)
            chances = torch.where(real, chances, NONE)
            stays = self.operators.suppress(
                level, chances, torch.zeros_like(places), 1, self.rpn_iou
            )
            boxes.append(level)
            scores.append(torch.where(stays, chances, NONE))
        best, places = ranked(torch.cat(scores, dim=1), self.proposals)
        return taken(torch.cat(boxes, dim=1), places), best

    def classify(
        self,
        features: Mapping[str, Tensor],
        proposals: Tensor,
        real: Tensor,
        size: tuple[int, int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, D, 4) in pixels of the batch, labels (B, D) and scores (B, D)."""
        images = torch.arange(real.shape[0], device=real.device)[:, None].expand_as(real)
        pooled = self.pool(self.box_pool, features, images.flatten(), proposals.flatten(0, 1))
        logits, codes = self.box_predictor(self.box_head(pooled))
        classes = logits.shape[1] - 1
        # Background is column 0; each pair of a proposal and a class is a candidate.
        scores = logits.softmax(-1)[:, 1:].unflatten(0, real.shape)
        scores = torch.where(real[:, :, None] & (scores >= self.score_threshold), scores, NONE)
        codes = codes.unflatten(1, (classes + 1, 4))[:, 1:].unflatten(0, real.shape)
        most = min(self.proposals * classes, MOST_CANDIDATES)
        best, places = candidates_of(scores.flatten(1), most)
        boxes = clipped(
            decoded(
                taken(codes.flatten(1, 2), places), taken(proposals, places // classes),
                self.box_coder,
            ),
            *size,
        )  # fmt: skip
        labels = places % classes
        best = torch.where(are_large(boxes, SMALLEST), best, NONE)
        stays = self.operators.suppress(boxes, best, labels, classes, self.iou)
        best, places = ranked(torch.where(stays, best, NONE), self.detections)
        return taken(boxes, places), labels.gather(1, places) + 1, best

    def segment(
        self, features: Mapping[str, Tensor], boxes: Tensor, labels: Tensor, objects: Tensor
    ) -> Tensor:
        """Mask probabilities (N, 28, 28) of the filled places (``places_of``) alone."""
        pooled = self.pool(
            self.mask_pool, features, objects // boxes.shape[1], boxes.flatten(0, 1)[objects]
        )
        logits = self.mask_predictor(self.mask_head(pooled))
        own = labels.flatten()[objects][:, None, None, None].expand(-1, 1, *logits.shape[2:])
        return logits.gather(1, own).squeeze(1).sigmoid()

    def pool(
        self,
        pool: MultiScaleRoIAlign,
        features: Mapping[str, Tensor],
        images: Tensor,
        boxes: Tensor,
    ) -> Tensor:
        """RoIAlign (N, C, rows, columns) of boxes (N, 4), each on the map of its size."""
        levels = pool.map_levels([boxes])
        parts = []
        for level, (name, scale) in enumerate(zip(pool.featmap_names, pool.scales, strict=True)):
            (here,) = torch.nonzero(levels == level, as_tuple=True)
            pooling = Pooling(pool.output_size, pool.sampling_ratio, scale)
            parts.append(self.operators.pool(features[name], images[here], boxes[here], pooling))
        # Where each box went: they lie level by level now, in their own order in each.
        number = torch.arange(levels.shape[0], device=levels.device)
        places = (levels * levels.shape[0] + number).argsort().argsort()
        return torch.cat(parts)[places]


def clear_hooks(model: nn.Module) -> None:
    """Take out the hooks of ``build_model``: they are for autocast, which is in no graph."""
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()


def resized(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Boxes (B, D, 4) of images of an old height and width in images of a new one, as torchvision's
    ``resize_boxes``."""
    down, across = (
        boxes.new_full((), after) / boxes.new_full((), before)
        for before, after in zip(old, new, strict=True)
    )
    return boxes * torch.stack([across, down, across, down])


def sides_of(maps: Tensor) -> tuple[int, int]:
    """Height and width."""
    return maps.shape[-2], maps.shape[-1]


def anchors_of(shapes: Tensor, cells: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """The anchors of a map of so many cells, row by row, as ``AnchorGenerator``; (A, 4) xyxy.

    Args:
        shapes: boxes (S, 4) around zero.
        cells: rows and columns of the map.
        padded: height and width of the batch in pixels.
    """
    rows, columns = (
        torch.arange(count, device=shapes.device) * (side // count)
        for count, side in zip(cells, padded, strict=True)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    corners = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (corners + shapes).reshape(-1, 4)
