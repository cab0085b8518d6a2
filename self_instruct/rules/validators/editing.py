"""Editing: a text to be changed, and the text as changed."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.contract import Validator, Variables

_QUOTED = re.compile(r"[\"“](?P<text>[^\"“”]+)[\"”]|'(?P<single>[^'\n]+)'(?!\w)")


def editor(min_words: int = 4) -> Validator:
    """`nothing_to_edit` when the task names no text of at least `min_words` words: its input, or what follows the first line or
    a colon, or stands in quotation marks; `no_answer`; `unchanged` when the answer is that text.
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
    """Where the text to be edited may stand."""
    task = record.instruction
    _, _, rest = task.partition("\n")
    after_colon = task.partition(":")[2]
    quoted = [found["text"] or found["single"] for found in _QUOTED.finditer(task)]
    return [record.input, rest, after_colon, *quoted]


def _folded(text: str) -> str:
    return " ".join(text.split()).strip("\"'“”` ")
