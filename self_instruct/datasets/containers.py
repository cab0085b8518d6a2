"""Detect from its content how a file stores rows, and read them: JSON lines, JSON lists, lists inside objects, JSON objects
over several lines, CSV, TSV, Arrow, Parquet, a folder of the `datasets` library, or a Hub dataset. Files packed with gzip,
bzip2, xz or zstd are unpacked.

Only one row and a read-ahead buffer are in memory. schemas.py decides what the fields of a row mean.
"""

import errno
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from self_instruct.config.hub_names import is_hub_id
from self_instruct.datasets.cells import cell_rows, separator_of
from self_instruct.datasets.json_documents import LISTS, Documents, begins_with
from self_instruct.datasets.marked_text import dialect_of
from self_instruct.datasets.packed import read, unpacker
from self_instruct.datasets.parts import rows_of_file, sliced, split_of
from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE
from self_instruct.user_files import LineError, object_of

_FOLDER, _HUB = "folder of the datasets library", "dataset of the Hub"
_HEAD = 1 << 20
_BOM = b"\xef\xbb\xbf"
_ARROW = (b"ARROW1", b"\xff\xff\xff\xff")  # an Arrow file, and an Arrow stream as `datasets` caches it
_JSON = re.compile(rb"\{|\[(?![A-Z|])")  # not "[INST]" or "[|Human|]"
_ROW = re.compile(rb'^\{"', re.MULTILINE)
_TEMPLATE = 1 << 14  # bytes in which to look for the markers of a chat template
_TASKS = frozenset(["instruction", "prompt", "question"])  # an object with one of these keys is a row
_FOREIGN = (
    (
        b"version https://git-lfs.github.com",
        "is a Git LFS pointer, not the file itself; fetch the file with git lfs pull",
    ),
    (b"PK\x03\x04", "is a zip archive; unpack it first"),
    (b"\xff\xfe", "is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16; save it as UTF-8"),
    (b"<", "is HTML or XML, perhaps a web page that shows the file; download the raw file"),
)


@dataclass(frozen=True)
class Container:
    """The rows of a source; `kind` describes for people how they are stored. If they are in a list inside an object, `key` is
    the list's key and `header` holds the scalar values before it.
    """

    kind: str
    rows: Iterator[Row | Unreadable]
    key: str = ""
    header: dict[str, Any] = field(default_factory=dict)


def open_container(
    path: str, split: str | None = None, option: str = "--input_path", label: str | None = None
) -> Container:
    """Open a source: `-` is standard input, and `owner/name` is a Hub dataset unless such a path exists. Rows have `label` in
    place of the path.

    Raises UserError, naming the option, if the source cannot be opened or is in an unsupported format.
    """
    if split is None:
        return _open(path, None, option, label or path)
    name, part = split_of(split)
    found = _open(path, name, option, label or path)
    if found.kind not in (_FOLDER, _HUB):
        found = replace(found, rows=rows_of_file(found.rows, name, label or path))
    return replace(found, rows=sliced(found.rows, part))


def _open(path: str, split: str | None, option: str, label: str) -> Container:
    place = Path(path)
    if path == PIPE:
        return _of_stream(sys.stdin.buffer, "stdin", option)
    if place.is_dir():
        from self_instruct.datasets.tables import folder_rows

        return Container(_FOLDER, folder_rows(path, split, option))
    if is_hub_id(path) and not place.exists():
        from self_instruct.datasets.tables import hub_rows

        return Container(_HUB, hub_rows(path, split, option))
    try:
        stream = place.open("rb")
        try:
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is a device")
            found = _of_stream(stream, label, option)
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
    where = f"{option} {name}"
    head = read(stream, _HEAD, where)
    unpack = unpacker(head)
    if unpack is not None:
        return _of_stream(unpack(cast(BinaryIO, _Rejoined.reader(head, stream, where))), name, option)
    table = _table(head, name, option)
    if table is not None:
        return table
    skipped = len(head) - len(head.removeprefix(_BOM).lstrip())
    content, rejoined = head[skipped:], _Rejoined.reader(head, stream, where)
    if _JSON.match(content):
        return _of_json(content, rejoined, skipped, name)
    separator = separator_of(content, name)
    if separator:
        return Container("TSV" if separator == "\t" else "CSV", cell_rows(rejoined, separator, name))
    dialect = dialect_of(content[:_TEMPLATE].decode("utf-8", "replace"))
    if dialect is not None and not _ROW.search(content[:_TEMPLATE]):
        raise UserError(
            f"{option} {name}: is plain text in the template of {dialect.name}, not rows; write one JSON object per line, "
            'with a conversation in its field "text"'
        )
    for sign, problem in _FOREIGN:
        if content.startswith(sign):
            raise UserError(f"{option} {name}: {problem}")
    return Container("JSON lines", _lines(rejoined, name))


