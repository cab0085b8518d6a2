"""What a report computes about its inputs: verbs and objects, vectors, and the nearest earlier neighbour of each record.

Vectors are those that a run or a curation left beside its files, or are encoded on demand. Neighbours are taken from the
records' provenance where it names them, and searched for otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from self_instruct.novelty.embedding import Encoder, LateEncoder, identity_of
from self_instruct.novelty.kernels.vectors import choose
from self_instruct.novelty.offline import keep_first
from self_instruct.novelty.tokens import rouge_tokens
from self_instruct.novelty.vector_cache import CachedEncoder, encode_all, model_of
from self_instruct.records import Nearest
from self_instruct.report.inputs import ReportInput, read_inputs
from self_instruct.report.verb_noun import VerbNoun, verb_noun

_ASK = "give --embeddings to have them encoded"
_ALL = 1.01  # a threshold that every score is below: all are kept, so each is compared with all before it
_LONGEST = 4096  # words; longer texts are compared by their beginning


class Meanings(NamedTuple):
    """Unit vectors [records, dimensions], float32, of each source; or None for all, and why there are none."""

    vectors: list[np.ndarray] | None
    reason: str = ""


class Neighbours(NamedTuple):
    """Of each record the nearest before it, by ROUGE-L and by cosine; None where it has none, or there are no vectors."""

    words: list[Nearest | None]
    meaning: list[Nearest | None]


@dataclass(frozen=True)
class Analysis:
    """What was found out about the inputs, in their order; `no_vectors` says why there are no vectors."""

    inputs: Sequence[ReportInput]
    pairs: list[list[VerbNoun]]
    neighbours: list[Neighbours]
    vectors: list[np.ndarray] | None
    no_vectors: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the inputs."""
        return [source.name for source in self.inputs]


def analyse(paths: Sequence[str], model_name_or_path: str | None, cache: Path) -> Analysis:
    """Read and analyse runs or files. With a model, encode the texts that have no vector, and keep their vectors in `cache`.

    Raises `UserError` if one is neither a run nor a file of instructions, or the model cannot be loaded.
    """
    inputs = read_inputs(paths)
    meanings = (
        found_meanings(inputs) if model_name_or_path is None else encoded_meanings(inputs, model_name_or_path, cache)
    )
    vectors = meanings.vectors
    return Analysis(
        inputs,
        [[verb_noun(row.record.instruction) for row in source.rows] for source in inputs],
        [neighbours(source, vectors[at] if vectors else None) for at, source in enumerate(inputs)],
        vectors,
        meanings.reason,
    )


def found_meanings(inputs: Sequence[ReportInput]) -> Meanings:
    """The vectors that lie beside the sources, if all of them have those of all records, by the same model."""
    models, vectors = set(), []
    for source in inputs:
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


def encoded_meanings(inputs: Sequence[ReportInput], model_name_or_path: str, cache: Path) -> Meanings:
    """The vectors of all records by one model, which is loaded if some are not known yet; these are added to a file.

    Raises `UserError` if the model cannot be loaded.
    """
    late = LateEncoder(model_name_or_path)
    encoder: Encoder = late
    identity = identity_of(model_name_or_path) or late.model.identity
    if identity is not None:
        for path in (path for source in inputs for path in source.vectors):
            encoder = CachedEncoder(encoder, identity, path, writes=False)
        encoder = CachedEncoder(encoder, identity, cache, writes=True)
    found = encode_all(encoder, [text for source in inputs for text in source.texts])
    return Meanings([np.stack([found[text] for text in source.texts]) for source in inputs])


def _best(source: ReportInput) -> tuple[dict[str, np.ndarray], str]:
    """The vectors of the file beside a source that has most of its texts, and their model."""
    best: tuple[dict[str, np.ndarray], str] = {}, ""
    for path in source.vectors:
        model = model_of(path)
        if model is not None:
            nothing = LateEncoder(model)  # is never asked, so never loaded
            known = CachedEncoder(nothing, model, path, writes=False).known(source.texts)
            best = max(best, (known, model), key=lambda item: len(item[0]))
    return best


def neighbours(source: ReportInput, vectors: np.ndarray | None) -> Neighbours:
    """The neighbours of each row of a source; `vectors` are those of its rows [rows, dimensions], if there are any."""
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
