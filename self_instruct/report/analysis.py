"""Compute what a report shows of its inputs: verbs and objects, embeddings, and the nearest earlier neighbour of each record.

Embeddings are read from the caches beside runs and curated files, or computed on request. ROUGE-L neighbours are taken from
the provenance of the records, and computed if most records state none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from self_instruct.errors import UserError
from self_instruct.novelty.embedding import Encoder, LazyEncoder, identity_of
from self_instruct.novelty.kernels.vectors import choose
from self_instruct.novelty.offline import keep_first
from self_instruct.novelty.tokens import rouge_tokens
from self_instruct.novelty.vector_cache import CachedEncoder, encode_all, model_of
from self_instruct.novelty.verb_noun import VerbNoun, verb_noun
from self_instruct.records import Nearest
from self_instruct.report.inputs import ReportInput, read_inputs

_ASK = "give --embeddings to encode them"
_ALL = 1.01  # a threshold above every score: all texts are kept, so each is compared with all earlier ones
_LONGEST = 4096  # words; of longer texts, only the beginning is compared

OnEncoded = Callable[[int, int], None]
"""Called while texts are encoded, with the number of texts encoded so far and in total."""


def _ignore(done: int, number: int) -> None:
    """Show no progress."""


class VectorsOrReason(NamedTuple):
    """For each input, unit vectors [records, dimensions] in float32; or None and the reason why there are none."""

    vectors: list[np.ndarray] | None
    reason: str = ""


class Neighbours(NamedTuple):
    """The nearest earlier record of each record, by ROUGE-L (`words`) and cosine (`meaning`); None if there is none."""

    words: list[Nearest | None]
    meaning: list[Nearest | None]


@dataclass(frozen=True)
class Analysis:
    """The results for the inputs, in their order; `no_vectors` is the reason why there are no vectors. `reference` are the
    vectors of the reference, if there is one.
    """

    inputs: Sequence[ReportInput]
    pairs: list[list[VerbNoun]]
    neighbours: list[Neighbours]
    vectors: list[np.ndarray] | None
    no_vectors: str = ""
    reference: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the inputs."""
        return [source.name for source in self.inputs]


def analyse(
    paths: Sequence[str],
    model_name_or_path: str | None,
    cache: Path,
    on_encoded: OnEncoded = _ignore,
    reference: str | None = None,
) -> Analysis:
    """Read and analyse runs or files. With a model, encode texts without a vector, and keep their vectors in `cache`.

    A single run may have no accepted record. Raises UserError if an input or the reference is neither a run nor a file of
    instructions, the model cannot be loaded, or there is a reference but no vectors.
    """
    inputs = read_inputs(paths, may_be_empty=len(paths) == 1 and reference is None)
    compared = [*inputs, *(read_inputs([reference]) if reference is not None else [])]
    found = (
        stored_vectors(compared)
        if model_name_or_path is None or not inputs[0].rows
        else computed_vectors(compared, model_name_or_path, cache, on_encoded)
    )
    if reference is not None and found.vectors is None:
        raise UserError(f"--reference {reference}: is compared by embeddings, but {found.reason}")
    vectors = found.vectors and found.vectors[: len(inputs)]
    return Analysis(
        inputs,
        [[verb_noun(row.record.instruction) for row in source.rows] for source in inputs],
        [neighbours(source, vectors[at] if vectors else None) for at, source in enumerate(inputs)],
        vectors,
        found.reason,
        found.vectors[-1] if found.vectors and reference is not None else None,
    )


def stored_vectors(inputs: Sequence[ReportInput]) -> VectorsOrReason:
    """Return the vectors stored beside the inputs, if they cover all records and come from the same model."""
    models, vectors = set(), []
    for source in inputs:
        if not source.rows:
            return VectorsOrReason(None, f"{source.name} has no records.")
        known, model = _best(source)
        if len(known) < len(set(source.texts)):
            missing = (
                f"vectors for only {len(known):,} of its {len(set(source.texts)):,} distinct tasks"
                if known
                else "no vectors"
            )
            return VectorsOrReason(None, f"{source.name} has {missing}; {_ASK}.")
        models.add(model)
        vectors.append(np.stack([known[text] for text in source.texts]))
    if len(models) > 1:
        return VectorsOrReason(
            None, f"The vectors come from different models ({', '.join(sorted(models))}); {_ASK} with one."
        )
    return VectorsOrReason(vectors)


def computed_vectors(
    inputs: Sequence[ReportInput], model_name_or_path: str, cache: Path, on_encoded: OnEncoded = _ignore
) -> VectorsOrReason:
    """Return the vectors of all records by one model; encode the missing ones and add them to `cache`.

    The model is loaded only if vectors are missing. Raises UserError if it cannot be loaded.
    """
    late = LazyEncoder(model_name_or_path)
    encoder: Encoder = late
    identity = identity_of(model_name_or_path) or late.model.identity
    if identity is not None:
        for path in (path for source in inputs for path in source.vectors):
            encoder = CachedEncoder(encoder, identity, path, writes=False)
        encoder = CachedEncoder(encoder, identity, cache, writes=True)
    texts = [text for source in inputs for text in source.texts]
    on_encoded(0, len(set(texts)))
    found = encode_all(encoder, texts, on_encoded)
    return VectorsOrReason([np.stack([found[text] for text in source.texts]) for source in inputs])


def _best(source: ReportInput) -> tuple[dict[str, np.ndarray], str]:
    """Return the vectors of the cache that covers the most texts of an input, and their model."""
    best: tuple[dict[str, np.ndarray], str] = {}, ""
    for path in source.vectors:
        model = model_of(path)
        if model is not None:
            unused = LazyEncoder(model)  # `known` encodes nothing, so it is never loaded
            known = CachedEncoder(unused, model, path, writes=False).known(source.texts)
            best = max(best, (known, model), key=lambda item: len(item[0]))
    return best


def neighbours(source: ReportInput, vectors: np.ndarray | None) -> Neighbours:
    """Return the neighbours of each row of an input; `vectors` [rows, dimensions] are in the order of the rows."""
    ids = [row.record.id for row in source.rows]
    words = [row.nearest for row in source.rows]
    if sum(near is None for near in words) > len(words) // 2:
        words = _by_words(ids, source.texts)
    return Neighbours(words, _by_meaning(ids, vectors) if vectors is not None else [None] * len(ids))


def _by_words(ids: Sequence[str], texts: Sequence[str]) -> list[Nearest | None]:
    shortened = [text if len(text) < 4 * _LONGEST else " ".join(rouge_tokens(text)[:_LONGEST]) for text in texts]
    decisions = keep_first(shortened, _ALL, nearest_of_kept=True)
    return [
        Nearest(ids[near.position], near.score) if near is not None and near.score > 0 else None
        for _, near in decisions
    ]


def _by_meaning(ids: Sequence[str], vectors: np.ndarray) -> list[Nearest | None]:
    found = choose(vectors, 2.0)
    return [
        Nearest(ids[at], score) if at >= 0 else None
        for at, score in zip(found.nearest.tolist(), found.scores.tolist(), strict=True)
    ]
