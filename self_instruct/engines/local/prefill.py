"""Schedule the prefill: which prompts are processed in one pass, and how many tokens of each are copied from the
cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MIN_COPIED = 32
MIN_FILLED = 0.75


@dataclass(frozen=True)
class Held:
    """The tokens of the row in slot `slot`; the first `cached` of them are in the cache."""

    slot: int
    tokens: Sequence[int]
    cached: int


@dataclass(frozen=True)
class Reading:
    """How to prefill text `index`: its first `known` tokens are copied from slot `source`, the next `unread` are computed.

    The last token is neither copied nor computed: it is the input of the row's first step.
    """

    index: int
    known: int
    source: int
    unread: int


def schedule_prefill(texts: Sequence[Sequence[int]], held: Sequence[Held], budget: int) -> list[Reading]:
    """Return which texts to read in the next pass: the first one, and others with it.

    A text waits if it can copy more from a text that is read now, so a prefix shared by all texts is read once. The pass has
    at most `budget` tokens, unless one text alone has more, and at least `MIN_FILLED` of them are not padding.
    """
    chosen = [_best(0, texts[0], held)]
    for index in range(1, len(texts)):
        if (len(chosen) + 1) * chosen[0].unread > budget:
            break
        other = _best(index, texts[index], held)
        together = [*(reading.unread for reading in chosen), other.unread]
        widest = len(together) * max(together)
        waits = any(_gains_by_waiting(other, texts[index], texts[reading.index]) for reading in chosen)
        if not waits and widest <= budget and sum(together) >= MIN_FILLED * widest:
            chosen.append(other)
    return chosen


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the length of the longest common prefix of two texts, in tokens."""
    same, differ = 0, min(len(first), len(second)) + 1
    while differ - same > 1:
        middle = (same + differ) // 2
        if first[same:middle] == second[same:middle]:
            same = middle
        else:
            differ = middle
    return same


def _best(index: int, text: Sequence[int], held: Sequence[Held]) -> Reading:
    wanted = len(text) - 1
    known, source = max(
        ((min(shared_length(text, row.tokens), row.cached, wanted), row.slot) for row in held), default=(0, 0)
    )
    if known < min(MIN_COPIED, wanted):
        known = 0  # copying that few tokens costs more than computing them
    return Reading(index, known, source, wanted - known)


def _gains_by_waiting(reading: Reading, text: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether a text could copy at least `MIN_COPIED` more tokens after waiting for another one."""
    more = min(reading.known + MIN_COPIED, len(text) - 1)
    return reading.unread > 0 and more <= len(other) - 1 and text[:more] == other[:more]
