"""Check the thoughts in texts of a dataset: `<think>...</think>` before an answer, and the marks of other models."""

import re

from self_instruct.config.thought_tags import thought_tags
from self_instruct.records import is_blank
from self_instruct.rules.fences import prose_of

_INLINE_CODE = re.compile(r"`[^`\n]*`")


def after_thought(text: str) -> str | None:
    """Return a text without its thoughts; None if one is not closed."""
    turn = thought_tags().split(text)
    return None if turn.unclosed else turn.answer


def has_thought(text: str) -> bool:
    """Return whether a text has a mark of a thought, outside of code unless the text begins with it."""
    tags = thought_tags()
    return tags.opens(text) or tags.marks_in(_INLINE_CODE.sub("", prose_of(text)))


def broken_thought(text: str) -> str | None:
    """Return what is wrong with the thoughts of a text that has some: "not closed", "not opened" or "no answer"; else None."""
    tags = thought_tags()
    turn = tags.split(text)
    if turn.begins and not tags.opens(text):
        return "not opened"
    if turn.unclosed:
        return "not closed"
    return "no answer" if is_blank(turn.answer) else None
