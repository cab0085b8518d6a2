"""Reject instructions that match a regular expression of the user, or the built-in one for requests to write a program.

Patterns use the `regex` library, ignore case, and search the first 20,000 characters. When a pattern is compiled, it is tried
on texts that provoke catastrophic backtracking, and refused if it takes too long.
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
"""Requests for a program: the rule of airoboros with more verbs, "function", and one more word before the noun."""

_LISTS = {"default": CODE_GENERATION}
MAX_CHARACTERS = 20_000
_PROBE_REPEATS = 64
_PROBE_SECONDS = 1.0
_SEARCH_SECONDS = 5.0


def drop_matching(patterns: Sequence[str], option: str, reason: str) -> Callable[[Record], str | None]:
    """Reject with `reason` if a pattern matches part of the instruction; "default" stands for `CODE_GENERATION`.

    Raises UserError, which names the `option`, for a pattern that `compile_pattern` refuses.
    """
    compiled = [compile_pattern(_LISTS.get(text, text), option) for text in patterns if text.strip()]

    def rule(record: Record) -> str | None:
        found = (search(pattern, record.instruction, option) for pattern in compiled)
        return next((f"{reason}: {' '.join(words.split())[:80]}" for words in found if words is not None), None)

    return rule


def compile_pattern(text: str, option: str, any_case: bool = True) -> Any:
    """Compile a pattern with the `regex` library.

    Raises UserError for a syntax error, with its position, and for a pattern that searches a short repetitive text for over a
    second, where other patterns take microseconds.
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
            pattern.search(probe, timeout=_PROBE_SECONDS)
        except TimeoutError:
            raise UserError(
                f"{option} {text!r}: has catastrophic backtracking on a text such as {probe[:8]!r}...; avoid a repetition "
                "within a repetition, as in (a+)+"
            ) from None
    return pattern


def search(pattern: Any, text: str, option: str) -> str | None:
    """Return the first match of a pattern in the first 20,000 characters of a text, or None.

    Raises TimeoutError after five seconds.
    """
    try:
        found = pattern.search(text[:MAX_CHARACTERS], timeout=_SEARCH_SECONDS)
    except TimeoutError:
        raise TimeoutError(
            f"{option} {pattern.pattern!r} took over {_SEARCH_SECONDS:g} seconds on this text"
        ) from None
    return found.group() if found else None


def _probes(text: str) -> list[str]:
    """Return texts that make an ambiguous pattern try every alternative: a repeated part, then an unexpected character."""
    words = re.findall(r"\w+", text)
    characters = sorted(
        {*(character for word in words for character in word), *"a0 -_.,\n", *re.findall(r"[^\w\s]", text)}
    )
    pieces = [*characters, *dict.fromkeys(words), "ab ", "a b", "a, ", "a.b"]
    return [(piece * _PROBE_REPEATS)[:256] + "\x00" for piece in pieces[:120]]
