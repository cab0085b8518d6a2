"""Reading JSON lines with every fault named by file and line. Knows nothing of what the objects mean."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
