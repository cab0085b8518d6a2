"""Curate files: read, filter, compare, decide and write."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

from self_instruct.datasets.contamination import ContaminationIndex
from self_instruct.datasets.curate_files import CurateCounts, CurateStep, Decided, InputFile
from self_instruct.datasets.decontaminate import STAGE, contaminated
from self_instruct.datasets.instruction_file import Line, Task, tasks_of
from self_instruct.datasets.pipeline import open_pipeline
from self_instruct.datasets.reading import Reader, Source
from self_instruct.datasets.rows import Unreadable
from self_instruct.datasets.vectors import Vectors
from self_instruct.novelty.offline import Decision, keep_first
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.novelty.together import keep_new
from self_instruct.novelty.tokens import untokenized_warning, without_tokens
from self_instruct.records import Drop, Nearest
from self_instruct.rules.build import build_rules, reasons_of_rules
from self_instruct.rules.filters import Filter, about_tasks, first_reason
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


class Material:
    """The rows of a curation: the lines of each input, and which of them pass the filters and are in no benchmark. `drops` and
    benchmark matches (`evidence`) of the others are keyed by location. `untokenized` counts texts, including dropped ones, that
    have no word that ROUGE-L compares. Of a row whose text was yielded, only the line is kept.
    """

    def __init__(self, job: CurateJob) -> None:
        self.files: list[InputFile] = []
        self.passed: list[Line] = []
        self.drops: dict[str, Drop] = {}
        self.evidence: dict[str, dict[str, Any]] = {}
        self.untokenized = 0
        self._job, self._filters = job, build_rules(job.filter, "", job.novelty.rouge_tokenizer)

    def texts(
        self, reader: Reader, columns: set[str], has_output: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Read the rows of an input, and yield the text to compare of each that passes. If no row has an output and
        `has_output` does not return true, only their tasks are checked.
        """
        file = InputFile(reader)
        self.files.append(file)
        waiting = list[Task]()
        for item in tasks_of(reader, columns, self._job.uniform, self._job.benchmarks is not None):
            if isinstance(item, Unreadable):
                file.lines.append(item)
                continue
            file.lines.append(item.line)
            file.has_output = file.has_output or item.has_output
            waiting.append(item)
            if file.has_output and len(waiting) >= _BATCH:
                yield from self._passing(waiting, self._filters)
                waiting = []
        file.has_output = file.has_output or has_output()
        yield from self._passing(waiting, self._filters if file.has_output else about_tasks(self._filters))

    def _passing(self, tasks: Sequence[Task], rules: Sequence[Filter]) -> Iterator[str]:
        job, left = self._job, list[Task]()
        self.untokenized += without_tokens((task.record.task for task in tasks), job.novelty.rouge_tokenizer)
        for task in tasks:
            rejected = first_reason(rules, task.record)
            if rejected is None:
                left.append(task)
            else:
                reason, _, detail = rejected.partition(": ")
                self.drops[task.line.place] = Drop("filter", reason, detail)
        for task, found in zip(left, _evidence(job.benchmarks, left), strict=True):
            if found is not None:
                self.evidence[task.line.place] = found
                self.drops[task.line.place] = Drop(STAGE, found["reason"], found["detail"])
            else:
                self.passed.append(task.line)
                yield task.compared(job.compare)


def curate(job: CurateJob) -> tuple[CurateCounts, bool | None]:
    """Curate. Return the counts, and whether the embedding model was loaded; None if no embeddings were requested."""
    with open_pipeline(job.inputs, str(job.outputs.kept), job.option) as pipeline:
        material, drops = Material(job), dict[str, Drop]()
        texts = chain.from_iterable(material.texts(reader, pipeline.columns) for reader in pipeline.readers)
        if job.novelty.embedding_threshold is None:
            encoder, decisions = None, _by_words(job, texts)
        else:
            encoder = Vectors(job.novelty.embedding_model_name_or_path, job.outputs)
            decisions = _by_both(job, list(texts), encoder, job.novelty.embedding_threshold)
        for at, decision in enumerate(decisions):
            if decision.reason is not None and decision.nearest is not None:
                nearest = Nearest(material.passed[decision.nearest.position].place, decision.nearest.score)
                drops[material.passed[at].place] = Drop("novelty", decision.reason, nearest=nearest)
        drops |= material.drops
        counts = CurateCounts(reasons_of_rules(job.filter), untokenized=material.untokenized)
        counts.in_parts = encoder.long if encoder is not None else 0
        step, decided = CurateStep(counts), _decided(material.files, drops, material.evidence)
        counts.shares = [pipeline.run(rows, step) for rows in decided]
        warn_of_untokenized(counts)
        pipeline.report = report_of(job, counts, material.files)
    return counts, encoder.loaded if encoder is not None else None


def warn_of_untokenized(counts: CurateCounts) -> None:
    """Log a warning if there are texts without a word that ROUGE-L compares."""
    if counts.untokenized:
        _log.warning("%s.", untokenized_warning(counts.untokenized, counts.tally.total - counts.unreadable))


def report_of(job: CurateJob, counts: CurateCounts, files: Sequence[InputFile]) -> dict[str, Any]:
    """Return the content of the report."""
    options = {**job.more, "compare": job.compare, **asdict(job.filter), **asdict(job.novelty)}
    return {**counts.as_dict(files, options), "compared": job.compare or _COMPARED}


def _decided(
    files: Sequence[InputFile], drops: Mapping[str, Drop], evidence: Mapping[str, Mapping[str, Any]]
) -> Iterator[Iterator[Decided | Unreadable]]:
    """Yield the rows of each file with their drops."""
    named = {place for drop in drops.values() if (place := _cause_of(drop))}
    causes = {
        line.place: (at, line)
        for at, file in enumerate(files)
        for line in file.lines
        if isinstance(line, Line) and line.place in named
    }

    def rows(at: int, file: InputFile) -> Iterator[Decided | Unreadable]:
        for line in file.lines:
            if isinstance(line, Unreadable):
                yield line
                continue
            drop = drops.get(line.place)
            cause = causes.get(_cause_of(drop)) if drop is not None else None
            yield Decided(line, at, drop, cause, evidence.get(line.place))

    return (rows(at, file) for at, file in enumerate(files))


def _cause_of(drop: Drop) -> str:
    """Return the location of the row that a row was dropped for; empty if there is none."""
    if drop.nearest is not None:
        return drop.nearest.id
    return drop.detail if drop.reason == "duplicate" else ""


def _evidence(index: ContaminationIndex | None, tasks: Sequence[Task]) -> Sequence[dict[str, Any] | None]:
    """Return the benchmark match of each task."""
    if index is None:
        return [None] * len(tasks)
    return contaminated(
        index, [[("instruction", task.record.task), ("output", task.record.output), *task.further] for task in tasks]
    )


def _by_words(job: CurateJob, texts: Iterable[str]) -> Sequence[Decision]:
    options = job.novelty
    return keep_first(texts, options.rouge_threshold, options.rouge_rule, options.rouge_tokenizer)


def _by_both(job: CurateJob, texts: list[str], encoder: Vectors, threshold: float) -> Sequence[Decision]:
    options = job.novelty
    words = (options.rouge_threshold, options.rouge_rule, options.rouge_tokenizer)
    return keep_new(texts, encoder.of(texts), threshold, options.embedding_reference, words)
