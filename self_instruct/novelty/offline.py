"""Deduplicate a whole file by ROUGE-L: keep each text that is not too similar to those kept before it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.sequences import SequenceIndex, processors
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS

_BLOCK = 4096


class Match(NamedTuple):
    """The position of a text, and its score: ROUGE-L F1 or cosine similarity."""

    position: int
    score: float


class Decision(NamedTuple):
    """Whether a text is kept, and the nearest text kept before it; None if none was near enough."""

    kept: bool
    nearest: Match | None


def keep_first(
    texts: Sequence[str],
    threshold: float = 0.7,
    rule: str = "below",
    tokenizer: str = "rouge",
    *,
    nearest_of_kept: bool = False,
    threads: int | None = None,
) -> list[Decision]:
    """Return one decision for each text, in order.

    Decisions of kept texts have a `nearest` only with `nearest_of_kept`, which takes longer. `threads` defaults to the number
    of processors. Raises KeyError for an unknown tokenizer and ValueError for an unknown rule.
    """
    limit = highest_allowed(threshold, rule)
    index, kept, decisions = SequenceIndex(TOKENIZERS[tokenizer]), list[int](), list[Decision]()
    for begin in range(0, len(texts), _BLOCK):
        queries = index.tokens(texts[begin : begin + _BLOCK])
        scores, found = index.nearest(queries, 0.0 if nearest_of_kept else limit, threads or processors())
        new = index.add_new(queries, scores, found, limit)
        kept.extend((begin + np.flatnonzero(new)).tolist())
        for one, position, score in zip(new.tolist(), found.tolist(), scores.tolist(), strict=True):
            decisions.append(Decision(one, Match(kept[position], score) if position >= 0 else None))
    return decisions
