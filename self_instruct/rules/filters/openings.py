"""Texts and characters with which an instruction must not begin."""

import string
import unicodedata
from collections.abc import Callable, Sequence

from self_instruct.records import Record

PROGRAMMING = ("Write a program", "Write a function")
"""Small models often begin a task with the first and then write no program (wang2022self); the code fork of Self-Instruct adds
the second."""

_OPENING = ("Nd", "Nl", "Ps", "Pi", "Pf")
"""Unicode categories that may open a sentence besides letters: digits, brackets and quotation marks (some languages open with
marks that others close with)."""


def without_programming(openings: Sequence[str], keep_programming: bool) -> list[str]:
    """Return the texts to look for; `keep_programming` removes those of `PROGRAMMING`, ignoring case."""
    kept = {text.lower() for text in PROGRAMMING} if keep_programming else set()
    return [text for text in openings if text.strip() and text.lower() not in kept]


def drop_openings(openings: Sequence[str]) -> Callable[[Record], str | None]:
    """Reject with `opening` if the instruction begins with one of the texts; a text in lower case matches any case."""

    def rule(record: Record) -> str | None:
        exact, folded = record.instruction, record.instruction.lower()
        found = (text for text in openings if (folded if text == text.lower() else exact).startswith(text))
        return next((f"opening: {text}" for text in found), None)

    return rule


def drop_punctuation(record: Record) -> str | None:
    """Reject with `starts_with_punctuation`: the remainder of a label, a list or a quotation."""
    return "starts_with_punctuation" if record.instruction[:1] in tuple(string.punctuation) else None


def drop_non_ascii(record: Record) -> str | None:
    """Reject with `starts_with_non_ascii`: bullets, emoji, and languages that the prompt did not ask for."""
    return "starts_with_non_ascii" if record.instruction and not record.instruction[0].isascii() else None


def drop_strange_sign(record: Record) -> str | None:
    """Reject with `starts_with_non_ascii`, for texts in any script: only characters that open a sentence in no script, such as
    bullets, emoji and symbols. Invisible marks of writing direction before them are skipped.
    """
    first = next((sign for sign in record.instruction if unicodedata.category(sign) != "Cf"), "•")
    opens = first.isascii() or first in "¿¡" or unicodedata.category(first).startswith(("L", *_OPENING))
    return "starts_with_non_ascii" if record.instruction and not opens else None
