"""Evaluation keeps run lengths and matches only: memory flat in the number and size of images."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nets.contract import Prediction
from tools import evaluation_benchmark
from utils.data.records import RecordSet
from utils.evaluation.coco_evaluator import CocoEvaluator

MB = 2**20


def most_memory():
    """Bytes this process has held at most; ru_maxrss would count those of its parent too."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def evaluate_large_images(images):
    """Evaluate images of 12 megapixels with 100 detections each, one of them the whole image;
    returns the most memory taken after every image and at the end, in bytes, and segm AP."""
    torch.set_num_threads(1)
    load = evaluation_benchmark
    load.HEIGHT, load.WIDTH, load.SMALLEST, load.LARGEST = 3000, 4000, 50, 2000
    rng = np.random.default_rng(0)
    records = tuple(load.drawn_record(rng, number, 3) for number in range(images))
    evaluator = CocoEvaluator(RecordSet(Path(), "drawn", ("a", "b", "c"), records))
    peaks = []
    for record in records:
        heads = load.drawn_detections(rng, record, 100, 3)
        heads.boxes[-1] = torch.tensor([0, 0, load.WIDTH, load.HEIGHT])
        prediction = Prediction(
            boxes=heads.boxes, labels=heads.labels, scores=heads.scores, masks=load.our_masks(heads)
        )
        evaluator.process(record.image_id, prediction)
        peaks.append(most_memory())
    metrics = evaluator.evaluate()
    return peaks, most_memory(), metrics["segm/AP"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_ten_thousand_instances_at_12_megapixels_take_little_memory():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peaks, peak, ap = pool.apply(evaluate_large_images, (100,))
    assert peak < 2000 * MB
    assert peaks[-1] - peaks[9] < 100 * MB, "90 images more leave the peak where it was"
    assert 0.2 < ap < 0.8
