"""Which texts are kept if each must be new to those kept before it by its words and by its meaning, a whole file at once.

The decisions are those of a run that compares text after text: words first, then meaning, and what either drops joins neither
the kept texts. Knows nothing of records and files.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.kernels.sequences import SequenceIndex, processors
from self_instruct.novelty.kernels.vectors import VectorIndex
from self_instruct.novelty.offline import Match
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS

_BLOCK = 512


class Outcome(NamedTuple):
    """Why a text is not kept, `rouge_l` or `embedding`, and the kept text that it is nearest to; both None if it is kept."""

    reason: str | None
    nearest: Match | None


class _Words:
    """The texts kept so far, and the search among them by words: for a block of texts in threads, then among those of the
    block. Both methods are called in the order of positions.
    """

    def __init__(self, texts: Sequence[str], threshold: float, rule: str, tokenizer: str) -> None:
        self._limit, self._tokenizer = highest_allowed(threshold, rule), TOKENIZERS[tokenizer]
        self._index = SequenceIndex(self._tokenizer)
        self._tokens = self._index.tokens(texts)
        self._kept: list[int] = []
        self._begin_block(0)

    def nearest(self, at: int) -> Match | None:
        """Return the nearest of the kept texts that the text at a position is too near to, the first of equals."""
        if at >= self._first + _BLOCK:
            self._begin_block(at)
        inside = at - self._first
        score, place = self._scores[inside], self._found[inside]
        # What stands in earlier blocks stands before: a higher score is needed.
        scores, found = self._fresh.nearest(self._tokens.chosen(np.array([at])), max(score, self._limit))
        if found[0] >= 0:
            score, place = scores[0], len(self._index) + found[0]
        return Match(self._kept[place], float(score)) if place >= 0 else None

    def keep(self, at: int) -> None:
        self._fresh.add(self._tokens.chosen(np.array([at])))
        self._kept.append(at)

    def _begin_block(self, first: int) -> None:
        self._index.add(self._tokens.chosen(np.array(self._kept[len(self._index) :], np.int64)))
        self._first, self._fresh = first, SequenceIndex(self._tokenizer)
        queries = self._tokens.chosen(np.arange(first, min(first + _BLOCK, len(self._tokens))))
        self._scores, self._found = self._index.nearest(queries, self._limit, processors())


class _Meanings:
    """The texts that others are compared with by meaning, and the search among them, by blocks as with words."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors, self._index, self._fresh = vectors, VectorIndex(), VectorIndex()
        self._added: list[int] = []
        self._begin_block(0)

    def nearest(self, at: int) -> Match | None:
        if at >= self._first + _BLOCK:
            self._begin_block(at)
        score, place = self._scores[at - self._first], self._found[at - self._first]
        scores, found = self._fresh.nearest(self._vectors[at : at + 1])
        if scores[0] > score:
            score, place = scores[0], len(self._index) + found[0]
        return Match(self._added[place], float(score)) if place >= 0 else None

    def add(self, at: int) -> None:
        self._fresh.add(self._vectors[at : at + 1])
        self._added.append(at)

    def _begin_block(self, first: int) -> None:
        self._index.add(self._vectors[self._added[len(self._index) :]])
        self._first, self._fresh = first, VectorIndex()
        self._scores, self._found = self._index.nearest(self._vectors[first : first + _BLOCK])


def keep_new(
    texts: Sequence[str],
    vectors: np.ndarray,
    threshold: float,
    reference: str = "kept",
    words: tuple[float, str, str] = (0.7, "below", "rouge"),
) -> list[Outcome]:
    """One outcome for each text, in order, from unit vectors [texts, dimensions], float32, and a threshold that cosines must
    stay below. By `reference` "all", meanings are also compared with the texts that were dropped for theirs.
    `words` are the threshold, rule and tokenizer of ROUGE-L.
    """
    near_words, meanings, outcomes = _Words(texts, *words), _Meanings(vectors), list[Outcome]()
    for at in range(len(vectors)):
        near = near_words.nearest(at)
        if near is not None:
            outcomes.append(Outcome("rouge_l", near))
            continue
        near = meanings.nearest(at)
        new = near is None or near.score < threshold
        if new or reference == "all":
            meanings.add(at)
        if new:
            near_words.keep(at)
        outcomes.append(Outcome(None, None) if new else Outcome("embedding", near))
    return outcomes
