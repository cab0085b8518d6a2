"""Splitting a conversation at a limit of tokens, between pairs of a question and its answer.

Every pair is in one part or is told to be too long; no part is over the limit or empty. Knows nothing of models.
"""

import math
from collections.abc import Callable, Sequence

from self_instruct.datasets.conversation_cleaning import Numbered

PER_TURN = 6  # tokens that a template puts around a turn, FastChat's
BYTES_A_TOKEN = 3
"""Of the estimate: English text has about four, Chinese and Japanese three a sign and about a token a sign."""

Count = Callable[[str], int]


def estimated_tokens(text: str) -> int:
    """How many tokens a text has, as long as no tokenizer says: one for every three bytes of UTF-8."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_A_TOKEN)


def tokens_of(turns: Sequence[Numbered], count: Count) -> int:
    """The tokens of turns, each with what a template puts around it."""
    return sum(count(one.text) + PER_TURN for one in turns)


def split(
    turns: Sequence[Numbered], limit: int, count: Count, system: str = ""
) -> tuple[list[list[Numbered]], list[tuple[list[Numbered], int]]]:
    """The parts, whose tokens with those of the system prompt are within the limit; and the pairs that no part can hold, with
    what each would make. `turns` are pairs.
    """
    room = limit - (count(system) + PER_TURN if system else 0)
    parts, too_long = list[list[Numbered]](), list[tuple[list[Numbered], int]]()
    left = 0  # of the last part
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
