"""How an instruction may begin."""

import string
from collections.abc import Callable, Sequence

from self_instruct.records import Record

PROGRAMMING = ("Write a program", "Write a function")
"""Small models begin every other task with the first and then write none (wang2022self); Self-instruct's code fork adds the
second."""


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
