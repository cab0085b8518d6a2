"""Judging completions: blocks are parsed, filtered, and compared with the pool; what passes joins the pool.

Completions are judged in request order, so the verdicts are a function of the completions and the options alone: the
same for a run, its resumption, and `refilter`. Knows nothing of models and files.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from self_instruct.filters import Filter, first_objection
from self_instruct.formats import Block, RecordFormat
from self_instruct.journal import Entry
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.rouge import RougeIndex
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

    A record is kept if its ROUGE-L F1 with every seed and every kept record is below `rouge_threshold`, and likewise its
    cosine similarity, where an embedding index is given. Instructions are compared, with their inputs only in a format
    that has no input field of its own.
    """

    def __init__(
        self,
        format: RecordFormat,
        filters: Sequence[Filter],
        seeds: Sequence[Record],
        rouge_threshold: float,
        embeddings: EmbeddingIndex | None = None,
        embedding_threshold: float = 1.0,
    ) -> None:
        self.pool: list[Record] = []
        self._requests: list[int] = []
        self._format, self._filters = format, filters
        self._rouge, self._rouge_threshold = RougeIndex(), rouge_threshold
        self._embeddings, self._embedding_threshold = embeddings, embedding_threshold
        ids, texts = [seed.id for seed in seeds], [self._compared(seed) for seed in seeds]
        self._rouge.add(ids, texts)
        if embeddings is not None:
            embeddings.add(ids, embeddings.encode(texts))

    def pool_before(self, request: int) -> list[Record]:
        """The records kept from requests below this one: the same whatever was judged since."""
        return self.pool[: bisect_left(self._requests, request)]

    def judge(self, entry: Entry, room: int | None = None) -> list[Verdict]:
        """One verdict for each block of a completion, in order; what comes after `room` kept records is not judged."""
        if entry.finish_reason == "error":
            record = Record(record_id(entry.request, 0), "", "", "", entry.depth)
            return [Verdict(record, Drop("generation", "error", entry.error or ""))]
        verdicts: list[Verdict] = []
        kept = 0
        for block in self._format.parse(entry.text, entry.number, entry.finish_reason == "length"):
            verdict = self._judge_block(block, entry, full=room is not None and kept >= room)
            kept += verdict.drop is None
            verdicts.append(verdict)
        return verdicts

    def _judge_block(self, block: Block, entry: Entry, full: bool) -> Verdict:
        values = {"instruction": "", "input": "", "output": "", **block.fields}
        record = Record(record_id(entry.request, block.position), **values, depth=entry.depth)
        if block.reason:
            return Verdict(record, Drop("parse", block.reason), block.text)
        if full:
            return Verdict(record, Drop("limit", "target_reached"))
        objection = first_objection(self._filters, record)
        if objection:
            reason, _, detail = objection.partition(": ")
            return Verdict(record, Drop("filter", reason, detail))
        return self._judge_novelty(record, entry.request)

    def _judge_novelty(self, record: Record, request: int) -> Verdict:
        text = self._compared(record)
        rouge = self._rouge.nearest(text)
        if rouge and rouge.score >= self._rouge_threshold:
            return Verdict(record, Drop("novelty", "rouge_l", nearest=rouge), rouge=rouge)
        similar = None
        if self._embeddings is not None:
            vectors = self._embeddings.encode([text])
            similar = self._embeddings.nearest(vectors[0])
            if similar and similar.score >= self._embedding_threshold:
                return Verdict(record, Drop("novelty", "embedding", nearest=similar), rouge=rouge, embedding=similar)
            self._embeddings.add([record.id], vectors)
        self._rouge.add([record.id], [text])
        self.pool.append(record)
        self._requests.append(request)
        return Verdict(record, None, rouge=rouge, embedding=similar)

    def _compared(self, record: Record) -> str:
        return record.instruction if "input" in self._format.fields else record.task
