"""Editing tasks: a text to change, and the changed text."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.contract import Validator, Variables

_QUOTED = re.compile(r"[\"“](?P<text>[^\"“”]+)[\"”]|'(?P<single>[^'\n]+)'(?!\w)")


def editor(min_words: int = 4) -> Validator:
    """Reject with `nothing_to_edit` if the task has no text of at least `min_words` words (its input, the text after the first
    line or a colon, or a quotation); with `no_answer`; and with `unchanged` if the answer is that text.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        texts = [text for text in _given_texts(record) if len(text.split()) >= min_words]
        if not texts:
            return "nothing_to_edit"
        answer = _folded(record.output)
        if not answer:
            return "no_answer"
        return "unchanged" if answer in map(_folded, texts) else record

    return validator


def _given_texts(record: Record) -> list[str]:
    """Yield the texts that the task may ask to edit."""
    task = record.instruction
    _, _, rest = task.partition("\n")
    after_colon = task.partition(":")[2]
    quoted = [found["text"] or found["single"] for found in _QUOTED.finditer(task)]
    return [record.input, rest, after_colon, *quoted]


def _folded(text: str) -> str:
    return " ".join(text.split()).strip("\"'“”` ")
