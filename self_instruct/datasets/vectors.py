"""Encode the texts of a dataset command, with a cache of vectors beside its output."""

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np

from self_instruct.novelty.embedding import Encoder, LazyEncoder, identity_of
from self_instruct.novelty.vector_cache import CachedEncoder, encode_all
from self_instruct.runs.layout import OutputPaths

_LINE_EVERY = 15.0
_log = logging.getLogger(__name__)


class Vectors:
    """Provides vectors, from the cache file beside the output or from the model."""

    def __init__(self, model_name_or_path: str, outputs: OutputPaths) -> None:
        self._late = LazyEncoder(model_name_or_path)
        # A model that is not downloaded yet has no version before it is loaded.
        identity = identity_of(model_name_or_path) or self._late.model.identity
        self._encoder: Encoder = self._late
        if identity is None:
            _log.warning("%s: the model's version is unknown, so its vectors are not cached", model_name_or_path)
            return
        self._encoder = CachedEncoder(self._late, identity, outputs.vectors, writes=True)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """Return the unit vectors [texts, dimensions], float32. Log every 15 seconds how many texts are encoded."""
        found = encode_all(self._encoder, texts, _log_progress())
        return np.stack([found[text] for text in texts]) if texts else np.empty((0, 0), np.float32)

    @property
    def long(self) -> int:
        """Texts that were encoded in parts; vectors from the cache are not counted."""
        return self._late.long

    @property
    def loaded(self) -> bool:
        """Whether the model was loaded."""
        return self._late.loaded


def _log_progress() -> Callable[[int, int], None]:
    said = time.monotonic()

    def on_part(done: int, number: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _LINE_EVERY:
            said = time.monotonic()
            _log.warning("encoded %d of %d distinct texts", done, number)

    return on_part
