"""ROUGE-L novelty of a whole file at once: which texts are kept if each must be new to those kept before it.

`keep_first` decides in one process, its threads sharing the search. For several machines `similar_pairs` finds, shard by
shard, the pairs that are too near, and `decide` goes once over all of them: the same decisions, for any number of shards.
Merging what shards have kept would not give them: a text may have been dropped for one that the merge drops.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.sequences import SequenceIndex, processors
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS

PAIR = np.dtype([("later", np.int64), ("earlier", np.int64), ("score", np.float64)])
_BLOCK = 4096


class Match(NamedTuple):
    """The position of a text, and the ROUGE-L F1 with it."""

    position: int
    score: float


class Decision(NamedTuple):
    """Whether a text is kept, and the nearest of those kept before it; None if nothing near enough was found."""

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
    """One decision for each text, in order.

    Kept texts are told their nearest only with `nearest_of_kept`, which takes longer. Threads: one for each processor, unless
    given. Raises `KeyError` and `ValueError` for an unknown tokenizer or rule.
    """
    limit = highest_allowed(threshold, rule)
    index, kept, decisions = SequenceIndex(TOKENIZERS[tokenizer]), list[int](), list[Decision]()
    for begin in range(0, len(texts), _BLOCK):
        queries = index.tokens(texts[begin : begin + _BLOCK])
        scores, found = index.nearest(queries, 0.0 if nearest_of_kept else limit, threads or processors())
        new = index.take(queries, scores, found, limit)
        kept.extend((begin + np.flatnonzero(new)).tolist())
        for one, place, score in zip(new.tolist(), found.tolist(), scores.tolist(), strict=True):
            decisions.append(Decision(one, Match(kept[place], score) if place >= 0 else None))
    return decisions


def similar_pairs(
    texts: Sequence[str],
    threshold: float = 0.7,
    rule: str = "below",
    tokenizer: str = "rouge",
    *,
    shard: int = 0,
    shards: int = 1,
    threads: int | None = None,
) -> np.ndarray:
    """The pairs of texts that are too near, as far as they fall to this shard; their dtype is `PAIR`.

    A text with the same words as an earlier one is in one pair only, with the first of those.
    """
    limit, index = highest_allowed(threshold, rule), SequenceIndex(TOKENIZERS[tokenizer])
    if limit >= 1.0 or not texts:
        return np.empty(0, PAIR)
    tokens, firsts = index.tokens(texts), dict[bytes, int]()
    rows = np.split(tokens.numbers, tokens.ends[1:-1])
    first = np.array([firsts.setdefault(row.tobytes(), at) for at, row in enumerate(rows)])
    positions = np.unique(first)
    index.add(tokens.chosen(positions))
    found, scores = index.pairs(np.arange(shard, len(positions), shards), limit, threads or processors())
    copies = np.flatnonzero((first != np.arange(len(texts))) & (np.diff(tokens.ends) > 0))[shard::shards]
    pairs = np.empty(len(found) + len(copies), PAIR)
    pairs["later"] = np.concatenate([positions[found[:, 0]], copies])
    pairs["earlier"] = np.concatenate([positions[found[:, 1]], first[copies]])
    pairs["score"] = np.concatenate([scores, np.ones(len(copies))])
    return pairs


def decide(number: int, pairs: np.ndarray) -> list[Decision]:
    """The decisions on so many texts, from the pairs that all shards have found, in any order: those of `keep_first`."""
    known, decisions = KnownPairs(number, pairs), list[Decision]()
    for at in range(number):
        nearest = known.nearest(at)
        if nearest is None:
            known.keep(at)
        decisions.append(Decision(nearest is None, nearest))
    return decisions


class KnownPairs:
    """Which of the texts kept so far is too near to the next one, told from the pairs that all shards have found.

    What keeps a text may be more than its words: of those with the same words, the first need not be the one that is kept.
    """

    def __init__(self, number: int, pairs: np.ndarray) -> None:
        original = np.arange(number)
        copies = pairs["score"] == 1.0  # no other words than those of the earlier text
        original[pairs["later"][copies]] = pairs["earlier"][copies]
        self._original = original.tolist()
        self._kept: dict[int, int] = {}  # of the texts with the words of this one
        self._near: dict[int, list[Match]] = {}
        for later, earlier, score in pairs[~copies].tolist():
            self._near.setdefault(later, []).append(Match(earlier, score))
            self._near.setdefault(earlier, []).append(Match(later, score))

    def nearest(self, at: int) -> Match | None:
        """The nearest of the kept texts that the text at a position is too near to, the first of equals; None if there is none.
        To be asked in order.
        """
        first = self._original[at]
        others = [Match(first, 1.0), *self._near.get(first, [])]
        against = [Match(self._kept[other], score) for other, score in others if other in self._kept]
        return min(against, key=lambda match: (-match.score, match.position), default=None)

    def keep(self, at: int) -> None:
        """The text at a position is kept."""
        self._kept[self._original[at]] = at
