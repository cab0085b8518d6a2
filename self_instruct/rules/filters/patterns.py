"""Reject instructions by the user's regular expressions, or by one for requests to write a program, modelled on airoboros.

Patterns are those of the `regex` library, searched without regard to case in the first 20,000 characters. A pattern with
catastrophic backtracking is refused when it is compiled, by a test on texts that provoke it.
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
"""Requests for a program: the rule of airoboros with more verbs, "function", and one more word between."""

_LISTS = {"default": CODE_GENERATION}
LONGEST = 20_000
_TRIED = 64
_SECONDS_TRIED = 1.0
_SECONDS = 5.0


def drop_matching(patterns: Sequence[str], option: str, reason: str) -> Callable[[Record], str | None]:
    """Reject with `reason` if a pattern matches in the instruction; "default" means `CODE_GENERATION`."""
    made = [compiled(_LISTS.get(text, text), option) for text in patterns if text.strip()]

    def rule(record: Record) -> str | None:
        found = (search(pattern, record.instruction, option) for pattern in made)
        return next((f"{reason}: {' '.join(words.split())[:80]}" for words in found if words is not None), None)

    return rule


def compiled(text: str, option: str, any_case: bool = True) -> Any:
    """Compile a pattern of the `regex` library.

    Raises UserError for a syntax error, with its position, and for a pattern that takes over a second on a short text of
    repeated parts, where others take microseconds.
    """
    import regex

    prefix = "(?i)" if any_case else ""
    try:
        pattern = regex.compile(prefix + text)
    except (regex.error, OverflowError, RecursionError) as error:
        at = getattr(error, "pos", None)
        shown = f" at position {max(0, at - len(prefix))}" if at is not None else ""
        raise UserError(
            f"{option} {text!r}: is not a valid regular expression ({getattr(error, 'msg', error)}{shown}); correct it, or "
            "put a backslash before characters that are meant literally"
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
    """Return what a pattern finds in the beginning of a text, or None. Raises TimeoutError after five seconds."""
    try:
        found = pattern.search(text[:LONGEST], timeout=_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{option} {pattern.pattern!r} took over {_SECONDS:g} seconds on this text") from None
    return found.group() if found else None


def _probes(text: str) -> list[str]:
    """Return texts that make an ambiguous pattern try every alternative: repeated parts, then an unexpected character."""
    words = re.findall(r"\w+", text)
    signs = sorted({*(sign for word in words for sign in word), *"a0 -_.,\n", *re.findall(r"[^\w\s]", text)})
    pieces = [*signs, *dict.fromkeys(words), "ab ", "a b", "a, ", "a.b"]
    return [(piece * _TRIED)[:256] + "\x00" for piece in pieces[:120]]