def _table(head: bytes, name: str, option: str) -> Container | None:
    """Return the container of an Arrow or Parquet file; None for other content. Raises UserError if it comes from a pipe."""
    kind = "Parquet" if head.startswith(b"PAR1") else "Arrow" if head.startswith(_ARROW) else None
    if kind is None:
        return None
    if name == "stdin":
        raise UserError(f"{option} -: {kind} cannot be read from a pipe; give the path of the file")
    from self_instruct.datasets.tables import arrow_rows, parquet_rows

    return Container(kind, (parquet_rows if kind == "Parquet" else arrow_rows)(name, option))


def _of_json(content: bytes, rejoined: io.BufferedReader, skipped: int, name: str) -> Container:
    """Return the container of a file that begins with a list or an object, after `skipped` bytes of white space."""
    kind, documents = "", Documents(cast(BinaryIO, rejoined), name)
    document = _document(content) if content.startswith(b"{") else None
    if content.startswith(b"["):
        kind = "JSON list"
        if _is_turn(content):
            kind, documents = "JSON lists of turns", Documents(cast(BinaryIO, rejoined), name, spread=True)
    elif document:
        kind = f"JSON list {document[0]!r} in an object"
    elif _is_spread(content):
        kind, documents = "JSON objects over several lines", Documents(cast(BinaryIO, rejoined), name, spread=True)
    if not kind:
        return Container("JSON lines", _lines(rejoined, name))
    rejoined.read(skipped)
    return Container(kind, iter(documents), *(document or ()))


def _is_turn(content: bytes) -> bool:
    """Return whether a list begins with a turn of a conversation, so that each list is a row."""
    first = _first_object(content[1:].lstrip())
    return any({by, said} <= {*first} for by, said in (("role", "content"), ("from", "value")))


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
    except (TypeError, ValueError, RecursionError):
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
                problem = f"has over {LONGEST:,} bytes; put each object on a line of its own"
                raise LineError("too_long", place, problem)
            value = object_of(raw, place, decode)
            if value is None:
                continue
            yield Row(place, number, value, _trimmed(raw), ("nan",) if constants else ())
        except LineError as error:
            yield Unreadable(place, error.reason, error.problem, shown(raw))
        number += 1


def _trimmed(line: bytes) -> bytes:
    """Return the object on a line, without white space of any script around it."""
    found = line.strip()
    return found if found.startswith(b"{") and found.endswith(b"}") else line.decode("utf-8").strip().encode("utf-8")


def _raw_lines(file: io.BufferedIOBase) -> Iterator[tuple[bytes, bool]]:
    """Yield each line and whether it is complete; of a line that is too long, only the beginning is kept in memory."""
    first = True
    while line := file.readline(LONGEST + 1):
        part, whole = line, line.endswith(b"\n") or len(line) <= LONGEST
        while not whole and part and not part.endswith(b"\n"):
            part = file.readline(LONGEST + 1)
        yield line.removeprefix(_BOM) if first else line, whole
        first = False


class _Rejoined(io.RawIOBase):
    """A stream preceded by the bytes that were already read from it. Messages begin with `where`, the option and the path."""

    def __init__(self, head: bytes, rest: BinaryIO, where: str) -> None:
        self._head, self._rest, self._where = memoryview(head), rest, where

    @classmethod
    def reader(cls, head: bytes, rest: BinaryIO, where: str) -> io.BufferedReader:
        """Return a buffered reader of the whole stream."""
        return io.BufferedReader(cls(head, rest, where), 1 << 16)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            number = min(len(buffer), len(self._head))
            buffer[:number], self._head = self._head[:number], self._head[number:]
            return number
        content = read(self._rest, len(buffer), self._where)
        buffer[: len(content)] = content
        return len(content)
