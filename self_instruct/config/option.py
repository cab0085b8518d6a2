"""What one option is: default, help, choices, bounds, and whether it is fixed for the life of a run.

A *fixed* option decides what is generated or kept, so a run cannot go on with another value of it; all others may change
between two launches of the same run.
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
    """One option. `minimum` is inclusive, `above` exclusive; `path` says when the value names a place on disk: a
    `source` does unless it is the id of a dataset on the Hub, and `named` is a source with NAME= before it.
    The --help of a command with many options shows those that are `common`.
    """
    metadata = {
        "help": help, "choices": choices, "minimum": minimum, "above": above, "maximum": maximum,
        "fixed": fixed, "path": path, "alias": alias, "common": common,
    }  # fmt: skip
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def declarations(groups: tuple[type, ...]) -> dict[str, Field]:
    """Every option's declaration by name, in the order of --help."""
    return {declared.name: declared for group in groups for declared in fields(group)}


def taken(group: type[Options], values: Mapping[str, Any]) -> Options:
    """The options of one group from values by option name; what is absent takes its default."""
    return group(**{item.name: values[item.name] for item in fields(group) if item.name in values})  # type: ignore[arg-type]


def resolved(values: Mapping[str, Any], *groups: type) -> dict[str, Any]:
    """All options of some groups by name, as reports tell them: the values, and defaults for what is absent."""
    return {name: value for group in groups for name, value in asdict(taken(group, values)).items()}
