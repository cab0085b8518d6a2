"""How an instruction may begin."""

import string
import unicodedata
from collections.abc import Callable, Sequence

from self_instruct.records import Record

PROGRAMMING = ("Write a program", "Write a function")
"""Small models begin every other task with the first and then write none (wang2022self); Self-instruct's code fork adds the
second."""

_OPENING = ("Nd", "Nl", "Ps", "Pi", "Pf")
"""Categories of what may open a sentence beside letters: figures, brackets and quotation marks, of which some languages open
with those that others close with."""


def without_programming(openings: Sequence[str], keep_programming: bool) -> list[str]:
    """The texts to look for: `keep_programming` leaves out those of `PROGRAMMING`, in whatever case they are given."""
    kept = {text.lower() for text in PROGRAMMING} if keep_programming else set()
    return [text for text in openings if text.strip() and text.lower() not in kept]


def drop_openings(openings: Sequence[str]) -> Callable[[Record], str | None]:
    """`opening` when the instruction begins with one of the texts; a text without capitals is found in any case."""

    def rule(record: Record) -> str | None:
        exact, folded = record.instruction, record.instruction.lower()
        found = (text for text in openings if (folded if text == text.lower() else exact).startswith(text))
        return next((f"opening: {text}" for text in found), None)

    return rule


def drop_punctuation(record: Record) -> str | None:
    """`starts_with_punctuation`: what is left of a label, a list or a quotation."""
    return "starts_with_punctuation" if record.instruction[:1] in tuple(string.punctuation) else None


def drop_non_ascii(record: Record) -> str | None:
    """`starts_with_non_ascii`: bullets, emoji, and languages that the prompt did not ask for."""
    return "starts_with_non_ascii" if record.instruction and not record.instruction[0].isascii() else None


def drop_strange_sign(record: Record) -> str | None:
    """`starts_with_non_ascii` for texts in any script: only for what opens a sentence in none, as bullets, emoji and symbols.
    Marks of the direction of writing, which are not seen, may stand before it.
    """
    first = next((sign for sign in record.instruction if unicodedata.category(sign) != "Cf"), "•")
    opens = first.isascii() or first in "¿¡" or unicodedata.category(first).startswith(("L", *_OPENING))
    return "starts_with_non_ascii" if record.instruction and not opens else None
