"""Taking the records out of sources that are in a benchmark, row by row; the evidence is kept with each."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.datasets.benchmarks import read_benchmarks
from self_instruct.datasets.contamination import Contamination, ContaminationIndex
from self_instruct.datasets.convert import Rejects
from self_instruct.datasets.example import ASSISTANT, Example
from self_instruct.datasets.outputs import open_sink
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.errors import UserError
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import PIPE, OutputPaths

Item = tuple[Row, Example] | Unreadable
STAGE = "contamination"
_BATCH = 1024


@dataclass
class Cleared:
    """What became of so many rows: kept, dropped by stage and reason, and contaminated by benchmark, each with its number."""

    kept: int = 0
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    benchmarks: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Rows read, whole or not."""
        return self.kept + self.drops.total()

    def as_dict(self, readers: Sequence[Reader], options: Mapping[str, Any]) -> dict[str, Any]:
        """As in the report, with the options."""
        return {
            "inputs": [
                {"path": reader.source.path, "format": reader.schema and reader.schema.name} for reader in readers
            ],
            "rows": self.rows,
            "kept": self.kept,
            "drops": {f"{stage}: {reason}": number for (stage, reason), number in sorted(self.drops.items())},
            "benchmarks": dict(sorted(self.benchmarks.items())),
            "options": dict(options),
        }


def parts_of(example: Example) -> list[tuple[str, str]]:
    """The texts of an example that are looked at, each as what is asked or what is answered."""
    if not example.messages:
        return [("instruction", example.prompt), ("output", example.output)]
    return [("output" if turn["role"] == ASSISTANT else "instruction", turn["content"]) for turn in example.messages]


def contaminated(
    index: ContaminationIndex, examples: Sequence[Sequence[tuple[str, str]]]
) -> list[dict[str, Any] | None]:
    """For each example, given by its parts, the evidence that it is in a benchmark; None if it is in none."""
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
    """What finds the benchmarks, each given by name and path. Raises `UserError` if there is nothing in them to be found."""
    if substring_words > ngram_words:
        raise UserError(
            f"--substring_words is {substring_words}, but texts of --ngram_words {ngram_words} are found by n-grams; give at "
            "most that"
        )
    texts = read_benchmarks(benchmarks)
    index = ContaminationIndex(texts, ngram_words, substring_words)
    if not index.searched:
        raise UserError(
            f"--benchmarks: none of {len(texts)} texts has --substring_words {substring_words} words; lower it"
        )
    return index


def decontaminate(
    sources: Sequence[Source], index: ContaminationIndex, output: str, options: Mapping[str, Any]
) -> tuple[Cleared, list[Reader]]:
    """Reads, writes what is in no benchmark, and counts; the report tells the options. Raises `UserError` as `convert` does."""
    with ExitStack() as stack:
        sink = stack.enter_context(closing(open_sink(output)))
        rejects = Rejects(output, stack)
        report = stack.enter_context(closing(NewFile(OutputPaths(Path(output)).report))) if output != PIPE else None
        readers = open_sources(sources, "IN")
        columns = set[str]().union(*(reader.columns for reader in readers))
        cleared = Cleared(benchmarks=Counter(dict.fromkeys(index.benchmarks, 0)))
        for reader in readers:
            for batch in _batches(reader):
                for item in _judged(batch, index, cleared, rejects):
                    sink.write(reader.line(*item, columns) + b"\n")
        rejects.publish()
        if report is not None:
            report.write((json.dumps(cleared.as_dict(readers, options), indent=2) + "\n").encode())
            report.publish()
        sink.publish()
    return cleared, readers


def _judged(
    batch: list[Item], index: ContaminationIndex, cleared: Cleared, rejects: Rejects
) -> Iterator[tuple[Row, Example]]:
    """The rows of a batch that are kept; the others go to the rejected ones."""
    whole = [parts_of(item[1]) for item in batch if not isinstance(item, Unreadable)]
    found = iter(contaminated(index, whole))
    for item in batch:
        if isinstance(item, Unreadable):
            cleared.drops["read", item.reason] += 1
            rejects.unreadable(item)
            continue
        evidence = next(found)
        if evidence is None:
            cleared.kept += 1
            yield item
        else:
            cleared.drops[STAGE, evidence["reason"]] += 1
            cleared.benchmarks[evidence["benchmark"]] += 1
            rejects.unfit(*item, STAGE, evidence["reason"], evidence["detail"], match=evidence)


def _batches(reader: Reader) -> Iterator[list[Item]]:
    batch = list[Item]()
    for item in reader.rows():
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
