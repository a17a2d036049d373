"""What hooks keep is what the network itself says: detections, proposals and losses, exactly."""

import pytest
import torch
from inspected import make_model, make_subject
from torch.testing import assert_close
from torchvision.models.detection import MaskRCNN
from torchvision.ops import batched_nms, box_iou

from nets.detect import detect
from utils.inspection.detections import detection_steps
from utils.inspection.proposals import proposal_steps, recalls
from utils.inspection.suppression import NOBODY, suppressors
from utils.inspection.trace import trace_image
from utils.inspection.training_trace import results_of, sampled_labels


@pytest.fixture(scope="module")
def subject():
    return make_subject(1)


def test_the_traced_detections_are_torchvisions_own(subject):
    image, _ = subject.dataset[1]
    with torch.inference_mode():
        wanted = MaskRCNN.forward(subject.model, [image])[0]
    seen = subject.trace

    assert len(wanted["boxes"]) > 3
    for field in ("boxes", "labels", "scores"):
        assert torch.equal(seen.prediction[field], wanted[field])
        assert torch.equal(seen.detections[field], wanted[field])  # shapes are not resized


def test_the_steps_of_the_rpn_lead_to_its_proposals(subject):
    steps = proposal_steps(subject.model.rpn, subject.trace)

    assert torch.equal(steps.clipped[steps.kept], subject.trace.proposals)
    assert len(steps.survivors) > len(steps.kept) == 50
    assert_close(steps.scores, subject.trace.objectness[steps.anchors].sigmoid())
    assert (steps.scores[steps.survivors].diff() <= 0).all()


def test_the_steps_of_the_box_head_lead_to_the_detections(subject):
    seen = subject.trace
    steps = detection_steps(subject.model.roi_heads, seen)

    assert torch.equal(steps.candidate_boxes[steps.kept], seen.detections["boxes"])
    assert torch.equal(steps.candidate_scores[steps.kept], seen.detections["scores"])
    assert torch.equal(steps.labels[steps.kept], seen.detections["labels"])
    assert (steps.candidate_scores > steps.least).all()


def test_masks_are_the_logits_of_the_found_class(subject):
    seen = subject.trace
    chosen = seen.mask_logits[torch.arange(len(seen.mask_logits)), seen.detections["labels"]]

    assert torch.equal(chosen.sigmoid()[:, None], seen.detections["masks"])


def test_maps_are_called_by_their_stride(subject):
    seen = subject.trace

    assert list(seen.body) == ["C2", "C3", "C4", "C5"]
    assert seen.strides() == {"P2": 4, "P3": 8, "P4": 16, "P5": 32, "P6": 64}
    for name, stride in seen.strides().items():
        assert seen.features[name].shape[-1] == 128 // stride


def test_two_maps_of_one_stride_have_two_names():
    model = make_model("maskrcnn_mobilenet_v3_large_fpn")
    seen = trace_image(model, torch.rand(3, 100, 150))

    assert list(seen.features) == ["P5", "P5b", "P6"]
    assert len(seen.anchors) == sum(seen.counts) == len(seen.objectness)


def test_levels_count_the_anchors():
    subject = make_subject(0)
    seen = subject.trace

    assert torch.equal(seen.levels.bincount(), torch.tensor(seen.counts))
    assert seen.counts == [32 * 32 * 3, 16 * 16 * 3, 8 * 8 * 3, 4 * 4 * 3, 2 * 2 * 3]


def test_hooks_are_gone_afterwards(subject):
    _ = subject.trace, subject.training
    parts = (subject.model.backbone, subject.model.rpn.head, subject.model.rpn)

    assert [len(part._forward_hooks) for part in parts] == [0, 1, 0]  # the RPN head's own
    assert "assign_targets_to_anchors" not in vars(subject.model.rpn)
    assert "select_training_samples" not in vars(subject.model.roi_heads)
    assert hasattr(subject.model.rpn.fg_bg_sampler, "seeds")
    assert not subject.model.rpn.training


