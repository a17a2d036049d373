"""What a reader may have to be told beside the folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ReadOptions:
    """Each format takes its own of these."""

    images: Path | None = None  # where the images lie, if not beside the annotations
    class_attribute: str = ""  # which attribute of a region is its class
    embedded_images: bool = False  # take a picture that is only embedded in its annotation file

    def given(self) -> dict[str, Any]:
        """Those that were set, by name."""
        return {name: value for name, value in vars(self).items() if value}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the weights file holds them."""
        return {**vars(self), "images": str(self.images or "")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ReadOptions:
        """Read what ``to_dict`` wrote."""
        return cls(**{**values, "images": Path(values["images"]) if values.get("images") else None})
