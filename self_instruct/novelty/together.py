"""Deduplicate a whole file by ROUGE-L and embeddings.

Decisions equal those of a run, which compares one text at a time: first by ROUGE-L, then by embedding.
"""

from collections.abc import Sequence

import numpy as np

from self_instruct.novelty.kernels.sequences import SequenceIndex, processors
from self_instruct.novelty.kernels.vectors import VectorIndex, nearest_chosen
from self_instruct.novelty.offline import Decision, Match
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS

_BLOCK = 512


class _RougeSearch:
    """Search by ROUGE-L among the texts kept so far: a whole block against earlier ones in threads, then within the block.

    Call `nearest` and `keep` in ascending order of positions.
    """

    def __init__(self, texts: Sequence[str], threshold: float, rule: str, tokenizer: str) -> None:
        self._limit, self._tokenizer = highest_allowed(threshold, rule), TOKENIZERS[tokenizer]
        self._index = SequenceIndex(self._tokenizer)
        self._tokens = self._index.tokens(texts)
        self._kept: list[int] = []
        self._begin_block(0)

    def nearest(self, at: int) -> Match | None:
        """Return the nearest kept text (the first of equals) if its score is above the limit, else None."""
        if at >= self._first + _BLOCK:
            self._begin_block(at)
        inside = at - self._first
        score, position = self._scores[inside], self._found[inside]
        # Texts of earlier blocks come first, so only a higher score replaces them.
        scores, found = self._fresh.nearest(self._tokens.chosen(np.array([at])), max(score, self._limit))
        if found[0] >= 0:
            score, position = scores[0], len(self._index) + found[0]
        return Match(self._kept[position], float(score)) if position >= 0 else None

    def keep(self, at: int) -> None:
        self._fresh.add(self._tokens.chosen(np.array([at])))
        self._kept.append(at)

    def _begin_block(self, first: int) -> None:
        self._index.add(self._tokens.chosen(np.array(self._kept[len(self._index) :], np.int64)))
        self._first, self._fresh = first, SequenceIndex(self._tokenizer)
        queries = self._tokens.chosen(np.arange(first, min(first + _BLOCK, len(self._tokens))))
        self._scores, self._found = self._index.nearest(queries, self._limit, processors())


class EmbeddingSearch:
    """Search by embedding among the texts added so far, by blocks as in `_RougeSearch`."""

    def __init__(self, vectors: np.ndarray, threshold: float) -> None:
        self._vectors, self._threshold = vectors, threshold
        self._index = VectorIndex()
        self._added: list[int] = []
        self._begin_block(0)

    def nearest(self, at: int) -> Match | None:
        """Return the nearest added text (the first of equals) if its cosine reaches the threshold, else None."""
        if at >= self._first + _BLOCK:
            self._begin_block(at)
        inside = at - self._first
        score, position = self._scores[inside], self._found[inside]
        near = self._added[position] if position >= 0 else -1
        # Texts of earlier blocks come first, so only a higher score replaces them.
        least = max(score, np.nextafter(self._threshold, -np.inf))
        higher, other = nearest_chosen(self._products, self._block, inside, self._chosen, least)
        if other >= 0:
            score, near = higher, self._first + other
        return Match(near, min(1.0, float(score))) if near >= 0 else None

    def add(self, at: int) -> None:
        """Add the text that `nearest` was last called for."""
        self._chosen[at - self._first] = True
        self._added.append(at)

    def _begin_block(self, first: int) -> None:
        self._index.add(self._vectors[self._added[len(self._index) :]])
        self._first, self._block = first, self._vectors[first : first + _BLOCK]
        self._products, self._chosen = self._block @ self._block.T, np.zeros(len(self._block), np.bool_)
        self._scores, self._found = self._index.nearest(self._block, self._threshold, processors())


def keep_new(
    texts: Sequence[str],
    vectors: np.ndarray,
    threshold: float,
    reference: str = "kept",
    words: tuple[float, str, str] = (0.7, "below", "rouge"),
) -> list[Decision]:
    """Return one decision for each text, in order.

    `vectors` are unit vectors [texts, dimensions], float32; cosines must be below `threshold`. If `reference` is "all",
    embeddings are also compared with those of texts that their embedding dropped. `words` are the threshold, rule and
    tokenizer of ROUGE-L.
    """
    rouge, embeddings, decisions = _RougeSearch(texts, *words), EmbeddingSearch(vectors, threshold), list[Decision]()
    for at in range(len(vectors)):
        near = rouge.nearest(at)
        if near is not None:
            decisions.append(Decision("rouge_l", near))
            continue
        near = embeddings.nearest(at)
        new = near is None
        if new or reference == "all":
            embeddings.add(at)
        if new:
            rouge.keep(at)
        decisions.append(Decision(None, None) if new else Decision("embedding", near))
    return decisions
