"""Iterate over the rows of JSON documents in a stream: lists of objects, and objects that hold such lists.

Values are decoded one at a time, so a list needs no more memory than its longest row. Commas after the last row and between
documents are accepted. A row that is not JSON becomes one `Unreadable`, and reading continues at the next row that begins with
the key of this row or of the row before it. Reading ends if there is no such row, or if anything else is not JSON.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown
from self_instruct.records import json_line
from self_instruct.user_files import json_kind

_ALL_ROWS = ("instances", "data", "rows", "examples", "records")
_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")
LISTS = frozenset([*_ALL_ROWS, *_SPLITS])
"""Keys of lists that mark an object as a document rather than a row."""

_CHUNK = 1 << 18
_BETWEEN = re.compile(r"[\s,]*")
_OPENING = re.compile(r"\[\s*([^\s])")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.){0,1000}")\s*:')
_LONGEST_KEY = 8192  # characters from the beginning of a row to the colon after its first key, at most
_NEAR = 16  # characters at the end of the buffer in which a cut literal or escape may begin
_SHOWN = 4096  # characters to show of broken text
_HALF_NUMBER = 2  # characters of an incomplete exponent, as in "1e+"


class _Broken(Exception):
    """The text from here on cannot be read; holds a reason code and the problem."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason, self.problem = reason, problem


class _Ended(Exception):
    """No row follows one that could not be read."""


