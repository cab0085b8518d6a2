"""The rows of JSON documents, one after the other: lists of objects, and objects that hold such lists, by splits or otherwise.

Of an object, every list of objects is read, and plain values are taken for its header. What stands elsewhere is told: nothing
is passed over in silence. Knows nothing of what rows and headers mean.
"""

import io
import json
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any, BinaryIO

from self_instruct.datasets.json_stream import JsonStream, Text, said
from self_instruct.datasets.json_text import TolerantDecoder, end_of_value
from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown

_ALL_ROWS = ("instances", "data", "rows", "examples", "records")
_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")
LISTS = frozenset([*_ALL_ROWS, *_SPLITS])
"""Keys of lists by which an object is known for a document, and not for a row."""

_LONGEST_KEY = 4096
_OPENING = re.compile(r"\[\s*([^\s])")
_BEHIND = re.compile(r"[\s,}\]]")  # a number goes on till one of these
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Documents:
    """Iterates over the rows of all documents of a stream. Rows of a list whose key does not mean all rows have the key as
    their `part`; rows are numbered through the whole stream.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._text, self._name, self._number = Text(stream), name, 0
        self._decoder = TolerantDecoder()

    def __iter__(self) -> Iterator[Row | Unreadable]:
        """Rows and what could not be read, in order."""
        while sign := self._text.next_sign():
            if sign not in "[{":
                yield self._rest("after_the_list", "stands after the end of the list")
                return
            self._text.at += 1
            yield from self._rows("", {}) if sign == "[" else self._object()

    def first_list(self) -> tuple[str, dict[str, Any]] | None:
        """The key of the first list of rows of the object that the stream begins with, and the plain values before it; None if
        something else comes first.
        """
        header = dict[str, Any]()
        if self._text.next_sign() != "{":
            return None
        self._text.at += 1
        key = self._next_list(header)
        return (key, header) if isinstance(key, str) else None

    def _object(self) -> Iterator[Row | Unreadable]:
        header, told = dict[str, Any](), False
        while (found := self._next_list(header)) is not None:
            if isinstance(found, Unreadable):
                told = True
                yield found
                if not self._text.next_sign():
                    return
                continue
            before = self._number
            if not (yield from self._rows(found, dict(header))):
                return
            told |= found in LISTS or self._number > before
        if not told:
            problem = "is an object without a list of rows, behind what is read"
            yield Unreadable(self._place(), "after_the_list", problem, shown(json.dumps(header, ensure_ascii=False)))

    def _rows(self, key: str, header: Mapping[str, Any]) -> Generator[Row | Unreadable, None, bool]:
        """The rows of a list, from behind its bracket to behind the one that closes it. Returns whether that was there."""
        part = "" if key in _ALL_ROWS else key
        rows = JsonStream(self._text, self._name, inside=True, number=self._number, part=part, header=header)
        yield from rows
        self._number = rows.number
        closed = self._text.next_sign() == "]"
        self._text.at += closed
        return closed

    def _next_list(self, header: dict[str, Any]) -> str | Unreadable | None:
        """Goes on inside an object to behind the bracket of its next list of objects, and returns its key, or what cannot be
        read before it; None behind the end of the object. Plain values go to the header.
        """
        while (sign := self._text.next_sign()) != "}":
            if not sign:
                return Unreadable(self._place(), "cut", "the file ends inside its object; it may have been cut", "")
            try:
                key, _ = self._value(_LONGEST_KEY)
                if not isinstance(key, str) or self._text.next_sign() != ":":
                    raise ValueError("a key and a colon are missing")
                self._text.at += 1
                if self._opens_rows():
                    return key
                value, raw = self._value(LONGEST)
            except (ValueError, RecursionError) as error:
                return self._rest("not_json", said(error))
            if not _is_plain(value):
                problem = (
                    f"{key!r} is neither a list of objects nor a plain value; give its rows as a list of the object"
                )
                return Unreadable(f"{self._name}#{key}", "nested", problem, raw)
            header[key] = value
        self._text.at += 1
        return None

    def _opens_rows(self) -> bool:
        """Goes behind the bracket if a list of objects, or an empty one, comes next."""
        if self._text.next_sign() != "[":
            return False
        while not (found := _OPENING.match(self._text.content, self._text.at)):
            if not self._text.more():
                return False
        if found[1] not in "{]":
            return False
        self._text.at = found.start(1)
        return True

    def _value(self, longest: int) -> tuple[Any, str]:
        """The value that comes next, mended where it has to be, and the beginning of its text. Raises `ValueError` or
        `RecursionError` if it is none.
        """
        text = self._text
        text.next_sign()
        while True:
            try:
                value, end = self._decoder.decode_at(text.content, text.at)
                whole = isinstance(value, dict | list | str) or bool(_BEHIND.match(text.content, end)) or text.ended
                if whole or end - text.at > longest:
                    return value, self._passed(end)
            except ValueError:
                stop = self._end()
                if stop is not None:
                    return self._decoder.decode(text.content[text.at : stop]), self._passed(stop)
                if text.ended or len(text.content) - text.at > longest:
                    raise
            text.more()

    def _passed(self, end: int) -> str:
        """Goes to a position; the beginning of what stands before it."""
        begin, self._text.at = self._text.at, end
        return shown(self._text.content[begin:end])

    def _end(self) -> int | None:
        """Where the value that comes next ends, by its quotes or brackets; None if it is not all there."""
        content, at = self._text.content, self._text.at
        if content.startswith('"', at):
            found = _STRING.match(content, at)
            return found.end() if found else None
        return end_of_value(content, at) if content.startswith(("{", "["), at) else None

    def _rest(self, reason: str, problem: str) -> Unreadable:
        """All that follows, which is passed over."""
        row = Unreadable(self._place(), reason, problem, shown(self._text.content[self._text.at :]))
        self._text.at = len(self._text.content)
        while self._text.more():
            self._text.at = len(self._text.content)
        return row

    def _place(self) -> str:
        return f"{self._name}[{self._number}]"


def begins_with(content: bytes) -> tuple[str, dict[str, Any]] | None:
    """As `Documents.first_list`, of the beginning of a file."""
    return Documents(io.BytesIO(content), "").first_list()


def _is_plain(value: Any) -> bool:
    """Whether a value is no object and no list, or one of plain values."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(item, dict | list) for item in inner)
