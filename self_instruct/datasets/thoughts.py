"""Thoughts that a model wrote in tags within a text, before its answer: `<think>...</think>` and the tags of other models."""

import re

from self_instruct.datasets.fences import prose_of
from self_instruct.records import is_blank

_TAGS = (
    *(
        (rf"<{name}>", rf"</{name}>")
        for name in ("think", "thinking", "thoughts?", "reasoning", "seed:think", "scratchpad")
    ),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|channel\|>analysis<\|message\|>", r"<\|end\|>|<\|channel\|>final<\|message\|>"),
    (r"<unused94>thought", r"<unused95>"),
)
"""Tags that begin and end a thought, as regular expressions."""
_OPENS = re.compile("|".join(opens for opens, _ in _TAGS), re.IGNORECASE)
_CLOSES = re.compile("|".join(closes for _, closes in _TAGS), re.IGNORECASE)
_INLINE_CODE = re.compile(r"`[^`\n]*`")


def after_thought(text: str) -> str | None:
    """Return the text after its last thought; None if a thought is not closed."""
    rest = _CLOSES.split(text)[-1]
    return None if _OPENS.match(rest.lstrip()) else rest


def has_thought(text: str) -> bool:
    """Return whether a text has a tag of a thought, outside of code unless the text begins with it."""
    if _OPENS.match(text.lstrip()):
        return True
    prose = _INLINE_CODE.sub("", prose_of(text))
    return _OPENS.search(prose) is not None or _CLOSES.search(prose) is not None


def broken_thought(text: str) -> str | None:
    """Return what is wrong with the thoughts of a text that has some: "not closed", "not opened" or "no answer"; else None."""
    text = text.strip()
    if not _OPENS.match(text):
        opens, closes = _OPENS.search(text), _CLOSES.search(text)
        if closes is not None and (opens is None or closes.start() < opens.start()):
            return "not opened"
    end = max((found.end() for found in _CLOSES.finditer(text)), default=0)
    if _OPENS.search(text, end) is not None:
        return "not closed"
    return "no answer" if is_blank(text[end:]) else None
