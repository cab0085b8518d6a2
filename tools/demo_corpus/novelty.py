"""How different a stream of instructions is: what is left if each must have ROUGE-L F1 < limit to all kept before.

Knows words only, nothing of tasks or meanings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rapidfuzz.distance import LCSseq

LIMIT = 0.7
_WORD = re.compile(r"[a-z0-9]+")


def tokens_of(text: str) -> list[str]:
    """The words as ROUGE sees them (lower case, letters and digits only, no stemming)."""
    return _WORD.findall(text.lower())


def rouge_l(first: list[str], second: list[str]) -> float:
    """ROUGE-L F1 of two token lists."""
    total = len(first) + len(second)
    return 2 * LCSseq.similarity(first, second) / total if total else 0.0


def kept(instructions: Iterable[str], limit: float = LIMIT) -> list[str]:
    """The instructions that survive greedy filtering in order."""
    survivors: list[tuple[str, list[str]]] = []
    for text in instructions:
        tokens = tokens_of(text)
        if all(rouge_l(tokens, other) < limit for _, other in survivors):
            survivors.append((text, tokens))
    return [text for text, _ in survivors]
