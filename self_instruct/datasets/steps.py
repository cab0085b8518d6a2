"""One step on the way of a dataset, as a card tells it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """What a command did; the command itself and the funnel, as text; options and versions where they are known; the model and
    its revision if it generated, and where the model lies here. `inputs` are where it read.
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
