"""How an instruction may begin."""

import string

from self_instruct.records import Record


def drop_program(record: Record) -> str | None:
    """`writes_program`: small models begin every other task with "Write a program" and then write none (wang2022self)."""
    return "writes_program" if record.instruction.startswith("Write a program") else None


def drop_punctuation(record: Record) -> str | None:
    """`starts_with_punctuation`: what is left of a label, a list or a quotation."""
    return "starts_with_punctuation" if record.instruction[:1] in tuple(string.punctuation) else None


def drop_non_ascii(record: Record) -> str | None:
    """`starts_with_non_ascii`: bullets, emoji, and languages that the prompt did not ask for."""
    return "starts_with_non_ascii" if record.instruction and not record.instruction[0].isascii() else None
