"""Check editing tasks: the task contains a text, and the output is a changed version of it."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.contract import Validator, Variables

_QUOTED = re.compile(r"[\"“](?P<text>[^\"“”]+)[\"”]|'(?P<single>[^'\n]+)'(?!\w)")


def editor(min_words: int = 4) -> Validator:
    """Reject with `nothing_to_edit`, `no_answer`, or `unchanged` if the answer equals the text to edit.

    The text to edit has at least `min_words` words: the input, the text after the first line or a colon, or a quotation.
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
    """Return the texts that the task may ask to edit."""
    task = record.instruction
    _, _, rest = task.partition("\n")
    after_colon = task.partition(":")[2]
    quoted = [found["text"] or found["single"] for found in _QUOTED.finditer(task)]
    return [record.input, rest, after_colon, *quoted]


def _folded(text: str) -> str:
    return " ".join(text.split()).strip("\"'“”` ")
