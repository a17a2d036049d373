"""The command line of a config: the parsers are built from its fields, so no default is here."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from utils.config import (
    SHAPES,
    SHAPES_RECIPE,
    CommandConfig,
    CommonConfig,
    ConfigError,
    TrainConfig,
    resolve_data,
)
from utils.options import options_of

ConfigT = TypeVar("ConfigT", bound=CommandConfig)


def parse(config_class: type[ConfigT], argv: Sequence[str] | None, doc: str | None) -> ConfigT:
    """Read the command line into a config; exits with status 2 on a wrong flag.

    For training, ``data`` is resolved, and the shapes set brings its own recipe for every setting
    that was not given.
    """
    parser = build_parser(config_class, doc)
    given = vars(parser.parse_args(argv))
    defaults: dict[str, Any] = {}
    if config_class is TrainConfig:
        defaults["given"] = frozenset(given)
        if "resume" in given:  # the run that is resumed says what was not given
            return _made(parser, config_class, {**defaults, **given})
        given["data"] = resolve_data(given.get("data", "auto"))
        if given["data"] == SHAPES:
            defaults |= SHAPES_RECIPE
            if given.get("weights") == "auto":
                del given["weights"]
        elif given.get("weights", "auto") == "auto":
            given["weights"] = "coco"
    return _made(parser, config_class, {**defaults, **given})


def _made(
    parser: argparse.ArgumentParser, config_class: type[ConfigT], values: dict[str, Any]
) -> ConfigT:
    try:
        return config_class(**values)
    except ConfigError as error:
        parser.error(str(error))


def build_parser(config_class: type[CommandConfig], doc: str | None) -> argparse.ArgumentParser:
    """A parser with one option per field; it holds no defaults, so what was given is known."""
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    hints = typing.get_type_hints(config_class)
    common = {field.name for field in dataclasses.fields(CommonConfig)}
    own_first = sorted(options_of(config_class).values(), key=lambda field: field.name in common)
    for field in own_first:
        is_positional = field.default is dataclasses.MISSING
        flags = [field.name if is_positional else f"--{field.name.replace('_', '-')}"]
        if field.metadata["short"]:
            flags.insert(0, field.metadata["short"])
        parser.add_argument(*flags, **_argument(config_class, field, hints[field.name]))
    return parser


def _argument(
    config_class: type[CommandConfig], field: dataclasses.Field[Any], hint: Any
) -> dict[str, Any]:
    """The keywords of ``add_argument`` for one field."""
    help_text = field.metadata["help"].replace("%", "%%")
    if hint is bool:
        if field.default:
            return {"action": argparse.BooleanOptionalAction, "help": help_text}
        return {"action": "store_true", "help": help_text}
    if field.default not in (None, "", (), dataclasses.MISSING):
        help_text += f" (default: {field.default}{_shapes_default(config_class, field)})"
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        return {"action": _Tuple, "nargs": "+", "type": kind, "help": help_text}
    if isinstance(hint, types.UnionType):
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    keywords: dict[str, Any] = {"type": _typed(hint, field.metadata["words"]), "help": help_text}
    if field.metadata["bare"] is not None:
        keywords |= {"nargs": "?", "const": field.metadata["bare"]}
    if field.metadata["choices"]:
        keywords["choices"] = field.metadata["choices"]
    elif field.default is not dataclasses.MISSING:  # a positional one is shown by its name
        keywords["metavar"] = {int: "N", float: "X", Path: "PATH"}.get(hint, "NAME")
    return keywords


def _typed(kind: type, words: Mapping[str, Any]) -> Callable[[str], Any]:
    """What makes a value of a flag's text."""

    def read(text: str) -> Any:
        if text in words:
            return words[text]
        value = kind(text)
        if value in words.values():  # what stands for a word is no value
            raise ValueError
        return value

    read.__name__ = " or ".join([kind.__name__, *words])  # argparse shows it
    return read if words else kind


def _shapes_default(config_class: type[CommandConfig], field: dataclasses.Field[Any]) -> str:
    is_other = config_class is TrainConfig and field.name in SHAPES_RECIPE
    return f"; {SHAPES_RECIPE[field.name]} for shapes" if is_other else ""


class _Tuple(argparse.Action):
    """Collects the values of a flag in a tuple, as the frozen configs hold them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, tuple(values or ()))


def as_arguments(config: CommandConfig, other: type[CommandConfig]) -> list[str]:
    """The options that tell the command of ``other`` what ``config`` says, where it is not the
    default."""
    arguments: list[str] = []
    for field in options_of(other).values():
        value = getattr(config, field.name, field.default)
        if field.default is dataclasses.MISSING or value == field.default:
            continue
        values = value if isinstance(value, tuple) else () if value is True else (value,)
        arguments += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return arguments
