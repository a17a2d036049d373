"""What the network sees of a picture: how large objects are to it, and how many channels."""

from __future__ import annotations

from dataclasses import dataclass

from utils.data.channels import RGB


@dataclass(frozen=True)
class NetworkView:
    """The network's input: the shorter side that pictures are resized to, the longer side's limit,
    and the sides of its square anchors, all in pixels; and the channels of the pictures."""

    min_size: int = 800
    max_size: int = 1333
    anchors: tuple[float, ...] = (32, 64, 128, 256, 512)
    channels: int = RGB

    def scale(self, width: int, height: int) -> float:
        """What a picture's sides are multiplied by, as ``GeneralizedRCNNTransform`` does."""
        return min(self.min_size / min(width, height), self.max_size / max(width, height))
