"""Reading JSON lines with every fault named by file and line. Knows nothing of what the objects mean."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError


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
        try:
            line = raw.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise UserError(f"{place}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
        if not line:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}: is not JSON ({error}); every line must hold one object") from None
        if not isinstance(row, dict):
            raise UserError(f"{place}: holds a {type(row).__name__}, but every line must hold one object")
        yield place, row
