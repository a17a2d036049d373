"""A small network that finds nothing, a few objects or a hundred, and what torchvision finds."""

from copy import deepcopy

import torch

from nets.mask_rcnn import build_model
from nets.weights_file import WeightsFile, nameless

ARCH = "maskrcnn_resnet18_fpn_small"
OPTIONS = {
    "frozen_norm": True, "min_size": 96, "max_size": 160, "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 400, "rpn_nms_thresh": 0.9, "box_nms_thresh": 0.9,
    "box_detections_per_img": 100,
}  # fmt: skip
CLASSES = 3
GREY = torch.tensor([124.0, 116.0, 104.0])  # what normalising makes zero
# How strong the noise is in an image; it is what this network takes for objects.
NONE, FEW, MANY = 0.0, 0.25, 1.0
NETWORKS = {}  # that were made before
ROUNDING = {"boxes": 0.02, "scores": 2e-4, "masks": 2e-3}  # what two ways to compute may differ by


def make_network(arch=ARCH, classes=CLASSES, background=3.5, **options):
    """Random weights of torchvision's own modules, that find no object where there is no noise."""
    key = repr((arch, classes, background, options))
    if key not in NETWORKS:
        NETWORKS[key] = _built(arch, classes, background, options)
    return deepcopy(NETWORKS[key])


def _built(arch, classes, background, options):
    torch.manual_seed(0)
    model = build_model(arch, classes + 1, reference=True, **{**OPTIONS, **options})
    heads, noise = model.eval().roi_heads, make_images(MANY, channels=options.get("channels", 3))
    if arch != ARCH:
        settle_norms(model, noise)
    spread_logits(model, model.rpn.head.cls_logits, 1.0, noise)
    spread_logits(model, heads.box_predictor.cls_score, 2.0, noise)
    with torch.no_grad():
        heads.box_predictor.cls_score.bias[0] += background
    spread_logits(model, heads.mask_predictor.mask_fcn_logits, 3.0, noise)
    return model


@torch.no_grad()
def settle_norms(model, images):
    """Let each norm of the backbone give numbers of about one, as in a trained network; in deep
    ones they would grow or shrink beyond use. What is zero stays zero."""

    def settle(norm, given):
        norm.running_var.fill_(given[0].square().mean())

    norms = [part for part in model.backbone.modules() if hasattr(part, "running_var")]
    handles = [norm.register_forward_pre_hook(settle) for norm in norms]
    found_by_torchvision(model, images)
    for handle in handles:
        handle.remove()


@torch.no_grad()
def spread_logits(model, layer, spread, images):
    """Let the logits of a layer differ as much between objects as those of a trained network."""
    seen = []
    handle = layer.register_forward_hook(lambda _, given, logits: seen.append(logits.flatten()))
    found_by_torchvision(model, images)
    handle.remove()
    layer.weight *= spread / torch.cat(seen).std()


def make_weights(arch=ARCH, classes=CLASSES, background=3.5, **options):
    """The same as a weights file."""
    model = make_network(arch, classes, background, **options).state_dict()
    return WeightsFile(arch, classes + 1, nameless(classes), model, options={**OPTIONS, **options})


def make_images(*strengths, size=(120, 90), channels=3):
    """Noise of each of these strengths around grey; uint8, or float32 if not of three channels."""
    noise = torch.rand(len(strengths), *size, channels, generator=torch.Generator().manual_seed(0))
    strength = torch.tensor(strengths)[:, None, None, None]
    if channels != 3:
        return 0.5 + strength * (noise - 0.5)
    return (GREY + strength * 255 * (noise - 0.5)).clamp(0, 255).byte()


@torch.no_grad()
def found_by_torchvision(model, images):
    """What each of ``images`` (B, H, W, C) shows: boxes, labels, scores, masks (N, 28, 28) and
    ``pasted``, probabilities (N, H, W)."""
    scale = 255 if images.dtype == torch.uint8 else 1
    batch, _ = model.transform([image.permute(2, 0, 1).float() / scale for image in images])
    features = model.backbone(batch.tensors)
    proposals, _ = model.rpn(batch, features)
    found, _ = model.roi_heads(features, proposals, batch.image_sizes)
    masks = [one["masks"][:, 0] for one in found]
    sizes = [tuple(images.shape[1:3])] * len(images)
    whole = model.transform.postprocess(found, batch.image_sizes, sizes)
    return [
        {**one, "masks": mask, "pasted": one["masks"][:, 0]}
        for one, mask in zip(whole, masks, strict=True)
    ]


def found_by(outputs):
    """The same of the outputs of an exportable network, whatever ran it; ``pasted`` is 0/1."""
    boxes, labels, scores, masks, counts, *pasted = (torch.as_tensor(one) for one in outputs)
    names = ("boxes", "labels", "scores", "masks", "pasted")
    for values in (boxes, labels, scores, masks, *pasted):
        places = torch.arange(values.shape[1]) >= counts[:, None]
        assert not values[places].any(), "places without an object hold zeros"
    return [
        {
            name: values[number, : int(count)]
            for name, values in zip(names, (boxes, labels, scores, masks, *pasted), strict=False)
        }
        for number, count in enumerate(counts)
    ]


def assert_same(found, wanted):
    """The same detections, to rounding; in another order only where their scores are equal."""
    assert [len(one["boxes"]) for one in found] == [len(one["boxes"]) for one in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours["scores"].diff() <= 0).all()
        left = list(range(len(theirs["boxes"])))
        for number in range(len(ours["boxes"])):
            same = [place for place in left if _is_same(ours, number, theirs, place)]
            assert same, f"number {number} is not among {len(left)} that are left"
            left.remove(same[0])


def _is_same(ours, number, theirs, place):
    near = all(
        (ours[name][number] - theirs[name][place]).abs().max() <= most
        for name, most in ROUNDING.items()
    )
    return bool(near and ours["labels"][number] == theirs["labels"][place]) and _is_same_outline(
        ours, number, theirs, place
    )


def _is_same_outline(ours, number, theirs, place):
    if "pasted" not in ours:
        return True
    chance = theirs["pasted"][place]
    differs = ours["pasted"][number].bool() != (chance >= 0.5)
    return not (differs & ((chance - 0.5).abs() > ROUNDING["masks"])).any()
