"""Measure the diversity of instructions: those left if each must have a ROUGE-L F1 below a limit with all kept before.

Uses the generator's own index, so that the model card's figures are comparable with those of a run.
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
