"""The vectors of a report's records: those that a run or a curation has left, and others encoded if that is asked for.

Knows nothing of figures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.embedding import Encoder, LateEncoder, identity_of
from self_instruct.novelty.vector_cache import CachedEncoder, encode_all, model_of
from self_instruct.report.sources import Source

_ASK = "give --embeddings to have them encoded"


class Meanings(NamedTuple):
    """Unit vectors [records, dimensions], float32, of each source; or None for all, and why there are none."""

    vectors: list[np.ndarray] | None
    why_not: str = ""


def found_meanings(sources: Sequence[Source]) -> Meanings:
    """The vectors that lie beside the sources, if all of them have those of all records, by the same model."""
    models, vectors = set(), []
    for source in sources:
        known, model = _best(source)
        if len(known) < len(set(source.texts)):
            had = (
                f"those of {len(known):,} of its {len(set(source.texts)):,} different tasks" if known else "no vectors"
            )
            return Meanings(None, f"{source.name} has {had}; {_ASK}.")
        models.add(model)
        vectors.append(np.stack([known[text] for text in source.texts]))
    if len(models) > 1:
        return Meanings(None, f"The vectors come from different models ({', '.join(sorted(models))}); {_ASK} by one.")
    return Meanings(vectors)


def encoded_meanings(sources: Sequence[Source], model_name_or_path: str, cache: Path) -> Meanings:
    """The vectors of all records by one model, which is loaded if some are not known yet; these are added to a file.

    Raises `UserError` if the model cannot be loaded.
    """
    late = LateEncoder(model_name_or_path)
    encoder: Encoder = late
    identity = identity_of(model_name_or_path) or late.model.identity
    if identity is not None:
        for path in (path for source in sources for path in source.vectors):
            encoder = CachedEncoder(encoder, identity, path, writes=False)
        encoder = CachedEncoder(encoder, identity, cache, writes=True)
    found = encode_all(encoder, [text for source in sources for text in source.texts])
    return Meanings([np.stack([found[text] for text in source.texts]) for source in sources])


def _best(source: Source) -> tuple[dict[str, np.ndarray], str]:
    """The vectors of the file beside a source that has most of its texts, and their model."""
    best: tuple[dict[str, np.ndarray], str] = {}, ""
    for path in source.vectors:
        model = model_of(path)
        if model is not None:
            nothing = LateEncoder(model)  # is never asked, so never loaded
            known = CachedEncoder(nothing, model, path, writes=False).known(source.texts)
            best = max(best, (known, model), key=lambda item: len(item[0]))
    return best
