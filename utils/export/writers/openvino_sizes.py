"""Image sizes computed in integers, for a runtime without float64.

torchvision resizes an image to ``int(side * (limit / scaled))`` pixels, in float64: ``scaled`` is
its shorter side and ``limit`` the network's ``min_size``, or its longer side and ``max_size``.
Where the true size is whole, rounding can make it fall below, and a row is lost: 97 pixels become
799, not 800. OpenVINO computes float64 as float32 on a CPU, and loses it for other sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.export.openvino_runtime import openvino

op: Any = openvino.opset13  # its functions take arrays too
LARGEST = 1 << 16  # sides in pixels that are told apart; JPEG has none beyond
UNIT = 1 << 20  # of mantissas: 1.0 in integers
NEVER = 2 * UNIT
DOUBLE_DIGITS = 53


def compute_in_integers(model: openvino.Model, limits: tuple[int, int]) -> None:
    """Change the sub-graph that computes the sizes.

    Args:
        model: of ``images`` (B, H, W, C) of any size; of one size there is nothing to change.
        limits: the network's ``min_size`` and ``max_size`` in pixels.
    """
    truncated = [node for node in model.get_ordered_ops() if _truncates(node)]
    if not truncated:
        return
    # Convert(Multiply(Convert(side), scale)): the height, then the width.
    factors = [node.input_value(0).get_node() for node in truncated]
    sides = [factor.input_value(0).get_node().input_value(0) for factor in factors]
    height, width = (op.convert(side, "i32") for side in sides)
    shorter, longer = op.minimum(height, width), op.maximum(height, width)
    least, most = np.array(limits, np.int32)
    # Which of the limits makes the image smaller.
    is_least = op.less_equal(op.multiply(longer, least), op.multiply(shorter, most))
    scaled, limit = op.select(is_least, shorter, longer), op.select(is_least, least, most)
    place = op.minimum(scaled, np.int32(LARGEST))
    lost = op.select(is_least, *(op.gather(lost_from(one), place, 0) for one in limits))
    sizes = np.arange(1, most + 1, dtype=np.int32)
    is_lost = op.convert(op.greater(mantissas(sizes), lost), "i32")
    for node, side in zip(truncated, (height, width), strict=True):
        # The largest size that fits; one that fits exactly must not be lost.
        left = op.subtract(op.multiply(side, limit), op.multiply(scaled, sizes))
        fits = op.convert(op.greater_equal(left, is_lost), "i32")
        size = op.reduce_sum(fits, 0, keep_dims=False)
        node.output(0).replace(op.convert(size, "i64").output(0))
    model.validate_nodes_and_infer_types()


def lost_from(limit: int) -> np.ndarray:
    """From which mantissa on a whole size falls below, by the side that is scaled to ``limit``;
    int32 (LARGEST + 1,), in ``UNIT``.

    ``scaled`` times the rounded quotient is the ``limit`` less a share of it. A whole size less
    that share is rounded down if this is more than half the gap to the float64 before.
    """
    table = np.full(LARGEST + 1, NEVER, np.int32)
    for scaled in range(1, LARGEST):
        above, below = (limit / scaled).as_integer_ratio()
        missing = limit * below - above * scaled
        if missing > 0:
            table[scaled] = min(NEVER, (UNIT * limit * below) // (missing << DOUBLE_DIGITS))
    return table


def mantissas(sizes: np.ndarray) -> np.ndarray:
    """Sizes in the gaps between the float64 just below them: int32 (N,) above ``UNIT``; 2 for
    powers of two, as the gap below them is half of that above."""
    fractions, _ = np.frexp(np.nextafter(sizes.astype(np.float64), 0))
    return np.ceil(2 * UNIT * fractions).astype(np.int32)


def _truncates(node: Any) -> bool:
    """Whether a node makes whole numbers of float64."""
    types = [node.input_value(0).get_element_type()] if node.get_input_size() else []
    return node.get_type_name() == "Convert" and types == [openvino.Type.f64]
