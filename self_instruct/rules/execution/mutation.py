"""Make mutants of code: copies with one small change each. The changes are spread evenly over the code."""

import re
from collections.abc import Callable

MAX_CHARACTERS = 10_000
"""The maximum length of code that is changed token by token: the patterns of tokens may need quadratic time."""


def spread(number: int, limit: int) -> list[int]:
    """Return at most `limit` of the numbers below `number`, at even distances."""
    chosen = min(limit, number)
    return [index * number // chosen for index in range(chosen)]


def with_one_token_changed(
    code: str, token: re.Pattern[str], other: Callable[[re.Match[str]], str | None], limit: int
) -> list[str]:
    """Return at most `limit` copies of the code, in each of which `other` has replaced one match of `token`.

    `other` returns None for a match that stays.
    """
    changes = [
        (match.span(), text)
        for match in token.finditer(code)
        if (text := other(match)) is not None and text != match.group()
    ]
    chosen = [changes[index] for index in spread(len(changes), limit)]
    return list(dict.fromkeys(f"{code[:start]}{text}{code[end:]}" for (start, end), text in chosen))
