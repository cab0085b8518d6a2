"""Drop records that overlap with a benchmark, row by row, with the matching words as evidence."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from self_instruct.datasets.benchmarks import read_benchmarks
from self_instruct.datasets.contamination import Contamination, ContaminationIndex
from self_instruct.datasets.example_texts import parts_of
from self_instruct.datasets.pipeline import BatchStep, ReadRow, Result, open_pipeline, rejected
from self_instruct.datasets.reading import Reader, Source
from self_instruct.errors import UserError
from self_instruct.records import Drop
from self_instruct.runs.tally import Tally

STAGE = "contamination"
_BATCH = 1024


@dataclass
class DecontaminateCounts:
    """Counts of the rows of all sources, and of the matches per benchmark."""

    tally: Tally = field(default_factory=Tally)
    benchmarks: Counter[str] = field(default_factory=Counter)

    def as_dict(self, readers: Sequence[Reader], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the counts and the options for the report."""
        return {
            "inputs": [
                {"path": reader.source.label, "format": reader.schema and reader.schema.name} for reader in readers
            ],
            "rows": self.tally.total,
            "kept": self.tally.kept,
            "drops": self.tally.by_name(),
            "benchmarks": dict(sorted(self.benchmarks.items())),
            "options": dict(options),
        }


def contaminated(
    index: ContaminationIndex, examples: Sequence[Sequence[tuple[str, str]]]
) -> list[dict[str, Any] | None]:
    """Return for each example, given as labelled texts, the evidence of a benchmark match, or None."""
    owners = [at for at, parts in enumerate(examples) for _ in parts]
    names = [name for parts in examples for name, _ in parts]
    found = index.find([text for parts in examples for _, text in parts])
    evidence: list[dict[str, Any] | None] = [None] * len(examples)
    for owner, name, hit in zip(owners, names, found, strict=True):
        if hit is not None and evidence[owner] is None:
            evidence[owner] = _evidence(name, hit)
    return evidence


def _evidence(part: str, hit: Contamination) -> dict[str, Any]:
    about = hit.found
    return {
        "reason": hit.kind, "detail": f"{part}: {hit.detail}", "benchmark": about.benchmark, "place": about.place,
        "id": about.id, "field": about.field, "part": part, "words": hit.words, "text": about.text,
    }  # fmt: skip


def index_of(benchmarks: Sequence[tuple[str, str]], ngram_words: int, substring_words: int) -> ContaminationIndex:
    """Return an index of benchmarks, given by name and path. Raises UserError if no text is long enough to search."""
    if substring_words > ngram_words:
        raise UserError(
            f"--substring_words {substring_words} is above --ngram_words {ngram_words}, but longer texts are matched by "
            f"n-grams; use at most {ngram_words}"
        )
    texts = read_benchmarks(benchmarks)
    index = ContaminationIndex(texts, ngram_words, substring_words)
    if not index.searched:
        raise UserError(
            f"--benchmarks: none of the {len(texts)} texts has {substring_words} words; lower --substring_words"
        )
    return index


class _Decontaminate(BatchStep[ReadRow]):
    """Write the rows without a benchmark match in our format."""

    batch = _BATCH

    def __init__(self, reader: Reader, columns: set[str], index: ContaminationIndex, found: Counter[str]) -> None:
        self._reader, self._columns, self._index, self._found = reader, columns, index, found

    def apply(self, rows: Sequence[ReadRow]) -> Iterator[Result]:
        evidences = contaminated(self._index, [parts_of(example) for _, example in rows])
        for (row, example), evidence in zip(rows, evidences, strict=True):
            if evidence is None:
                yield Result([self._reader.line(row, example, self._columns)])
            else:
                self._found[evidence["benchmark"]] += 1
                drop = Drop(STAGE, evidence["reason"], evidence["detail"])
                yield rejected((row, example), drop, match=evidence)


def decontaminate(
    sources: Sequence[Source], index: ContaminationIndex, output: str, options: Mapping[str, Any]
) -> tuple[DecontaminateCounts, list[Reader]]:
    """Write the rows without a benchmark match; return the counts and the opened sources. `options` go into the report."""
    with open_pipeline(sources, output) as pipeline:
        found, columns = Counter(dict.fromkeys(index.benchmarks, 0)), pipeline.columns
        tallies = [
            pipeline.run(reader.rows(), _Decontaminate(reader, columns, index, found)) for reader in pipeline.readers
        ]
        counts = DecontaminateCounts(Tally.sum(tallies), found)
        pipeline.report = counts.as_dict(pipeline.readers, options)
    return counts, pipeline.readers
