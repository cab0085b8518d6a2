"""Read the JSONL and YAML files that users write; every error names file and line.

YAML is loaded as plain data, with three differences from PyYAML. A repeated key is an error, where PyYAML silently keeps the
last one. Keys such as `yes`, `on`, `1` or `null` stay strings. Numbers are decimal only: `1:30`, `0x10` and `010` stay strings,
where PyYAML reads 90, 16 and 8.
"""

import errno
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from self_instruct.errors import UserError

MOST_EXACT = 2**53 - 1
"""The largest integer that every JSON reader stores exactly, also one that stores numbers as float64."""


class NumberError(ValueError):
    """A number in JSON that some readers cannot store exactly."""


def exact_json(text: str | bytes) -> Any:
    """Parse JSON. Raises NumberError for an infinite or NaN number or an integer beyond `MOST_EXACT`, ValueError if invalid."""
    return json.loads(text, parse_int=_exact, parse_float=_finite, parse_constant=_finite)


def _exact(digits: str) -> int:
    if len(digits) <= 17 and abs(number := int(digits)) <= MOST_EXACT:
        return number
    raise NumberError(f"{digits[:20]}... is beyond 2**53")


def _finite(digits: str) -> float:
    if math.isfinite(number := float(digits)):
        return number
    raise NumberError(f"{digits[:20]} is not a finite number")


def regular_bytes(path: Path) -> bytes:
    """Return the content of a file. Raises OSError also for a pipe, a socket or a device, which might never end."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read()


class LineError(UserError):
    """An error in one line: its `place` as `file:line`, the `problem`, and a one-word `reason` for counts."""

    def __init__(self, reason: str, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.reason, self.problem = reason, problem


def read_objects(path: Path, what: str, *, growing: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place, `file:line`, and the object of each line. Skips blank lines; accepts a byte order mark and CRLF.

    With `growing`, a last line without its line end is left out: a run may be writing it, or was killed then.
    Raises UserError if the file cannot be read (`what` says what the file is), or a line is not one JSON object in UTF-8.
    """
    try:
        content = regular_bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{what} {str(path)[:300]}: cannot be read ({reason}); give the path of a JSONL file"
        ) from None
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, raw in enumerate(lines[:-1] if growing else lines, start=1):
        place = f"{path}:{number}"
        row = object_of(raw, place)
        if row is not None:
            yield place, row


def object_of(raw: bytes, place: str, decode: Callable[[str], Any] = json.loads) -> dict[str, Any] | None:
    """Return the object on one line, or None for a blank line. Raises LineError if it is not one JSON object in UTF-8."""
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
        problem = f"holds {json_kind(row)}, but every line must hold one object"
        raise LineError("not_an_object", place, problem)
    return row


def json_kind(value: Any) -> str:
    """Return the JSON type of a value, for messages."""
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), f"a {type(value).__name__}")


_MOST_YAML = 2**20  # characters; PyYAML reads only 100 kB/s
_MOST_ALIASED = 100_000
_TEXT = "tag:yaml.org,2002:str"
_DECIMAL = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}
_READ_AS_VALUES = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp", "value")}


def load_yaml(text: str) -> Any:
    """Parse a YAML document. Raises ValueError if it is invalid or too long, or if its aliases expand to too many values."""
    if len(text) > _MOST_YAML:
        raise ValueError(f"it has {len(text):,} characters, more than {_MOST_YAML:,}")
    try:
        return yaml.load(text, UniqueKeyLoader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split()).replace('in "<unicode string>"', "in its text")) from None
    except (
        ArithmeticError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # from a tag that does not match its value, such as `!!bool x`
        raise ValueError(f"a value does not match its tag ({error})") from None


class UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader. Raises yaml.YAMLError for a key that is repeated, empty, or a list or mapping, and for aliases that
    expand to more than `_MOST_ALIASED` values or contain themselves.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - the name and type are PyYAML's
        sign: [(tag, _DECIMAL.get(tag, pattern)) for tag, pattern in resolvers]
        for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def get_single_node(self) -> yaml.Node | None:
        """Check the number of values before any is constructed: the aliases of a few lines can expand to billions."""
        node = super().get_single_node()
        sizes = dict[int, int]()
        if node is not None and _size(node, sizes) > len(sizes) + _MOST_ALIASED:
            raise yaml.composer.ComposerError(None, None, f"its aliases expand to more than {_MOST_ALIASED:,} values")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Check the keys before merge keys (`<<`) are resolved, so that a merged key may be overridden."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                problem = "a key is empty" if isinstance(key, yaml.ScalarNode) else "a key is a list or mapping"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            if key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"{key.value} is repeated", key.start_mark)
            seen.add(key.value)
            if key.tag in _READ_AS_VALUES:
                key.tag = _TEXT
        return node


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return the number of values in a node with all aliases expanded. `sizes` caches the results by node."""
    if id(node) not in sizes:
        sizes[id(node)] = 0  # marks a node that is being counted, to find cycles
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        sizes[id(node)] = 1 + sum(_size(part, sizes) for part in parts)
    elif sizes[id(node)] == 0:
        raise yaml.composer.ComposerError(None, None, "an alias contains itself", node.start_mark)
    return sizes[id(node)]
