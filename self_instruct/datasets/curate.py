"""Curate files: read, filter, compare, decide and write."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from self_instruct.datasets.contamination import ContaminationIndex
from self_instruct.datasets.curate_files import CurateCounts, CurateStep, Decided
from self_instruct.datasets.decontaminate import STAGE, contaminated
from self_instruct.datasets.instruction_file import InstructionFile, Task, read_all
from self_instruct.datasets.pipeline import open_pipeline
from self_instruct.datasets.reading import Source
from self_instruct.datasets.rows import Unreadable
from self_instruct.datasets.vectors import Vectors
from self_instruct.novelty.offline import keep_first
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.novelty.together import Outcome, keep_new
from self_instruct.novelty.tokens import untokenized_warning, without_tokens
from self_instruct.records import Drop, Nearest
from self_instruct.rules.build import build_rules, reasons_of_rules
from self_instruct.rules.filters import about_tasks, first_objection
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import OutputPaths

_BATCH = 1024
_COMPARED = "task, or conversation for several turns"  # without --compare
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CurateJob:
    """The inputs, outputs and options of a curation. Records found in `benchmarks` are dropped. `uniform` rewrites every line
    in our format with provenance. Messages name the inputs by `option`. `more` are further options for the report.
    """

    inputs: list[Source]
    outputs: OutputPaths
    filter: FilterOptions
    novelty: NoveltyOptions
    benchmarks: ContaminationIndex | None = None
    uniform: bool = False
    option: str = "--input_path"
    more: Mapping[str, Any] = field(default_factory=dict)
    compare: str | None = None


@dataclass(frozen=True)
class Material:
    """The tasks that pass the filters, and the drops and benchmark matches of the others, keyed by location."""

    passed: list[Task]
    drops: dict[str, Drop]
    evidence: dict[str, dict[str, Any]]

    def texts(self, compare: str | None) -> list[str]:
        """Return the texts to compare."""
        return [task.compared(compare) for task in self.passed]


def curate(job: CurateJob) -> tuple[CurateCounts, bool | None]:
    """Curate. Return the counts, and whether the embedding model was loaded; None if no embeddings were requested."""
    with open_pipeline(job.inputs, str(job.outputs.kept), job.option) as pipeline:
        files = read_all(pipeline.readers, uniform=job.uniform, further=job.benchmarks is not None)
        material = filter_files(job, files)
        encoder = (
            Vectors(job.novelty.embedding_model_name_or_path, job.outputs)
            if job.novelty.embedding_threshold is not None
            else None
        )
        outcomes = _outcomes(job, material.texts(job.compare), encoder)
        passed, drops = material.passed, dict(material.drops)
        for task, outcome in zip(passed, outcomes, strict=True):
            if outcome.reason is not None and outcome.nearest is not None:
                nearest = Nearest(passed[outcome.nearest.position].record.id, outcome.nearest.score)
                drops[task.record.id] = Drop("novelty", outcome.reason, nearest=nearest)
        counts = CurateCounts(reasons_of_rules(job.filter), untokenized=untokenized(job, files))
        counts.in_parts = encoder.long if encoder is not None else 0
        step, decided = CurateStep(counts), _decided(files, drops, material.evidence)
        counts.shares = [pipeline.run(rows, step) for rows in decided]
        warn_of_untokenized(counts)
        pipeline.report = report_of(job, counts, files)
    return counts, encoder.loaded if encoder is not None else None


def filter_files(job: CurateJob, files: Sequence[InstructionFile]) -> Material:
    """Drop the tasks that a filter rejects or that are in a benchmark."""
    filters = build_rules(job.filter, "", job.novelty.rouge_tokenizer)
    passed, drops = list[Task](), dict[str, Drop]()
    for file in files:
        # If a file has no outputs, only check its tasks.
        rules = filters if file.has_output else about_tasks(filters)
        for line in file.lines:
            if not isinstance(line, Task):
                continue
            objection = first_objection(rules, line.record)
            if objection:
                reason, _, detail = objection.partition(": ")
                drops[line.record.id] = Drop("filter", reason, detail)
            else:
                passed.append(line)
    evidence = _evidence(job.benchmarks, passed) if job.benchmarks is not None else {}
    drops |= {place: Drop(STAGE, found["reason"], found["detail"]) for place, found in evidence.items()}
    return Material([task for task in passed if task.record.id not in evidence], drops, evidence)


def untokenized(job: CurateJob, files: Sequence[InstructionFile]) -> int:
    """Return how many texts have no word that ROUGE-L compares, including dropped ones."""
    texts = [line.record.task for file in files for line in file.lines if isinstance(line, Task)]
    return without_tokens(texts, job.novelty.rouge_tokenizer)


def warn_of_untokenized(counts: CurateCounts) -> None:
    """Log a warning if there are texts without a word that ROUGE-L compares."""
    if counts.untokenized:
        _log.warning("%s.", untokenized_warning(counts.untokenized, counts.tally.total - counts.unreadable))


def report_of(job: CurateJob, counts: CurateCounts, files: Sequence[InstructionFile]) -> dict[str, Any]:
    """Return the content of the report."""
    options = {**job.more, "compare": job.compare, **asdict(job.filter), **asdict(job.novelty)}
    return {**counts.as_dict(files, options), "compared": job.compare or _COMPARED}


def _decided(
    files: Sequence[InstructionFile], drops: Mapping[str, Drop], evidence: Mapping[str, Mapping[str, Any]]
) -> Iterator[Iterator[Decided | Unreadable]]:
    """Yield the rows of each file with their drops."""
    tasks = {
        line.record.id: (at, line) for at, file in enumerate(files) for line in file.lines if isinstance(line, Task)
    }

    def rows(at: int, file: InstructionFile) -> Iterator[Decided | Unreadable]:
        for line in file.lines:
            if isinstance(line, Unreadable):
                yield line
                continue
            drop, cause = drops.get(line.record.id), None
            if drop is not None and drop.nearest is not None:
                cause = tasks[drop.nearest.id]
            elif drop is not None and drop.reason == "duplicate":
                cause = tasks.get(drop.detail)
            yield Decided(line, at, drop, cause, evidence.get(line.record.id))

    return (rows(at, file) for at, file in enumerate(files))


def _evidence(index: ContaminationIndex, tasks: list[Task]) -> dict[str, dict[str, Any]]:
    """Return benchmark matches, keyed by task location."""
    evidence = dict[str, dict[str, Any]]()
    for begin in range(0, len(tasks), _BATCH):
        batch = tasks[begin : begin + _BATCH]
        parts = [[("instruction", task.record.task), ("output", task.record.output), *task.further] for task in batch]
        found = zip(batch, contaminated(index, parts), strict=True)
        evidence |= {task.record.id: match for task, match in found if match is not None}
    return evidence


def _outcomes(job: CurateJob, texts: list[str], encoder: Vectors | None) -> list[Outcome]:
    options = job.novelty
    words = (options.rouge_threshold, options.rouge_rule, options.rouge_tokenizer)
    if encoder is None or options.embedding_threshold is None:
        return [Outcome(None if kept else "rouge_l", nearest) for kept, nearest in keep_first(texts, *words)]
    return keep_new(texts, encoder.of(texts), options.embedding_threshold, options.embedding_reference, words)
