"""How large objects are to the network: pictures are resized before it sees them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkView:
    """The network's input: the shorter side that pictures are resized to, the longer side's limit,
    and the sides of its square anchors, all in pixels."""

    min_size: int = 800
    max_size: int = 1333
    anchors: tuple[float, ...] = (32, 64, 128, 256, 512)

    def scale(self, width: int, height: int) -> float:
        """What a picture's sides are multiplied by, as ``GeneralizedRCNNTransform`` does."""
        return min(self.min_size / min(width, height), self.max_size / max(width, height))
