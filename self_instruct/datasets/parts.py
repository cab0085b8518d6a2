"""Read only the rows that `--split` names: `train`, `test[:500]`, `train[100:200]`."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from self_instruct.config.parser import brief_repr
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.errors import UserError

_SPLIT = re.compile(r"([^\[\]]+)(?:\[(\d{0,15}):(\d{0,15})\])?")
_ONLY = "train"


def split_of(text: str) -> tuple[str, slice]:
    """Return the name and the rows of a split. Raises UserError unless it is NAME or NAME[BEGIN:END]."""
    found = _SPLIT.fullmatch(text.strip())
    if found is None:
        raise UserError(
            f"--split {brief_repr(text)}: must be NAME or NAME[BEGIN:END] with numbers of rows, such as train[:500]"
        )
    begin, end = (int(number) if number else None for number in (found[2], found[3]))
    return found[1].strip(), slice(begin, end)


def rows_of_file(rows: Iterable[Row | Unreadable], name: str, path: str) -> Iterator[Row | Unreadable]:
    """Yield the rows of a file's split. Rows outside of named lists are `train`. Raises UserError if no row has the name."""
    parts, whole = dict[str, None](), False
    for row in rows:
        part = (row.part or _ONLY) if isinstance(row, Row) else name
        parts[part] = None
        if part == name:
            whole |= isinstance(row, Row)
            yield row
    if not whole and parts:
        raise UserError(
            f"--split {name}: {path} has no such split; it has {', '.join(part for part in parts if part != name)}"
        )


def sliced(rows: Iterable[Row | Unreadable], part: slice) -> Iterator[Row | Unreadable]:
    """Yield the rows of a slice; rows before it are read and skipped."""
    return islice(rows, part.start, part.stop)
