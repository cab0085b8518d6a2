"""Judging completions: blocks are parsed, filtered, and compared with the pool; what passes joins the pool.

Completions are judged in request order, so the verdicts are a function of the completions and the options alone: the
same for a run, its resumption, and `refilter`. Knows nothing of models and files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from self_instruct.filters import Filter, first_objection
from self_instruct.formats import Block, RecordFormat
from self_instruct.journal import Entry
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS
from self_instruct.record_pool import RecordPool
from self_instruct.records import Drop, Nearest, Record, record_id


@dataclass(frozen=True)
class Verdict:
    """What became of one candidate: its record as far as it could be read, and why it was dropped, or None if kept."""

    record: Record
    drop: Drop | None
    text: str = ""
    rouge: Nearest | None = None
    embedding: Nearest | None = None


class Curator:
    """Decides which candidates are kept. `pool` holds the records kept so far, in request order.

    A record is kept if its ROUGE-L F1 with every seed and every kept record is allowed by `rouge_threshold` and `rouge_rule`,
    and its cosine similarity, where an embedding index is given, is below `embedding_threshold`. That is with the same
    records, or, by `embedding_reference` "all", with every earlier one that was compared by meaning, kept or not.
    Instructions are compared, with their inputs only in a format that has no input field of its own.
    """

    def __init__(
        self,
        format: RecordFormat,
        filters: Sequence[Filter],
        seeds: Sequence[Record],
        rouge_threshold: float,
        embeddings: EmbeddingIndex | None = None,
        embedding_threshold: float = 1.0,
        *,
        rouge_rule: str = "below",
        rouge_tokenizer: str = "rouge",
        embedding_reference: str = "kept",
    ) -> None:
        self.pool = RecordPool()
        self._format, self._filters = format, filters
        self._rouge, self._rouge_limit = (
            RougeIndex(TOKENIZERS[rouge_tokenizer]),
            highest_allowed(rouge_threshold, rouge_rule),
        )
        self._embeddings, self._embedding_threshold = embeddings, embedding_threshold
        self._against_all = embedding_reference == "all"
        ids, texts = [seed.id for seed in seeds], [self._compared(seed) for seed in seeds]
        self._rouge.add(ids, texts)
        self._rouge.nearest(
            " ".join(texts)
        )  # compiles what judging needs, while a model is still being loaded elsewhere
        if embeddings is not None:
            embeddings.add(ids, embeddings.encode(texts))

    def judge(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """One verdict for each block of a completion, in order; what comes after `room` kept records is not judged."""
        if entry.finish_reason == "error":
            record = Record(record_id(entry.request, 0), "", "", "", entry.depth)
            return [Verdict(record, Drop("generation", "error", entry.error or ""))]
        blocks = self._format.parse(entry.text, entry.number, entry.finish_reason == "length")
        drafts = [self._draft(block, entry) for block in blocks]
        vectors = self._vectors([draft.record for draft in drafts if draft.drop is None])
        verdicts: list[Verdict] = []
        kept = 0
        for block, draft in zip(blocks, drafts, strict=True):
            verdict = draft
            if not block.reason and room is not None and kept >= room:
                verdict = Verdict(draft.record, Drop("limit", "target_reached"))
            elif draft.drop is None:
                verdict = self._judge_novelty(draft.record, entry.request, vectors.get(draft.record.id))
            kept += verdict.drop is None
            verdicts.append(verdict)
        return verdicts

    def _draft(self, block: Block, entry: Entry) -> Verdict:
        """The verdict on a block as far as it does not depend on others."""
        values = {"instruction": "", "input": "", "output": "", **block.fields}
        record = Record(record_id(entry.request, block.position), **values, depth=entry.depth)
        if block.reason:
            return Verdict(record, Drop("parse", block.reason), block.text)
        objection = first_objection(self._filters, record)
        if objection:
            reason, _, detail = objection.partition(": ")
            return Verdict(record, Drop("filter", reason, detail))
        return Verdict(record, None)

    def _vectors(self, records: list[Record]) -> dict[str, np.ndarray]:
        """The vectors of a completion's records by id, encoded in one call, but for those that ROUGE-L drops anyway.

        Which these are depends on the pool alone, not on the room that is left: a vector's last digits may depend on what it
        is encoded with.
        """
        if self._embeddings is None:
            return {}
        nearest = self._rouge.nearest_each([self._compared(record) for record in records])
        chosen = [r for r, near in zip(records, nearest, strict=True) if not near or near.score <= self._rouge_limit]
        vectors = self._embeddings.encode([self._compared(record) for record in chosen])
        return {record.id: vector for record, vector in zip(chosen, vectors, strict=True)}

    def _judge_novelty(self, record: Record, request: int, vector: np.ndarray | None) -> Verdict:
        text = self._compared(record)
        rouge = self._rouge.nearest(text)
        if rouge and rouge.score > self._rouge_limit:
            return Verdict(record, Drop("novelty", "rouge_l", nearest=rouge), rouge=rouge)
        similar = None
        if self._embeddings is not None and vector is not None:
            similar = self._embeddings.nearest(vector)
            near = similar is not None and similar.score >= self._embedding_threshold
            if not near or self._against_all:
                self._embeddings.add([record.id], vector[None])
            if near:
                return Verdict(record, Drop("novelty", "embedding", nearest=similar), rouge=rouge, embedding=similar)
        self._rouge.add([record.id], [text])
        self.pool.add(record, request)
        return Verdict(record, None, rouge=rouge, embedding=similar)

    def _compared(self, record: Record) -> str:
        return record.instruction if "input" in self._format.fields else record.task
