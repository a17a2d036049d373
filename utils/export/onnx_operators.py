"""Non-maximum suppression and RoIAlign by ONNX's own operators.

The opset has a NonMaxSuppression that knows images and classes. PyTorch has none, so the graph
holds an operator of our own, which the exporter translates.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from onnxscript import BOOL, DOUBLE, INT64, ir, opset18
from torch import Tensor

from nets.export_operators import ExportOperators, pool_regions, suppress
from nets.fixed_size import NONE

OPSET = 18
op: Any = opset18  # whose declared types fit no function of several operators
ALL = 2**31 - 1  # as many boxes of a class as there are


@torch.library.custom_op("maskrcnn_finetune::suppress", mutates_args=())
def suppress_operator(
    boxes: Tensor, scores: Tensor, groups: Tensor, count: int, most_iou: float
) -> Tensor:
    """``nets.export_operators.suppress`` as one operator of a graph."""
    return suppress(boxes, scores, groups, count, most_iou)


@suppress_operator.register_fake
def _(boxes: Tensor, scores: Tensor, groups: Tensor, count: int, most_iou: float) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


ONNX_OPERATORS = ExportOperators(suppress_operator, pool_regions)


def onnx_suppress(boxes: Any, scores: Any, groups: Any, count: int, most_iou: float) -> Any:
    """The same in ONNX; each group is a class, in which all other boxes have the score ``NONE``."""
    of_groups = op.Unsqueeze(scores, [1])
    if count > 1:
        numbers = op.Constant(value=ir.tensor(np.arange(count).reshape(1, count, 1)))
        own = op.Equal(op.Unsqueeze(groups, [1]), numbers)
        of_groups = op.Where(own, of_groups, op.Constant(value_float=NONE))
    # Rows of image, group and box.
    kept = op.NonMaxSuppression(
        boxes,
        of_groups,
        op.Constant(value_ints=[ALL]),
        op.Constant(value_floats=[most_iou]),
        op.Constant(value_floats=[NONE / 2]),
    )
    places = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)
    nowhere = op.Expand(op.Constant(value_float=0.0), op.Shape(scores))
    ones = op.Expand(op.Constant(value_float=1.0), op.Shape(kept, start=0, end=1))
    return op.Cast(op.ScatterND(nowhere, places, ones), to=BOOL.dtype)


def onnx_sort(values: Any, *, stable: bool, dim: int, descending: bool = False) -> Any:
    """``torch.sort(stable=True)``; of equal values TopK too gives the first one first."""
    length = op.Shape(values, start=dim, end=dim + 1)
    return op.TopK(values, length, axis=dim, largest=int(descending))


def _exact(number: Any) -> Any:
    return op.Cast(number, to=DOUBLE.dtype)


# Sizes are computed as Python computes them: in float32 an image of 97 pixels, resized to 800,
# would get one row more or less than in torchvision.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.maskrcnn_finetune.suppress.default: onnx_suppress,
    torch.ops.aten.sort.stable: onnx_sort,
    torch.sym_float: _exact,
    torch.sym_int: lambda number: op.Cast(number, to=INT64.dtype),
    operator.truediv: lambda a, b: op.Div(_exact(a), _exact(b)),
}
