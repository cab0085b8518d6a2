"""Reject instructions by their beginning: a text such as "Write a program", or a character."""

import string
import unicodedata
from collections.abc import Callable, Sequence

from self_instruct.records import Record

PROGRAMMING = ("Write a program", "Write a function")
"""Openings of programming tasks. Small models often write the first without a program as the output (wang2022self); a fork of
Self-Instruct for code adds the second."""

_PUNCTUATION = frozenset(string.punctuation)
_OPENING_CATEGORIES = ("Nd", "Nl", "Ps", "Pi", "Pf")
"""Unicode categories besides letters that may begin a sentence: digits, brackets and quotation marks.

Closing quotation marks (Pf) are included, because some languages use them as opening marks."""


def without_programming(openings: Sequence[str], keep_programming: bool) -> list[str]:
    """Return the openings that are not blank; with `keep_programming`, without those in `PROGRAMMING` in any case."""
    removed = {text.lower() for text in PROGRAMMING} if keep_programming else set()
    return [text for text in openings if text.strip() and text.lower() not in removed]


def drop_openings(openings: Sequence[str]) -> Callable[[Record], str | None]:
    """Reject with `opening` if the instruction begins with one of the texts; a lower-case text matches any case."""

    def rule(record: Record) -> str | None:
        exact, folded = record.instruction, record.instruction.lower()
        found = (text for text in openings if (folded if text == text.lower() else exact).startswith(text))
        return next((f"opening: {text}" for text in found), None)

    return rule


def drop_punctuation(record: Record) -> str | None:
    """Reject with `starts_with_punctuation`: the instruction is probably the rest of a label, a list or a quotation."""
    return "starts_with_punctuation" if record.instruction[:1] in _PUNCTUATION else None


def drop_non_ascii(record: Record) -> str | None:
    """Reject with `starts_with_non_ascii`: a bullet, an emoji, or a language that the prompt did not ask for."""
    return "starts_with_non_ascii" if record.instruction and not record.instruction[0].isascii() else None


def drop_leading_symbol(record: Record) -> str | None:
    """Reject with `starts_with_non_ascii` if the instruction begins with a bullet, an emoji or another symbol.

    Skip invisible format characters, such as marks of writing direction, at the beginning.
    """
    first = next((character for character in record.instruction if unicodedata.category(character) != "Cf"), "•")
    opens = first.isascii() or first in "¿¡" or unicodedata.category(first).startswith(("L", *_OPENING_CATEGORIES))
    return "starts_with_non_ascii" if record.instruction and not opens else None
