"""Which prompts are read together, and how much of each is known from a row that has been read: pure planning, no tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST_SHARE = 32
FULLEST = 0.75


@dataclass(frozen=True)
class Held:
    """Tokens of a row, of which the first `cached` are in the cache at `place`."""

    place: int
    tokens: Sequence[int]
    cached: int


@dataclass(frozen=True)
class Reading:
    """The `index`th of the new texts: its first `known` tokens are copied from the row at `source`, `unread` ones are read.

    The last token is neither: it is the input of the row's first step.
    """

    index: int
    known: int
    source: int
    unread: int


def schedule_prefill(texts: Sequence[Sequence[int]], held: Sequence[Held], budget: int) -> list[Reading]:
    """The texts to read next in one pass: the first one, and others beside it.

    A text waits if it could copy more from one that is read now; so the beginning that all share is read once, and equal
    texts are. The pass has at most `budget` tokens, unless one text alone has more, and is mostly not padding.
    """
    chosen = [_best(0, texts[0], held)]
    for index in range(1, len(texts)):
        if (len(chosen) + 1) * chosen[0].unread > budget:
            break
        other = _best(index, texts[index], held)
        together = [*(reading.unread for reading in chosen), other.unread]
        widest = len(together) * max(together)
        waits = any(_gains(other, texts[index], texts[reading.index]) for reading in chosen)
        if not waits and widest <= budget and sum(together) >= FULLEST * widest:
            chosen.append(other)
    return chosen


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginning."""
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
        ((min(shared_length(text, row.tokens), row.cached, wanted), row.place) for row in held), default=(0, 0)
    )
    if known < min(SHORTEST_SHARE, wanted):
        known = 0  # to copy so few costs more than to read them
    return Reading(index, known, source, wanted - known)


def _gains(reading: Reading, text: Sequence[int], other: Sequence[int]) -> bool:
    """Whether a text that waits for another one could copy clearly more."""
    more = min(reading.known + SHORTEST_SHARE, len(text) - 1)
    return reading.unread > 0 and more <= len(other) - 1 and text[:more] == other[:more]
