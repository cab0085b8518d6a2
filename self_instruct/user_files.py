"""Reading the files that users write, JSON lines and YAML, with every fault named by its place.

YAML is read as data only, with two surprises of PyYAML's taken out: a key that stands twice is refused, where PyYAML keeps the
last one and says nothing; and a key is its text, as `yes`, `on`, `1` or `null` are written, where YAML 1.1 makes
values of them. The values themselves stay what YAML makes of them.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from self_instruct.errors import UserError


class LineError(UserError):
    """What is wrong with one line: its place, the problem in words, and the reason in one word."""

    def __init__(self, reason: str, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.reason, self.problem = reason, problem


def read_objects(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object with its place, `file:line`. Blank lines are passed over; a byte order mark and CRLF are accepted.

    Raises `UserError` when the file cannot be read, or a line is not UTF-8 or not one JSON object.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{what} {str(path)[:300]}: cannot be read ({reason}); give the path of a JSONL file"
        ) from None
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        place = f"{path}:{number}"
        row = object_of(raw, place)
        if row is not None:
            yield place, row


def object_of(raw: bytes, place: str, decode: Callable[[str], Any] = json.loads) -> dict[str, Any] | None:
    """The object on one line, None for a blank one. Raises `LineError` when it is not UTF-8 or not one JSON object."""
    try:
        line = raw.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise LineError("not_utf8", place, f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    if not line:
        return None
    try:
        row = decode(line)
    except (ValueError, RecursionError) as error:
        raise LineError("not_json", place, f"is not JSON ({error}); every line must hold one object") from None
    if not isinstance(row, dict):
        problem = f"holds a {type(row).__name__}, but every line must hold one object"
        raise LineError("not_an_object", place, problem)
    return row


_TEXT = "tag:yaml.org,2002:str"
_READ_AS_VALUES = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp", "value")}


class UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader. Raises `yaml.YAMLError` for a key that stands twice, is empty, or is a list or mapping."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, after a look at its keys, before those of others are merged into it."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                problem = "a key is empty" if isinstance(key, yaml.ScalarNode) else "a list or mapping stands as a key"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            if key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value)
            if key.tag in _READ_AS_VALUES:
                key.tag = _TEXT
        return node
