"""A row of a file as it was read, or a row that could not be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

LONGEST = 1 << 22  # bytes of a row; about a million tokens
_SHOWN = 2000


class Row(NamedTuple):
    """An object: its location (`file:line`, or `file[index]` without lines), its number from 0, the raw line if it is one, and
    the repairs made to read it. In a file of several lists, `part` is the name of its list, and `header` holds the scalar
    values before that list in its object.
    """

    place: str
    number: int
    value: dict[str, Any]
    raw: bytes | None = None
    repairs: tuple[str, ...] = ()
    part: str = ""
    header: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Unreadable:
    """A row that could not be read: its location, a reason code, the problem in words, and the beginning of its text."""

    place: str
    reason: str
    problem: str
    text: str


def shown(text: bytes | str) -> str:
    """Return the beginning of a bad row's text."""
    if isinstance(text, bytes):
        text = text[:_SHOWN].decode("utf-8", "backslashreplace")
    return text[:_SHOWN].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").strip()
