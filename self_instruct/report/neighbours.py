"""The nearest earlier neighbour of each record, by words and by meaning: as the record states it, else searched for.

Knows nothing of figures.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.vectors import choose
from self_instruct.novelty.offline import keep_first
from self_instruct.novelty.tokens import rouge_tokens
from self_instruct.records import Nearest
from self_instruct.report.sources import Source

_ALL = 1.01  # a threshold that every score is below: all are kept, so each is compared with all before it
_LONGEST = 4096  # words; longer texts are compared by their beginning


class Neighbours(NamedTuple):
    """Of each record the nearest before it, by ROUGE-L and by cosine; None where it has none, or there are no vectors."""

    words: list[Nearest | None]
    meaning: list[Nearest | None]


def neighbours(source: Source, vectors: np.ndarray | None) -> Neighbours:
    """The neighbours of each row of a source; `vectors` are those of its rows [rows, dimensions], if there are any."""
    ids = [row.record.id for row in source.rows]
    words = [row.nearest for row in source.rows]
    if sum(near is None for near in words) > len(words) // 2:
        words = _by_words(ids, source.texts)
    return Neighbours(words, _by_meaning(ids, vectors) if vectors is not None else [None] * len(ids))


def _by_words(ids: Sequence[str], texts: Sequence[str]) -> list[Nearest | None]:
    shortened = [text if len(text) < 4 * _LONGEST else " ".join(rouge_tokens(text)[:_LONGEST]) for text in texts]
    decisions = keep_first(shortened, _ALL, nearest_of_kept=True)
    return [
        Nearest(ids[near.position], near.score) if near is not None and near.score > 0 else None
        for _, near in decisions
    ]


def _by_meaning(ids: Sequence[str], vectors: np.ndarray) -> list[Nearest | None]:
    found = choose(vectors, 2.0)
    return [
        Nearest(ids[at], score) if at >= 0 else None
        for at, score in zip(found.nearest.tolist(), found.scores.tolist(), strict=True)
    ]
