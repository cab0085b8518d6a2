"""Compare candidates with all kept texts, by ROUGE-L and, with an encoder, by embeddings.

Each candidate brings its own thresholds, because some categories tolerate more similar tasks than others; all of them are
compared with the same texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS
from self_instruct.records import Drop, Nearest


@dataclass(frozen=True)
class Bounds:
    """Thresholds of a candidate: `rouge_threshold` and `rouge_rule` limit its ROUGE-L F1, and its cosine similarity must be
    below `embedding_threshold`.
    """

    rouge_threshold: float
    embedding_threshold: float = 1.0
    rouge_rule: str = "below"

    @property
    def rouge_limit(self) -> float:
        """The highest allowed ROUGE-L F1."""
        return highest_allowed(self.rouge_threshold, self.rouge_rule)


@dataclass(frozen=True)
class Comparison:
    """The nearest text by each measure (None if not searched), and the drop if one is too similar."""

    drop: Drop | None
    rouge: Nearest | None = None
    embedding: Nearest | None = None


class Novelty:
    """The texts kept so far, beginning with the (id, text) pairs of `start`.

    Embeddings are compared with the same texts, or, if `embedding_reference` is "all", also with those of candidates that their
    embedding dropped.
    """

    def __init__(
        self,
        start: Sequence[tuple[str, str]],
        embeddings: EmbeddingIndex | None = None,
        rouge_tokenizer: str = "rouge",
        embedding_reference: str = "kept",
    ) -> None:
        self._rouge, self._embeddings = RougeIndex(TOKENIZERS[rouge_tokenizer]), embeddings
        self._against_all = embedding_reference == "all"
        ids, texts = [name for name, _ in start], [text for _, text in start]
        self._rouge.add(ids, texts)
        self._rouge.nearest("a")  # compile the search now, while other processes load the model
        if embeddings is not None:
            embeddings.add(ids, embeddings.encode(texts))

    def vectors(self, texts: dict[str, str], bounds: Bounds) -> dict[str, np.ndarray]:
        """Return the vectors of a completion's texts, given and returned by id, except those of texts that ROUGE-L drops.

        They are encoded in one call. The selection depends only on the kept texts, never on how many records are still wanted:
        a vector's last digits may depend on the other texts of its batch.
        """
        if self._embeddings is None:
            return {}
        nearest = self._rouge.nearest_each(list(texts.values()))
        chosen = [
            name for name, near in zip(texts, nearest, strict=True) if not near or near.score <= bounds.rouge_limit
        ]
        vectors = self._embeddings.encode([texts[name] for name in chosen])
        return dict(zip(chosen, vectors, strict=True))

    def save(self) -> None:
        """Write the vectors that a cache still holds in memory."""
        if self._embeddings is not None:
            self._embeddings.save()

    def add_if_new(self, name: str, text: str, vector: np.ndarray | None, bounds: Bounds) -> Comparison:
        """Compare a text with the kept ones, and add it if it is similar to none of them."""
        rouge = self._rouge.nearest(text)
        if rouge and rouge.score > bounds.rouge_limit:
            return Comparison(Drop("novelty", "rouge_l", nearest=rouge), rouge)
        similar = None
        if self._embeddings is not None and vector is not None:
            similar = self._embeddings.nearest(vector)
            near = similar is not None and similar.score >= bounds.embedding_threshold
            if not near or self._against_all:
                self._embeddings.add([name], vector[None])
            if near:
                return Comparison(Drop("novelty", "embedding", nearest=similar), rouge, similar)
        self._rouge.add([name], [text])
        return Comparison(None, rouge, similar)
