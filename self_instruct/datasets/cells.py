"""Read CSV and TSV tables. Every cell stays text.

This uses the csv module, because the `datasets` library needs a file on disk and turns "NA" into null and "007" into a number.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from self_instruct.datasets.flat import ANSWERS, PROMPTS
from self_instruct.datasets.packed import ENDINGS
from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown

_HEADERS = {*PROMPTS, *ANSWERS, "messages", "conversations", "text", "chosen", "label"}


def separator_of(content: bytes, name: str) -> str | None:
    """Return the cell separator of a table; None if the content is no table.

    A table has a common column name in its first line, or a name that ends in .csv or .tsv.
    """
    line = content.partition(b"\n")[0].decode("utf-8", "replace").strip()
    if content[:1] in (b"{", b"["):
        return None
    for separator in "\t,;":
        names = [cell.strip().strip('"').lower() for cell in line.split(separator)]
        if len(names) > 1 and all(names) and _HEADERS & {*names}:
            return separator
    path = Path(name)
    ending = path.with_suffix("").suffix if path.suffix in ENDINGS else path.suffix
    separator = {".csv": ",", ".tsv": "\t"}.get(ending, "")
    return separator if separator and separator in line else None


def cell_rows(file: io.BufferedReader, separator: str, name: str) -> Iterator[Row | Unreadable]:
    """Yield the rows. A row is unreadable if it has more or fewer cells than the header, or bytes that are not UTF-8."""
    csv.field_size_limit(LONGEST)
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    rows, header, number = csv.reader(text, delimiter=separator), list[str](), 0
    while True:
        place = f"{name}:{rows.line_num + 1}"
        try:
            cells = next(rows, None)
        except csv.Error as error:
            yield Unreadable(place, "not_csv", f"is not a row of a table ({error})", "")
            number += 1
            continue
        if cells is None:
            return
        if not header:
            header = [cell.strip() for cell in cells]
        elif cells:
            yield _row(place, number, header, cells, separator)
            number += 1


def _row(place: str, number: int, header: list[str], cells: list[str], separator: str) -> Row | Unreadable:
    text = separator.join(cells)
    if len(cells) != len(header):
        problem = f"has {len(cells)} cells, but the header has {len(header)}"
        return Unreadable(place, "wrong_cells", problem, shown(text))
    if any("\udc80" <= char <= "\udcff" for char in text):
        return Unreadable(place, "not_utf8", "has bytes that are not UTF-8; save the file as UTF-8", shown(text))
    return Row(place, number, dict(zip(header, cells, strict=True)))
