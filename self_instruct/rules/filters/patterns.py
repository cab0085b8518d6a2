"""Instructions told by regular expressions that the user gives, or by one for how programs are asked for, after airoboros.

Patterns are those of the `regex` library, found anywhere and in any case, over the first 20,000 characters. One that backtracks
without end is refused when it is made, by trying it on texts that bring that out.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from self_instruct.errors import UserError
from self_instruct.records import Record

CODE_GENERATION = (
    r"^\W*(?:please\s+)?(?:write|generate|create|develop|implement|code)\s+(?:me\s+)?(?:an?\s+)?(?:\S+\s+){0,2}?"
    r"(?:script|program|code|function)s?\b"
)
"""How a program is asked for: the rule of airoboros with more verbs, "function", and one word more between."""

_LISTS = {"default": CODE_GENERATION}
LONGEST = 20_000
_TRIED = 64
_SECONDS_TRIED = 1.0
_SECONDS = 20.0


def drop_matching(patterns: Sequence[str], option: str, reason: str) -> Callable[[Record], str | None]:
    """The `reason` when a pattern is found in the instruction; "default" stands for `CODE_GENERATION`."""
    made = [compiled(_LISTS.get(text, text), option) for text in patterns if text.strip()]

    def rule(record: Record) -> str | None:
        found = (search(pattern, record.instruction, option) for pattern in made)
        return next((f"{reason}: {' '.join(words.split())[:80]}" for words in found if words is not None), None)

    return rule


def compiled(text: str, option: str, any_case: bool = True) -> Any:
    """A pattern of the `regex` library. Raises `UserError`, with the position, for one that is none, and for one that takes
    over a second on a short text of what it may repeat, where any other takes microseconds.
    """
    import regex

    prefix = "(?i)" if any_case else ""
    try:
        pattern = regex.compile(prefix + text)
    except (regex.error, OverflowError, RecursionError) as error:
        at = getattr(error, "pos", None)
        shown = f" at position {max(0, at - len(prefix))}" if at is not None else ""
        raise UserError(
            f"{option} {text!r}: is no regular expression ({getattr(error, 'msg', error)}{shown}); mend it, or put a backslash "
            "before signs that are meant as they stand"
        ) from None
    for probe in _probes(text):
        try:
            pattern.search(probe, timeout=_SECONDS_TRIED)
        except TimeoutError:
            raise UserError(
                f"{option} {text!r}: backtracks without end on a text such as {probe[:8]!r}...; avoid a repetition within a "
                "repetition, as in (a+)+"
            ) from None
    return pattern


def search(pattern: Any, text: str, option: str) -> str | None:
    """What a pattern finds in the beginning of a text, or None. Raises `UserError` if it takes over 20 seconds."""
    try:
        found = pattern.search(text[:LONGEST], timeout=_SECONDS)
    except TimeoutError:
        raise UserError(
            f"{option} {pattern.pattern!r}: took over {_SECONDS:g} seconds on {len(text)} characters; make it simpler. "
            "What is generated is journalled, and python -m self_instruct.refilter judges it by another pattern"
        ) from None
    return found.group() if found else None


def _probes(text: str) -> list[str]:
    """Texts on which a pattern that can read the same thing in many ways tries them all: what it may repeat, over and over,
    and then a sign that it does not expect.
    """
    words = re.findall(r"\w+", text)
    signs = sorted({*(sign for word in words for sign in word), *"a0 -_.,\n", *re.findall(r"[^\w\s]", text)})
    pieces = [*signs, *dict.fromkeys(words), "ab ", "a b", "a, ", "a.b"]
    return [(piece * _TRIED)[:256] + "\x00" for piece in pieces[:120]]