class _Text:
    """A UTF-8 stream as text. Only the unread part is in memory: `content` from position `at`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.content, self.at, self._ended = "", 0, False
        # NaN and infinity in the last value; `append` returns None, so they are read as null.
        self.constants = list[str]()
        self._json = json.JSONDecoder(parse_constant=self.constants.append)

    def more(self) -> bool:
        """Double the buffered text, reading at least a chunk. Return False at the end of the stream."""
        if self._ended:
            return False
        held = len(self.content) - self.at
        read = self._stream.read(max(_CHUNK, held))
        self._ended = not read
        self.content = self.content[self.at :] + self._decoder.decode(read, final=not read)
        self.at = 0
        return True

    def next_char(self) -> str:
        """Skip white space and commas. Return the character that follows, or an empty text at the end of the stream."""
        while True:
            found = _BETWEEN.match(self.content, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.content):
                return self.content[self.at]
            if not self.more():
                return ""

    def value(self) -> tuple[Any, str]:
        """Decode the next value and move past it. Return the value and its text. Raises `_Broken`."""
        self.next_char()
        while True:
            self.constants.clear()
            try:
                value, end = self._json.raw_decode(self.content, self.at)
                behind = len(self.content) - end
                if isinstance(value, dict | list | str) or behind > _HALF_NUMBER or self._ended:
                    raw, self.at = self.content[self.at : end], end
                    return value, raw
            except json.JSONDecodeError as error:
                # Near the end of the buffer, or inside a string, the value may just be incomplete.
                certain = not error.msg.startswith("Unterminated") and error.pos < len(self.content) - _NEAR
                if certain or self._ended:
                    raise _Broken("not_json", f"is not JSON ({error.msg})") from None
            except (ValueError, RecursionError) as error:
                raise _Broken("not_json", f"is not JSON ({error})") from None
            if len(self.content) - self.at > LONGEST:
                raise _Broken("too_long", f"is not JSON, or has over {LONGEST:,} characters")
            self.more()

    def first_key(self) -> str:
        """Return the first key of the next object, with its quotes; empty if it cannot be read."""
        first = _FIRST_KEY.match(self.content, self.at)
        return first[1] if first else ""

    def skip_row(self, key: str) -> bool:
        """Skip a broken row, up to the next row that begins with this key. Return False at the end of the stream."""
        beginning = re.compile(r"\{\s{0,99}" + re.escape(key) + r"\s{0,99}:") if key else None
        self.at += 1
        while beginning is not None:
            for found in beginning.finditer(self.content, self.at):
                before = self.content[max(0, found.start() - 99) : found.start()]
                ahead = before.rstrip()
                if ahead.endswith(",") or "\n" in before[len(ahead) :]:
                    # The json module counts lines up to each error, so drop the text before.
                    self.content, self.at = self.content[found.start() :], 0
                    return True
            self.at = max(self.at, len(self.content) - _LONGEST_KEY)
            if not self.more():
                break
        return False

    def opens_rows(self) -> bool:
        """Skip the bracket and return True if a list of objects, or an empty list, comes next."""
        if self.next_char() != "[":
            return False
        while not (found := _OPENING.match(self.content, self.at)):
            if len(self.content) - self.at > LONGEST or not self.more():
                return False
        if found[1] not in "{]":
            return False
        self.at = found.start(1)
        return True


class Documents:
    """Iterate over the rows and the unreadable parts of all documents of a stream, in order.

    Rows are numbered across the stream. If a list's key names a split, its rows have the key as their `part`. With `spread`,
    the objects of the stream are the rows.
    """

    def __init__(self, stream: BinaryIO, name: str, *, spread: bool = False) -> None:
        self._text, self._name, self._spread = _Text(stream), name, spread
        self._number, self._part, self._key = 0, "", ""

    def __iter__(self) -> Iterator[Row | Unreadable]:
        text = self._text
        try:
            while char := text.next_char():
                if self._spread:
                    yield from self._row_or_damage(None)
                elif char == "[":
                    text.at += 1
                    yield from self._rows("", {})
                elif char == "{":
                    yield from self._object()
                else:
                    raise _Broken("after_the_list", "comes after the end of the list")
        except _Ended:
            self._drain()
        except _Broken as error:
            rest = "; reading ends here" if error.reason in ("not_json", "too_long") else ""
            yield Unreadable(
                self._place, error.reason, error.problem + rest, shown(text.content[text.at : text.at + _SHOWN])
            )
            self._drain()

    def first_list(self) -> tuple[str, dict[str, Any]] | None:
        """Return the key of the first list of rows in the stream's first object, and the scalar values before it.

        Return None if the stream begins otherwise.
        """
        header = dict[str, Any]()
        if self._text.next_char() != "{":
            return None
        self._text.at += 1
        try:
            key = self._next_list(header)
        except _Broken:
            return None
        return (key, header) if isinstance(key, str) else None

    def _object(self) -> Iterator[Row | Unreadable]:
        header, accounted = dict[str, Any](), False
        self._text.at += 1
        while (found := self._next_list(header)) is not None:
            if isinstance(found, Unreadable):
                accounted = True
                yield found
                continue
            before = self._number
            yield from self._rows(found, dict(header))
            accounted |= found in LISTS or self._number > before
        if not accounted:
            problem = "is an object without a list of rows"
            yield Unreadable(self._place, "after_the_list", problem, shown(json_line(header)))

    def _next_list(self, header: dict[str, Any]) -> str | Unreadable | None:
        """Read an object up to and including the opening bracket of its next list of objects; store plain values in `header`.

        Return the list's key, an `Unreadable` for a value that is neither plain nor a list of objects, or None after the
        object's end.
        """
        text = self._text
        while (char := text.next_char()) != "}":
            if not char:
                raise _Broken("cut", "the file ends inside its object; it may have been cut")
            key, _ = text.value()
            if not isinstance(key, str) or text.next_char() != ":":
                raise _Broken("not_json", "is not JSON (a key and a colon are missing)")
            text.at += 1
            if text.opens_rows():
                return key
            value, raw = text.value()
            if not _is_plain(value):
                problem = f"{key!r} is neither a list of objects nor a plain value; move its rows to a list of the outer object"
                return Unreadable(f"{self._name}#{key}", "nested", problem, shown(raw))
            header[key] = value
        text.at += 1
        return None

    def _rows(self, key: str, header: Mapping[str, Any]) -> Iterator[Row | Unreadable]:
        """Read the rows of a list from after its opening bracket to after its closing one."""
        self._part = "" if key in _ALL_ROWS else key
        while (char := self._text.next_char()) != "]":
            if not char:
                raise _Broken("cut", "the file ends inside its list; it may have been cut")
            yield from self._row_or_damage(header)
        self._text.at += 1
        self._part = ""

    def _row_or_damage(self, header: Mapping[str, Any] | None) -> Iterator[Row | Unreadable]:
        """Read the next row, or skip a broken one. Raises `_Ended` if no similar row follows."""
        text = self._text
        text.next_char()
        self._key = text.first_key() or self._key
        try:
            yield self._row(header)
        except _Broken as error:
            place, damaged = self._place, shown(text.content[text.at : text.at + _SHOWN])
            self._number += 1
            goes_on = text.skip_row(self._key)
            rest = "" if goes_on else "; reading ends here"
            yield Unreadable(place, error.reason, error.problem + rest, damaged)
            if not goes_on:
                raise _Ended from None

    def _drain(self) -> None:
        """Read the rest of the stream, so that the writer of a pipe does not get SIGPIPE."""
        while self._text.more():
            self._text.at = len(self._text.content)

    def _row(self, header: Mapping[str, Any] | None) -> Row | Unreadable:
        value, raw = self._text.value()
        place = self._place
        self._number += 1
        if _NOT_UTF8.search(raw):
            return Unreadable(place, "not_utf8", "has bytes that are not UTF-8; save the file as UTF-8", shown(raw))
        if isinstance(value, list) and is_conversation(value):
            value = {"messages": value}
        if not isinstance(value, dict):
            problem = f"is {json_kind(value)}, but every row must be an object"
            return Unreadable(place, "not_an_object", problem, shown(raw))
        repairs = ("nan",) if self._text.constants else ()
        return Row(place, self._number - 1, value, None, repairs, self._part, header)

    @property
    def _place(self) -> str:
        return f"{self._name}{'#' if self._part else ''}{self._part}[{self._number}]"


def begins_with(content: bytes) -> tuple[str, dict[str, Any]] | None:
    """Call `Documents.first_list` on the beginning of a file."""
    return Documents(io.BytesIO(content), "").first_list()


def is_conversation(items: list[Any]) -> bool:
    """Return whether a list in place of a row is a conversation: turns, or a question and an answer."""
    turns = all(isinstance(item, dict) and ("role" in item or "from" in item) for item in items)
    return bool(items) and (turns or (len(items) > 1 and all(isinstance(item, str) for item in items)))


def _is_plain(value: Any) -> bool:
    """Return whether a value is a scalar, or a list or object of scalars."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(item, dict | list) for item in inner)
