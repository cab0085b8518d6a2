"""Declare an option: its default, help, choices and bounds, and whether it is fixed for the life of a run.

A *fixed* option changes what is generated or kept, so a run cannot be continued with a different value. All other options may
change between two launches of the same run.
"""

from collections.abc import Mapping
from dataclasses import Field, asdict, field, fields
from typing import Any, Literal, TypeVar

Options = TypeVar("Options")
PathRule = Literal["always", "if_dotted", "source", "named"]


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    fixed: bool = False,
    path: PathRule | None = None,
    alias: str | None = None,
    common: bool = False,
) -> Any:
    """Declare an option as a dataclass field. `minimum` is inclusive, `above` is exclusive.

    `path` says when the value is a file path: `always`; `if_dotted` if it starts with `.` or `~`; `source` unless it is a Hub
    dataset id; `named` is a source after `NAME=`. The --help of a command with many options shows only the `common` ones.
    """
    metadata = {
        "help": help, "choices": choices, "minimum": minimum, "above": above, "maximum": maximum,
        "fixed": fixed, "path": path, "alias": alias, "common": common,
    }  # fmt: skip
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def declarations(groups: tuple[type, ...]) -> dict[str, Field]:
    """Return the declaration of each option by name, in the order of --help."""
    return {declared.name: declared for group in groups for declared in fields(group)}


def taken(group: type[Options], values: Mapping[str, Any]) -> Options:
    """Build a group of options from values by option name; absent options take their defaults."""
    return group(**{item.name: values[item.name] for item in fields(group) if item.name in values})  # type: ignore[arg-type]


def resolved(values: Mapping[str, Any], *groups: type) -> dict[str, Any]:
    """Return all options of the groups by name, with defaults for absent ones, as reports store them."""
    return {name: value for group in groups for name, value in asdict(taken(group, values)).items()}
