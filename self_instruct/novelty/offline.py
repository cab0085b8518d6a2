"""Deduplicate a whole file by ROUGE-L: keep each text that is not too similar to those kept before it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.prefix_index import PrefixIndex
from self_instruct.novelty.kernels.sequences import SequenceIndex, Tokens, processors
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS

_BLOCK = 4096


class Match(NamedTuple):
    """The position of a text, and its score: ROUGE-L F1 or cosine similarity."""

    position: int
    score: float


class Decision(NamedTuple):
    """The `reason` why a text is dropped (`rouge_l` or `embedding`; None if it is kept), and the `nearest` text before it (None
    if none was near enough).
    """

    reason: str | None
    nearest: Match | None

    @property
    def kept(self) -> bool:
        """Whether the text is kept."""
        return self.reason is None


_KEPT = Decision(None, None)


def keep_first(
    texts: Iterable[str],
    threshold: float = 0.7,
    rule: str = "below",
    tokenizer: str = "rouge",
    *,
    nearest_of_kept: bool = False,
    threads: int | None = None,
) -> list[Decision]:
    """Return one decision for each text, in order. All texts are read before the first decision, one at a time.

    Decisions of kept texts have a `nearest` only with `nearest_of_kept`, which takes longer. `threads` defaults to the number
    of processors. Raises KeyError for an unknown tokenizer and ValueError for an unknown rule.
    """
    limit, decisions = highest_allowed(threshold, rule), list[Decision]()
    index = SequenceIndex(TOKENIZERS[tokenizer])
    tokens = _all_tokens(index, iter(texts))
    search = _Search(index, tokens, 0.0 if nearest_of_kept else limit, threads or processors())
    for begin in range(0, len(tokens), _BLOCK):
        end = min(begin + _BLOCK, len(tokens))
        scores, found = search.nearest(begin, end)
        new = search.keep_new(begin, end, scores, found, limit)
        for one, position, score in zip(new.tolist(), found.tolist(), scores.tolist(), strict=True):
            reason = None if one else "rouge_l"
            decisions.append(Decision(reason, Match(position, score)) if position >= 0 else _KEPT)
    return decisions


def _all_tokens(index: SequenceIndex, texts: Iterator[str]) -> Tokens:
    blocks = [index.tokens([])]
    while block := list(islice(texts, _BLOCK)):
        blocks.append(index.tokens(block))
    ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *(np.diff(block.ends) for block in blocks)]))
    return Tokens(np.concatenate([block.numbers for block in blocks]), ends)


class _Search:
    """The search among the texts kept so far, by the faster of two indexes for each length. Positions are those of texts."""

    def __init__(self, index: SequenceIndex, tokens: Tokens, limit: float, threads: int) -> None:
        self._index, self._tokens, self._threads = index, tokens, threads
        self._listed, self._scanned = PrefixIndex(tokens, limit), np.empty(0, np.int64)

    def nearest(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the highest F1 of each text with a kept one, and the position of that, as `SequenceIndex.nearest` does."""
        scores, found = self._listed.nearest(begin, end, self._threads)
        if len(self._index):
            # Of equal scores, the lower position counts.
            queries, above = self._tokens.part(begin, end), np.where(found < 0, scores, np.nextafter(scores, -1))
            others, places = self._index.nearest(queries, above, self._threads)
            positions = np.where(places < 0, len(self._tokens), self._scanned[places])
            better = (places >= 0) & ((others > scores) | (positions < found))
            scores, found = np.where(better, others, scores), np.where(better, positions, found)
        return scores, found

    def keep_new(self, begin: int, end: int, scores: np.ndarray, found: np.ndarray, limit: float) -> np.ndarray:
        """Keep, in order, the texts with no score above a limit, neither in the results of `nearest` nor with a text that was
        kept before. Return which ones were kept [texts], and update `scores` and `found` for all.
        """
        total = len(self._tokens)
        new = self._index.choose_new(self._tokens.part(begin, end), scores, found, total, limit)
        kept = np.flatnonzero(new)
        inside = found >= total
        found[inside] = begin + kept[found[inside] - total]
        others = kept[~self._listed.add(begin, end, kept)]
        self._index.add(self._tokens.part(begin, end).chosen(others))
        self._scanned = np.concatenate([self._scanned, begin + others])
        return new