def test_a_network_that_finds_nothing_has_a_trace():
    subject = make_subject(0, make_model(box_score_thresh=1.1))
    steps = detection_steps(subject.model.roi_heads, subject.trace)

    assert len(subject.trace.detections["boxes"]) == len(steps.kept) == len(steps.labels) == 0


def test_losses_are_those_of_validation(subject):
    image, target = subject.dataset[1]
    with torch.inference_mode():
        _, wanted = detect(subject.model, [image], [target])
    taught = subject.training

    assert taught.losses == {name: float(loss) for name, loss in wanted.items()}
    assert_close(float(taught.class_losses().mean()), taught.losses["loss_classifier"])
    assert_close(float(taught.box_losses().mean()), taught.losses["loss_box_reg"])
    assert_close(float(taught.mask_losses().mean()), taught.losses["loss_mask"])
    assert len(taught.mask_losses()) == len(taught.positive) > 0


def test_what_is_sampled_is_what_the_losses_are_made_of(subject):
    taught = subject.training
    positive, negative = taught.sampled_anchors

    assert (taught.anchor_labels[positive] == 1).all()
    assert (taught.anchor_labels[negative] == 0).all()
    assert int(positive.sum() + negative.sum()) == 256
    image, target = subject.dataset[1]
    assert torch.equal(sampled_labels(subject.model, image, target), taught.roi_labels)
    boxes = taught.target["boxes"][taught.roi_objects[taught.positive]]
    assert (box_iou(taught.rois[taught.positive], boxes).diagonal() >= 0.5).all()


def test_an_image_without_objects_teaches_background_alone():
    taught = make_subject(0, without_objects=True).training

    assert len(taught.positive) == len(taught.mask_targets()) == len(taught.mask_losses()) == 0
    assert not taught.anchor_labels.any()
    assert_close(float(taught.class_losses().mean()), taught.losses["loss_classifier"])
    assert taught.losses["loss_mask"] == 0


def test_a_picture_without_labels_teaches_nothing():
    assert make_subject(0, with_labels=False).training is None


def test_nobody_is_suppressed_by_a_less_sure_box():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + 10 + 20 * torch.rand(300, 2, generator=generator)], 1)
    scores, groups = torch.rand(300, generator=generator), torch.arange(300) % 3
    left = batched_nms(boxes, scores, groups, 0.4)
    found = suppressors(boxes, groups, left, 0.4)
    lost = found != NOBODY

    assert set(torch.where(~lost)[0].tolist()) == set(left.tolist())
    assert 0 < lost.sum() < 300
    for place in torch.where(lost)[0]:
        by = found[place]
        over = box_iou(boxes[place][None], boxes[left])[0]
        rivals = (over > 0.4) & (groups[left] == groups[place])
        surest = left[rivals][scores[left][rivals].argmax()]
        assert by == surest
        assert scores[by] >= scores[place]


def test_nothing_suppresses_nothing():
    none = torch.zeros(0, dtype=torch.int64)

    assert suppressors(torch.zeros(0, 4), none, none, 0.5).tolist() == []


def test_recall_counts_the_first_proposals():
    proposals = torch.tensor([[50.0, 50, 60, 60], [0, 0, 10, 10], [20, 20, 30, 30]])
    objects = torch.tensor([[0.0, 0, 10, 9], [20, 20, 30, 30]])

    assert recalls(proposals, objects, [0, 1, 2, 3, 10], 0.5) == [0, 0, 0.5, 1, 1]
    assert recalls(proposals, objects, [3], 0.95) == [0.5]


def test_results_are_kept_only_within():
    class Owner:
        def double(self, number):
            return 2 * number

    owner = Owner()
    owner.attribute = len
    with results_of(owner, "double") as doubled, results_of(owner, "attribute") as lengths:
        assert (owner.double(3), owner.attribute("ab")) == (6, 2)

    assert (doubled, lengths) == ([6], [2])
    assert "double" not in vars(owner)
    assert owner.attribute is len
