"""The values of a JSON list, or of JSON values one after the other, from a stream: one at a time, whatever the file's size.

A value that is not JSON is told with its place, and reading goes on at the next one that begins alike. Knows nothing of what
the values mean.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from self_instruct.datasets.json_text import TolerantDecoder, end_of_value
from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown

_CHUNK = 1 << 18
_BETWEEN = re.compile(r"[\s,]*")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
_KEY = 4096  # characters that a first key may take
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class Text:
    """A stream of UTF-8 as text, of which only what lies ahead is in memory: `content` from the position `at` on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.content, self.at, self.ended = "", 0, False

    def more(self) -> bool:
        """Takes in more of the stream, twice as much as is held back; False at its end."""
        if self.ended:
            return False
        held = len(self.content) - self.at
        read = self._stream.read(max(_CHUNK, held))
        self.ended = not read
        self.content = self.content[self.at :] + self._decoder.decode(read, final=not read)
        self.at = 0
        return True

    def next_sign(self) -> str:
        """Goes to what follows after white space and commas: its first character; empty at the end of the stream."""
        while True:
            found = _BETWEEN.match(self.content, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.content):
                return self.content[self.at]
            if not self.more():
                return ""


class JsonStream:
    """Iterates over the rows that stand in a text: `inside` a list, from behind its bracket to before the one that closes it,
    or in no list. They are numbered from `number` on; `part` and `header` are what they say of where they stand.
    """

    def __init__(
        self, text: Text, name: str, *, inside: bool, number: int = 0, part: str = "",
        header: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._text, self._inside, self.number = text, inside, number
        self._name, self._part, self._header = f"{name}#{part}" if part else name, part, header
        self._decoder, self._lost = TolerantDecoder(), False

    def __iter__(self) -> Iterator[Row | Unreadable]:
        """Rows and what could not be read, in order."""
        while (sign := self._text.next_sign()) and not (self._inside and sign == "]"):
            yield self._next()
            self.number += 1
        if self._inside and not sign and not self._lost:
            yield Unreadable(self._place, "cut", "the file ends inside its list; it may have been cut", "")

    def _next(self) -> Row | Unreadable:
        self._decoder.begin()
        while True:
            try:
                value, end = self._decoder.decode_at(self._text.content, self._text.at)
                if isinstance(value, dict | list) or end < len(self._text.content) or self._text.ended:
                    return self._taken(value, end)
            except (ValueError, RecursionError) as error:
                end = end_of_value(self._text.content, self._text.at) or 0
                if end and isinstance(error, RecursionError):
                    return self._told("not_json", said(error), end)
                if end or self._text.ended or len(self._text.content) - self._text.at > LONGEST:
                    return self._mended(end) if end else self._damaged(error)
            self._text.more()

    def _mended(self, end: int) -> Row | Unreadable:
        """A value that is whole by its brackets."""
        try:
            return self._taken(self._decoder.decode(self._text.content[self._text.at : end]), end)
        except (ValueError, RecursionError) as error:
            alike = self._alike(self._text.at)
            swallowed = alike is not None and alike.search(self._text.content, self._text.at + 1, end)
            return self._damaged(error) if swallowed else self._told("not_json", said(error), end)

    def _taken(self, value: Any, end: int) -> Row | Unreadable:
        if _NOT_UTF8.search(self._text.content, self._text.at, end):
            return self._told("not_utf8", "has bytes that are not UTF-8; save the file as UTF-8", end)
        if not isinstance(value, dict):
            return self._told("not_an_object", f"is a {type(value).__name__}, but every row must be an object", end)
        self._text.at = end
        repairs = tuple(sorted(self._decoder.repairs))
        return Row(self._place, self.number, value, None, repairs, self._part, self._header)

    def _damaged(self, error: Exception) -> Unreadable:
        """Tells a value whose end cannot be found, and goes to where the next one that begins alike does."""
        alike, begin = self._alike(self._text.at), self._text.content[self._text.at : self._text.at + _CHUNK]
        row = Unreadable(self._place, "not_json", said(error), shown(begin))
        after = self._text.at + 1
        while True:
            found = alike.search(self._text.content, after) if alike else None
            if found:
                self._text.at = found.start(1)
                return row
            # The next one's first key may be only half read.
            self._text.at = max(after, len(self._text.content) - _KEY)
            if not self._text.more():
                self._text.at, self._lost = len(self._text.content), True
                return row
            after = 0

    def _told(self, reason: str, problem: str, end: int) -> Unreadable:
        row = Unreadable(self._place, reason, problem, shown(self._text.content[self._text.at : end]))
        self._text.at = end
        return row

    def _alike(self, at: int) -> re.Pattern[str] | None:
        """What finds objects whose first key is that of the object at a position."""
        found = _FIRST_KEY.match(self._text.content, at)
        return re.compile(r"[,\n]\s*(\{\s*" + re.escape(found[1]) + r"\s*:)") if found else None

    @property
    def _place(self) -> str:
        return f"{self._name}[{self.number}]"


def said(error: Exception) -> str:
    """What is wrong with a text that is not JSON."""
    return f"is not JSON ({getattr(error, 'msg', error)})"
