"""One step on the way of a dataset, as a card tells it, and the reports that steps are read from."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError

DAMAGES = (KeyError, TypeError, ValueError, AttributeError)
"""What reading a report raises that is not what it should be."""


@dataclass(frozen=True)
class Step:
    """What a command did; the command itself and the funnel, as text, the latter empty where nothing tells it; options and
    versions where they are known; the model and its revision if it generated, and where the model lies here. `inputs` are
    where it read.
    """

    what: str
    command: str
    funnel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    revision: str = ""
    model_place: Path | None = None
    inputs: tuple[str, ...] = ()


def command_line(head: str, options: Mapping[str, Any]) -> str:
    """A command for a shell, an option a line; options without a value are left out."""
    lines = [head]
    for name, value in options.items():
        if value == [] or value is None:
            continue
        words = [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}", str(value)]
        lines.append(shlex.join(words))
    return " \\\n    ".join(lines)


def changed(options: Mapping[str, Any], declared: Mapping[str, Field]) -> dict[str, Any]:
    """The options that are not at the default that a command declares."""
    found = {}
    for name, value in options.items():
        item = declared.get(name)
        default = item.default_factory() if item and callable(item.default_factory) else item and item.default
        if value is not None and value != default:
            found[name] = value
    return found


def read_report(place: Path) -> dict[str, Any]:
    """The content of a report. Raises `UserError` if it is none."""
    try:
        report = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(place, f"{type(error).__name__}: {error}") from None
    if not isinstance(report, dict):
        raise damaged(place, f"it holds a {type(report).__name__}")
    return report


def damaged(place: Path, problem: str) -> UserError:
    """What a report that cannot be understood ends in."""
    return UserError(
        f"{place}: is not a report of ours ({problem}); restore it, or move it away and the card says less"
    )
