"""Judging completions: blocks are parsed, filtered, and compared with the pool; what passes joins the pool.

Completions are judged in request order, so the verdicts are a function of the completions and the options alone: the
same for a run, its resumption, and `refilter`. Knows nothing of models and files.
"""

from collections.abc import Sequence
from typing import Protocol

from self_instruct.formats import Block, RecordFormat
from self_instruct.generation.pool import RecordPool
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.records import Drop, Record, record_id
from self_instruct.rules.filters import Filter, first_objection
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict


class Judge(Protocol):
    """Decides what becomes of candidates, in request order."""

    @property
    def pool(self) -> Sequence[Record]:
        """The records kept so far."""

    def judge(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """The verdicts that a completion brings, of which at most `room` keep a record; None is any number."""

    def unfinished(self) -> list[Verdict]:
        """Verdicts on what is still undecided when a run ends."""


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
        self._bounds = Bounds(rouge_threshold, embedding_threshold, rouge_rule)
        start = [(seed.id, compared(seed, format)) for seed in seeds]
        self._novelty = Novelty(start, embeddings, rouge_tokenizer, embedding_reference)

    def judge(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """One verdict for each block of a completion, in order; what comes after `room` kept records is not judged."""
        if entry.finish_reason == "error":
            return [unanswered(entry)]
        blocks = self._format.parse(entry.text, entry.number, entry.finish_reason == "length")
        drafts = [draft(block, entry, self._filters) for block in blocks]
        texts = {item.record.id: compared(item.record, self._format) for item in drafts if item.drop is None}
        vectors = self._novelty.vectors(texts, self._bounds)
        verdicts: list[Verdict] = []
        kept = 0
        for item in drafts:
            verdict, name = item, item.record.id
            if room is not None and kept >= room and not (item.drop and item.drop.stage == "parse"):
                verdict = Verdict(item.record, Drop("limit", "target_reached"))
            elif item.drop is None:
                found = self._novelty.take(name, texts[name], vectors.get(name), self._bounds)
                verdict = Verdict(item.record, found.drop, rouge=found.rouge, embedding=found.embedding)
            if verdict.drop is None:
                kept += 1
                self.pool.add(verdict.record, entry.request)
            verdicts.append(verdict)
        return verdicts

    def unfinished(self) -> list[Verdict]:
        """What is still undecided when a run ends: nothing."""
        return []


def unanswered(entry: Entry) -> Verdict:
    """The verdict on a request that the engine could not answer."""
    record = Record(record_id(entry.request, 0), "", "", "", entry.depth)
    return Verdict(record, Drop("generation", "error", entry.error or ""))


def draft(block: Block, entry: Entry, filters: Sequence[Filter]) -> Verdict:
    """The verdict on a block as far as it does not depend on others."""
    values = {"instruction": "", "input": "", "output": "", **block.fields}
    record = Record(record_id(entry.request, block.position), **values, depth=entry.depth)
    if block.reason:
        return Verdict(record, Drop("parse", block.reason), block.text)
    objection = first_objection(filters, record)
    return Verdict(record, objected("filter", objection) if objection else None)


def objected(stage: str, objection: str) -> Drop:
    """The drop of an objection, which is a reason or `reason: detail`."""
    reason, _, detail = objection.partition(": ")
    return Drop(stage, reason, detail)


def compared(record: Record, format: RecordFormat) -> str:
    """What novelty compares of a record."""
    return record.instruction if "input" in format.fields else record.task
