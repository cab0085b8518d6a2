"""What a candidate is compared with: everything kept so far, by words and, where there is an encoder, by meaning.

Each candidate brings its own bounds, so that kinds of tasks that may be nearer to each other than others are compared with
the same texts. Knows nothing of records, blocks and files: texts and ids only.
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
    """How near a candidate may be: its ROUGE-L F1 is allowed by `rouge_threshold` and `rouge_rule`, its cosine similarity is
    below `embedding_threshold`.
    """

    rouge_threshold: float
    embedding_threshold: float = 1.0
    rouge_rule: str = "below"

    @property
    def rouge_limit(self) -> float:
        """The highest ROUGE-L F1 that is allowed."""
        return highest_allowed(self.rouge_threshold, self.rouge_rule)


@dataclass(frozen=True)
class Comparison:
    """The nearest by either measure, as far as it was looked for, and the drop if one is too near."""

    drop: Drop | None
    rouge: Nearest | None = None
    embedding: Nearest | None = None


class Novelty:
    """The texts kept so far. Those of `start` are there from the beginning.

    By meaning, a candidate is compared with the same texts, or, by `embedding_reference` "all", with every earlier one that was
    compared by meaning, kept or not.
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
        self._rouge.nearest(
            " ".join(texts)
        )  # compiles what judging needs, while a model is still being loaded elsewhere
        if embeddings is not None:
            embeddings.add(ids, embeddings.encode(texts))

    def vectors(self, texts: dict[str, str], bounds: Bounds) -> dict[str, np.ndarray]:
        """The vectors of a completion's texts by id, encoded in one call, but for those that ROUGE-L drops anyway.

        Which these are depends on what is kept alone, not on the room that is left: a vector's last digits may depend on what
        it is encoded with.
        """
        if self._embeddings is None:
            return {}
        nearest = self._rouge.nearest_each(list(texts.values()))
        chosen = [
            name for name, near in zip(texts, nearest, strict=True) if not near or near.score <= bounds.rouge_limit
        ]
        vectors = self._embeddings.encode([texts[name] for name in chosen])
        return dict(zip(chosen, vectors, strict=True))

    def take(self, name: str, text: str, vector: np.ndarray | None, bounds: Bounds) -> Comparison:
        """Compares a text, and keeps it if it is new."""
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
