"""Write report.json: the counts of a run and the diversity of its records."""

import json
from collections.abc import Sequence
from pathlib import Path

from self_instruct.records import Record
from self_instruct.runs.files import put
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.layout import REPORT


def write_report(
    folder: Path, funnel: Funnel, stopped: str, accepted: Sequence[Record] = (), seeds: Sequence[Record] = ()
) -> None:
    """Write report.json atomically, with the diversity of the `accepted` records if they are enough to measure it.

    With vectors, it has the share of the seed tasks that the records cover.
    """
    from self_instruct.novelty import diversity  # numpy takes long to import
    from self_instruct.novelty.vector_cache import FILE_NAME

    counts = funnel.as_dict(stopped)
    if size := diversity.fixed_size(len(accepted)):
        measured = accepted[:size]
        words = diversity.by_words([record.instruction for record in measured])
        counts["diversity"] = {"records": size, **words, **_by_vectors(folder / FILE_NAME, measured, seeds)}
    put(folder / REPORT, (json.dumps(counts, indent=2) + "\n").encode())


def _by_vectors(cache: Path, records: Sequence[Record], seeds: Sequence[Record]) -> dict[str, float]:
    """Return the measures of diversity that need vectors; none if the run has not stored those of all records."""
    import numpy as np

    from self_instruct.novelty import diversity
    from self_instruct.novelty.embedding import LazyEncoder
    from self_instruct.novelty.vector_cache import CachedEncoder, model_of

    model = model_of(cache)
    if model is None:
        return {}
    stored = CachedEncoder(LazyEncoder(model), model, cache, writes=False)  # `known` loads no model
    # A run with inputs compares instructions, another one tasks; they are equal where there is no input.
    for text in (lambda record: record.task, lambda record: record.instruction):
        texts, aims = ([text(record) for record in some] for some in (records, seeds))
        known = stored.known([*texts, *aims])
        if known.keys() >= set(texts):
            vectors = np.stack([known[text] for text in texts])
            scores = {"vendi_score": diversity.vendi_score(vectors), "novel_sum": diversity.novel_sum(vectors)}
            complete = bool(aims) and known.keys() >= set(aims)
            covered = diversity.coverage(vectors, np.stack([known[aim] for aim in aims])) if complete else None
            scores |= {} if covered is None else {"seed_coverage": covered}
            return {name: round(score, 4) for name, score in scores.items()}
    return {}
