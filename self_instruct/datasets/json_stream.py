"""The values of a JSON list, or of JSON values one after the other, from a stream: one at a time, whatever the file's size.

A value that is not JSON is told with its place, and reading goes on at the next one that begins alike. Knows nothing of what
the values mean.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from self_instruct.datasets.json_text import TolerantDecoder, end_of_value
from self_instruct.datasets.rows import LONGEST, Row, Unreadable, shown

_CHUNK = 1 << 18
_BETWEEN = re.compile(r"[\s,]*")
_FIRST_KEY = re.compile(r'\{\s*("(?:[^"\\]|\\.)*")\s*:')
_KEY = 4096  # characters that a first key may take
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


class JsonStream:
    """Iterates over the rows of a stream of text in UTF-8 that stands inside a list, behind its bracket, or in no list at all.

    `inside` says which. A text after the list is a fault unless it is `ending`, the end of the object around it.
    """

    def __init__(self, stream: BinaryIO, name: str, *, inside: bool, skip: int = 0, ending: bool = False) -> None:
        self._stream, self._name, self._inside, self._ending = stream, name, inside, ending
        self._decoder, self._bytes = TolerantDecoder(), codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text, self._at, self._number = "", 0, 0
        self._ended = self._lost = False
        while len(self._text) < skip and self._more():
            pass
        self._at = skip

    def __iter__(self) -> Iterator[Row | Unreadable]:
        """Rows and what could not be read, in order."""
        while self._find_next():
            yield self._next()
            self._number += 1
        yield from self._after()

    def _find_next(self) -> bool:
        """Goes to the beginning of the next value; False at the end of the list or of the stream."""
        while True:
            found = _BETWEEN.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return not (self._inside and self._text[self._at] == "]")
            if not self._more():
                return False

    def _next(self) -> Row | Unreadable:
        self._decoder.begin()
        while True:
            try:
                value, end = self._decoder.decode_at(self._text, self._at)
                if isinstance(value, dict | list) or end < len(self._text) or self._ended:
                    return self._taken(value, end)
            except (ValueError, RecursionError) as error:
                end = end_of_value(self._text, self._at) or 0
                if end and isinstance(error, RecursionError):
                    return self._told("not_json", _said(error), end)
                if end or self._ended or len(self._text) - self._at > LONGEST:
                    return self._mended(end) if end else self._damaged(error)
            self._more()

    def _mended(self, end: int) -> Row | Unreadable:
        """A value that is whole by its brackets."""
        try:
            return self._taken(self._decoder.decode(self._text[self._at : end]), end)
        except (ValueError, RecursionError) as error:
            alike = self._alike(self._at)
            swallowed = alike is not None and alike.search(self._text, self._at + 1, end)
            return self._damaged(error) if swallowed else self._told("not_json", _said(error), end)

    def _taken(self, value: Any, end: int) -> Row | Unreadable:
        if _NOT_UTF8.search(self._text, self._at, end):
            return self._told("not_utf8", "has bytes that are not UTF-8; save the file as UTF-8", end)
        if not isinstance(value, dict):
            return self._told("not_an_object", f"is a {type(value).__name__}, but every row must be an object", end)
        self._at = end
        return Row(self._place, self._number, value, None, tuple(sorted(self._decoder.repairs)))

    def _damaged(self, error: Exception) -> Unreadable:
        """Tells a value whose end cannot be found, and goes to where the next one that begins alike does."""
        alike, begin = self._alike(self._at), self._text[self._at : self._at + _CHUNK]
        row = Unreadable(self._place, "not_json", _said(error), shown(begin))
        after = self._at + 1
        while True:
            found = alike.search(self._text, after) if alike else None
            if found:
                self._at = found.start(1)
                return row
            # The next one's first key may be only half read.
            self._at = max(after, len(self._text) - _KEY)
            if not self._more():
                self._at, self._lost = len(self._text), True
                return row
            after = 0

    def _told(self, reason: str, problem: str, end: int) -> Unreadable:
        row = Unreadable(self._place, reason, problem, shown(self._text[self._at : end]))
        self._at = end
        return row

    def _alike(self, at: int) -> re.Pattern[str] | None:
        """What finds objects whose first key is that of the object at a position."""
        found = _FIRST_KEY.match(self._text, at)
        return re.compile(r"[,\n]\s*(\{\s*" + re.escape(found[1]) + r"\s*:)") if found else None

    def _after(self) -> Iterator[Unreadable]:
        """What is wrong with the end, if anything."""
        if not self._inside or self._lost:
            return
        if self._at >= len(self._text):
            yield Unreadable(self._place, "cut", "the file ends inside its list; it may have been cut", "")
            return
        self._at += 1
        rest = self._text[self._at :].strip()
        while not rest and self._more():
            rest = self._text[self._at :].strip()
        if rest and not self._ending:
            yield Unreadable(self._place, "after_the_list", "stands after the end of the list", shown(rest))

    def _more(self) -> bool:
        """Takes in more of the stream, twice as much as is held back; False at its end."""
        if self._ended:
            return False
        held = len(self._text) - self._at
        content = self._stream.read(max(_CHUNK, held))
        self._ended = not content
        self._text = self._text[self._at :] + self._bytes.decode(content, final=not content)
        self._at = 0
        return True

    @property
    def _place(self) -> str:
        return f"{self._name}[{self._number}]"


def _said(error: Exception) -> str:
    return f"is not JSON ({getattr(error, 'msg', error)})"
