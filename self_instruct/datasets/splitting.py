"""Split a conversation at a token limit, between pairs of a question and its answer.

Every pair is in exactly one part or returned as too long; no part is empty or over the limit.
"""

import math
from collections.abc import Callable, Sequence

from self_instruct.datasets.conversation_cleaning import NumberedTurn

PER_TURN = 6  # tokens that a template puts around a turn, as in FastChat
BYTES_PER_TOKEN = 3
"""For the estimate. English has about four bytes per token; Chinese and Japanese have a token per character of three bytes."""

Count = Callable[[str], int]


def estimated_tokens(text: str) -> int:
    """Estimate the tokens of a text without a tokenizer: one for every three bytes of UTF-8."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)


def tokens_of(turns: Sequence[NumberedTurn], count: Count) -> int:
    """Return the tokens of turns, including those of the template."""
    return sum(count(one.text) + PER_TURN for one in turns)


def split(
    turns: Sequence[NumberedTurn], limit: int, count: Count, system: str = ""
) -> tuple[list[list[NumberedTurn]], list[tuple[list[NumberedTurn], int]]]:
    """Return the parts, each within the limit together with the system prompt, and the pairs that are too long, each with its
    tokens. `turns` alternate between question and answer.
    """
    room = limit - (count(system) + PER_TURN if system else 0)
    parts, too_long = list[list[NumberedTurn]](), list[tuple[list[NumberedTurn], int]]()
    left = 0  # tokens that the last part can still take
    for at in range(0, len(turns), 2):
        pair = list(turns[at : at + 2])
        needed = tokens_of(pair, count)
        if needed > room:
            too_long.append((pair, needed + limit - room))
            left = 0
        elif needed > left:
            parts.append(pair)
            left = room - needed
        else:
            parts[-1] += pair
            left -= needed
    return parts, too_long
