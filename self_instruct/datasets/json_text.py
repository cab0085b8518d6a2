"""Reading JSON that is nearly JSON: broken escapes, raw control characters and NaN are mended, and the mending is told.

Mended is only what can mean one thing. Knows nothing of files and of what the values mean.
"""

import json
import re
from typing import Any

_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\(.?)', re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|"', re.DOTALL)
REPAIRS = {
    "escape": "backslashes that begin no escape, taken as text",
    "control_character": "raw control characters inside a text, taken as they stood",
    "nan": "NaN or infinity, which JSON has not, taken as null",
    "bytes": "bytes, which JSON has not, taken as text in base64",
}
"""What can be mended, in words."""


class TolerantDecoder:
    """Decodes JSON values out of longer texts. `repairs` names what had to be mended since `begin` was called."""

    def __init__(self) -> None:
        self.repairs: set[str] = set()
        self._strict = json.JSONDecoder(parse_constant=self._constant)
        self._loose = json.JSONDecoder(parse_constant=self._constant, strict=False)

    def begin(self) -> None:
        """Forgets earlier repairs."""
        self.repairs = set()

    def decode_at(self, text: str, at: int) -> tuple[Any, int]:
        """The value that begins at a position, if it needs no mending of its text, and where it ends.

        Raises `ValueError` or `RecursionError` otherwise.
        """
        return self._strict.raw_decode(text, at)

    def decode(self, text: str) -> Any:
        """The one value that a text holds, mended where it has to be. Raises `ValueError` or `RecursionError` if it is none."""
        try:
            return self._whole(self._strict, text)
        except ValueError as error:
            first = error
        mended = _ESCAPE.sub(_mended, text)
        for decoder, candidate in ((self._strict, mended), (self._loose, text), (self._loose, mended)):
            try:
                value = self._whole(decoder, candidate)
            except ValueError:
                continue
            self.repairs |= {"escape"} if candidate != text else set()
            self.repairs |= {"control_character"} if decoder is self._loose else set()
            return value
        raise first

    def _whole(self, decoder: json.JSONDecoder, text: str) -> Any:
        return decoder.decode(text)

    def _constant(self, name: str) -> None:
        self.repairs.add("nan")


def end_of_value(text: str, at: int) -> int | None:
    """Where the object or list that begins at a position ends, by its brackets; None if the text ends before."""
    depth = 0
    for found in _TOKEN.finditer(text, at):
        sign = found[0]
        if sign == '"':  # a text that is not closed
            return None
        if sign in "{[":
            depth += 1
        elif sign in "}]":
            depth -= 1
            if depth <= 0:
                return found.end()
    return None


def _mended(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    return "'" if found[1] == "'" else f"\\\\{found[1]}"
