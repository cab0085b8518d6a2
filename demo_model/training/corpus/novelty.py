"""How different a stream of instructions is: what is left if each must have ROUGE-L F1 < limit to all kept before.

The generator's own index decides, so the card's figures mean what a run's do. Knows nothing of tasks or meanings.
"""

from __future__ import annotations

from collections.abc import Iterable

from self_instruct.novelty.rouge import RougeIndex

LIMIT = 0.7


def kept(instructions: Iterable[str], limit: float = LIMIT) -> list[str]:
    """The instructions that survive greedy filtering in order."""
    index, survivors = RougeIndex(), []
    for text in instructions:
        nearest = index.nearest(text)
        if nearest is None or nearest.score < limit:
            index.add([text], [text])
            survivors.append(text)
    return survivors
