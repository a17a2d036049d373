"""Fields of dataclasses that are options of a command line."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

ConfigT = TypeVar("ConfigT")


def option(
    default: Any,
    help: str,
    *,
    short: str = "",
    choices: Sequence[str] = (),
    bare: Any = None,
    words: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """A dataclass field that is a command-line option.

    ``bare`` is the value of a flag that stands alone, ``words`` are names for single values.
    """
    metadata = {"help": help, "short": short, "choices": choices, "bare": bare, "words": words}
    return dataclasses.field(default=default, metadata=metadata)


def argument(help: str, choices: Sequence[str] = ()) -> Any:
    """A dataclass field without default: a positional argument of the command line."""
    return dataclasses.field(
        metadata={"help": help, "short": "", "choices": choices, "bare": None, "words": {}}
    )


def from_dict(config_class: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """The config that ``to_dict`` was given; what it does not know is left out."""
    hints = typing.get_type_hints(config_class)
    kinds: dict[str, Callable[[Any], Any]] = {
        name: Path for name, hint in hints.items() if hint in (Path, Path | None)
    }
    kinds |= {name: tuple for name, hint in hints.items() if typing.get_origin(hint) is tuple}
    known: dict[str, Any] = {
        name: kinds[name](value) if name in kinds and value is not None else value
        for name, value in values.items()
        if name in options_of(config_class)
    }
    return config_class(**known)


def options_of(config_class: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The fields that are options of the command line, by name."""
    return {f.name: f for f in dataclasses.fields(config_class) if "help" in f.metadata}
