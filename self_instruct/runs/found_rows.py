"""rows.json: how many rows are generated together, as pilots of a run have found it, by hardware.

The numbers are not part of the plan: any number of rows gives the same dataset. So a launch on other hardware ignores them.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from self_instruct.runs.files import put
from self_instruct.runs.layout import ROWS
from self_instruct.user_files import exact_json, regular_bytes

_log = logging.getLogger(__name__)


def read_found_rows(folder: Path) -> dict[str, int]:
    """Return the numbers of rows in a run directory by hardware: none if it has no such file, or a damaged one."""
    return {hardware: item["rows"] for hardware, item in _read(folder).items()}


def write_found_rows(folder: Path, hardware: str, rows: int, speeds: Sequence[tuple[int, float]]) -> None:
    """Store the number of rows that a pilot has found on this hardware, and the tokens per second of all that it tried."""
    item = {"rows": rows, "tokens_per_second": {str(tried): round(speed, 1) for tried, speed in speeds}}
    content = {**_read(folder), hardware: item}
    put(folder / ROWS, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / ROWS
    try:
        content = exact_json(regular_bytes(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s: cannot be read and is ignored (%s)", path, error)
        return {}
    items = content.items() if isinstance(content, dict) else ()
    valid = {
        hardware: item
        for hardware, item in items
        if isinstance(item, dict) and type(item.get("rows")) is int and item["rows"] > 0
    }
    if not isinstance(content, dict) or len(valid) < len(content):
        _log.warning("%s: what is not a number of rows is ignored", path)
    return valid
