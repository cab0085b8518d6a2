"""Detect from its content how a file stores rows, and read them: JSON lines, JSON lists, lists inside objects, JSON objects
over several lines, Parquet, a folder of the `datasets` library, or a Hub dataset; gzip is unpacked.

Only one row and a read-ahead buffer are in memory. The meaning of rows is decided in schemas.py.
"""

import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from self_instruct.config.hub_names import is_hub_id
from self_instruct.datasets.json_documents import LISTS, Documents, begins_with
from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE
from self_instruct.user_files import LineError, object_of

_HEAD = 1 << 20
_BOM = b"\xef\xbb\xbf"
_TASKS = frozenset(["instruction", "prompt", "question"])  # an object with one of these keys is a row
_FOREIGN = (
    (
        b"version https://git-lfs.github.com",
        "is the pointer of a Git LFS file, not the file; fetch it by git lfs pull",
    ),
    (b"PK\x03\x04", "is a zip archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd; unpack it first"),
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
    (b"<", "is HTML or XML, perhaps the page around the file; download the raw file"),
)


@dataclass(frozen=True)
class Container:
    """How a source stores rows, in words, and the rows. If they are in a list inside an object, `key` is the list's key and
    `header` holds the scalar values before it.
    """

    kind: str
    rows: Iterator[Row | Unreadable]
    key: str = ""
    header: dict[str, Any] = field(default_factory=dict)


def open_container(path: str, split: str | None = None, option: str = "--input_path") -> Container:
    """Open a source: `-` is standard input, and `owner/name` is a Hub dataset unless such a path exists.

    Raises UserError, naming the option, if the source cannot be opened or is in an unsupported format.
    """
    place = Path(path)
    if path == PIPE:
        return _of_stream(sys.stdin.buffer, "stdin", option)
    if place.is_dir():
        from self_instruct.datasets.tables import folder_rows

        return Container("folder of the datasets library", folder_rows(path, split, option))
    if is_hub_id(path) and not place.exists():
        from self_instruct.datasets.tables import hub_rows

        return Container("dataset of the Hub", hub_rows(path, split, option))
    try:
        stream = place.open("rb")
        try:
            found = _of_stream(stream, path, option)
        except BaseException:
            stream.close()
            raise
        return replace(found, rows=_closing(found.rows, stream))
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{option} {path}: cannot be read ({reason}); give the path of a file of instructions"
        ) from None


def _closing(rows: Iterator[Row | Unreadable], stream: BinaryIO) -> Iterator[Row | Unreadable]:
    """Yield the rows; close the stream after the last one, or when the consumer stops."""
    with stream:
        yield from rows


def _of_stream(stream: BinaryIO, name: str, option: str) -> Container:
    head = _read(stream, _HEAD)
    if head.startswith(b"\x1f\x8b"):
        unpacked = gzip.GzipFile(fileobj=_Rejoined.back(head, stream))
        return _of_stream(cast(BinaryIO, unpacked), name, option)
    if head.startswith(b"PAR1"):
        if name == "stdin":
            raise UserError(f"{option} -: Parquet cannot be read from a pipe; give the path of the file")
        from self_instruct.datasets.tables import parquet_rows

        return Container("Parquet", parquet_rows(name, option))
    for sign, problem in _FOREIGN:
        if head.removeprefix(_BOM).lstrip().startswith(sign):
            raise UserError(f"{option} {name}: {problem}")
    skipped = len(head) - len(head.removeprefix(_BOM).lstrip())
    content, rejoined = head[skipped:], _Rejoined.back(head, stream)
    if content.startswith(b"["):
        rejoined.read(skipped)
        return Container("JSON list", iter(Documents(rejoined, name)))
    if content.startswith(b"{"):
        document = _document(content)
        if document:
            rejoined.read(skipped)
            key, header = document
            return Container(f"JSON list {key!r} in an object", iter(Documents(rejoined, name)), key, header)
        if _is_spread(content):
            rejoined.read(skipped)
            return Container("JSON objects over several lines", iter(Documents(rejoined, name, spread=True)))
    return Container("JSON lines", _lines(rejoined, name))


def _document(content: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return the key of the object's first list and the scalar values before it; None if the file's objects are rows."""
    found = begins_with(content)
    if found is None:
        return None
    key, header = found
    line = _first_line(content)
    if _TASKS & {*header, *(line or _first_object(content))}:
        return None
    alone = line is None or not content.partition(b"\n")[2].strip() or set(line) <= LISTS
    if (key == "instances" and ("type" in header or not header)) or (key in LISTS and alone):
        return key, header
    return None


def _is_spread(content: bytes) -> bool:
    """Return whether an object spans several lines, like indented JSON."""
    first, _, rest = content.partition(b"\n")
    return first.strip() == b"{" or (
        rest[:1] in b" \t" and bool(re.match(rb'\s*"', rest)) and _first_line(content) is None
    )


def _first_object(content: bytes) -> dict[str, Any]:
    """Return the object at the beginning of a file; empty if it is incomplete."""
    try:
        return dict(json.JSONDecoder().raw_decode(content.decode("utf-8", "replace"))[0])
    except (ValueError, RecursionError):
        return {}


def _first_line(content: bytes) -> dict[str, Any] | None:
    """Return the object on the first line, or None if the line is not a complete object."""
    try:
        return object_of(content.partition(b"\n")[0], "")
    except LineError:
        return None


def _lines(file: io.BufferedIOBase, name: str) -> Iterator[Row | Unreadable]:
    number, constants = 0, list[str]()
    decode = json.JSONDecoder(parse_constant=constants.append).decode  # NaN and infinity become null, and are counted
    for at, (raw, whole) in enumerate(_raw_lines(file), start=1):
        place = f"{name}:{at}"
        constants.clear()
        try:
            if not whole:
                problem = f"has over {LONGEST:,} bytes; is every object on a line of its own?"
                raise LineError("too_long", place, problem)
            value = object_of(raw, place, decode)
            if value is None:
                continue
            line = raw.decode("utf-8").strip().encode("utf-8")
            yield Row(place, number, value, line, ("nan",) if constants else ())
        except LineError as error:
            yield Unreadable(place, error.reason, error.problem, shown(raw))
        number += 1


def _raw_lines(file: io.BufferedIOBase) -> Iterator[tuple[bytes, bool]]:
    """Yield each line and whether it is complete; of a line that is too long, only the beginning is kept in memory."""
    first = True
    while line := file.readline(LONGEST + 1):
        part, whole = line, line.endswith(b"\n") or len(line) <= LONGEST
        while not whole and part and not part.endswith(b"\n"):
            part = file.readline(LONGEST + 1)
        yield line.removeprefix(_BOM) if first else line, whole
        first = False


def _read(stream: BinaryIO, size: int) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"a file compressed by gzip is cut or damaged ({error}); fetch or write it again") from None


class _Rejoined(io.RawIOBase):
    """A stream preceded by the bytes that were already read from it."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = memoryview(head), rest

    @classmethod
    def back(cls, head: bytes, rest: BinaryIO) -> io.BufferedReader:
        """Return a buffered reader of the whole stream."""
        return io.BufferedReader(cls(head, rest), 1 << 16)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            number = min(len(buffer), len(self._head))
            buffer[:number], self._head = self._head[:number], self._head[number:]
            return number
        content = _read(self._rest, len(buffer))
        buffer[: len(content)] = content
        return len(content)
