"""Curate, convert, merge and select from Python: the functions behind the commands, without argv and without printing."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import brief_repr, check_values, split_name
from self_instruct.datasets.convert import Target
from self_instruct.datasets.convert import convert as convert_sources
from self_instruct.datasets.curate import CurateJob
from self_instruct.datasets.curate import curate as run_job
from self_instruct.datasets.data import Data, data_files, data_paths, output_paths
from self_instruct.datasets.decontaminate import index_of
from self_instruct.datasets.options import (
    SELECT_NAMES,
    ComparisonOptions,
    ConversionOptions,
    DecontaminationOptions,
    MergeFilterOptions,
    ReadingOptions,
    SelectOptions,
)
from self_instruct.datasets.reading import Source
from self_instruct.datasets.select import scored_records, select_by
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import OutputPaths, check_jsonl
from self_instruct.user_files import read_objects


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not kept: where it is, why, the nearest kept row, and the row itself, None if it could not be read.

    The place of the third row in memory is `row:3`, in `merge` `NAME:3`. `convert` and `select` give the row in our format,
    with its other fields in the provenance.
    """

    place: str
    stage: str
    reason: str
    detail: str
    nearest: Mapping[str, Any] | None
    row: dict[str, Any] | None


@dataclass(frozen=True)
class Curated:
    """The kept rows in order, the rejected ones, and the counts of report.json."""

    kept: list[dict[str, Any]]
    rejected: list[RejectedRow]
    report: dict[str, Any]


@dataclass(frozen=True)
class Converted:
    """The written file, the rejected rows, and the counts of report.json."""

    path: Path
    rejected: list[RejectedRow]
    report: dict[str, Any]


def curate(data: Data, *, output_path: str | Path | None = None, **options: Any) -> Curated:
    """Keep, in order, every row that passes the filters and is new to the rows kept before it.

    Options are those of `self-instruct curate`: filters, novelty, `input_format`, `split`. With `output_path`, a JSONL file,
    the rows are also written there, with rejected rows and counts beside it. Raises UserError for a mistake in an
    option or a file.
    """
    values = check_values(options, (ReadingOptions, ComparisonOptions, FilterOptions, NoveltyOptions))
    with data_files(data, output_path) as (paths, outputs, shown):
        check_jsonl(str(outputs.kept), "output_path")
        job = CurateJob(
            taken(ReadingOptions, values).sources(paths, shown=shown),
            outputs,
            taken(FilterOptions, values),
            taken(NoveltyOptions, values),
            more=resolved(values, ReadingOptions),
            compare=taken(ComparisonOptions, values).compare,
        )
        run_job(job)
        return _curated(outputs)


def merge(sources: Mapping[str, Data], *, output_path: str | Path | None = None, **options: Any) -> Curated:
    """Merge sources, by name, into one set without near-duplicates; each record carries its source.

    Options are those of `self-instruct merge` for filters, novelty and `benchmarks`. Of two records that are
    too similar, the one from the earlier source is kept. Raises UserError for a mistake in an option or a file.
    """
    if not isinstance(sources, Mapping) or not sources:
        raise UserError(
            f"sources is {brief_repr(sources)}, but must be a dict with at least one source: {{name: data}}"
        )
    values = check_values(options, (ComparisonOptions, MergeFilterOptions, NoveltyOptions, DecontaminationOptions))
    about = taken(DecontaminationOptions, values)
    index = None
    if about.benchmarks:
        index = index_of([split_name(text) for text in about.benchmarks], about.ngram_words, about.substring_words)
    with tempfile.TemporaryDirectory() as folder:
        read = list[Source]()
        for number, (name, data) in enumerate(sources.items()):
            rows = Path(folder, f"{number}.jsonl")
            read += [Source(path, name, shown=name if path == str(rows) else "") for path in data_paths(data, rows)]
        outputs = output_paths(output_path, folder)
        check_jsonl(str(outputs.kept), "output_path")
        job = CurateJob(
            read, outputs, taken(MergeFilterOptions, values), taken(NoveltyOptions, values), index,
            uniform=True, option="sources", more=resolved(values, DecontaminationOptions),
            compare=taken(ComparisonOptions, values).compare,
        )  # fmt: skip
        run_job(job)
        return _curated(outputs)


def convert(data: Data, *, to: str, output_path: str | Path, **options: Any) -> Converted:
    """Convert rows or files into one file of another format; options are those of `self-instruct convert`.

    Raises UserError for a mistake in an option or a file.
    """
    values = check_values({"to": to, **options}, (ReadingOptions, ConversionOptions))
    if to is None or output_path is None:
        raise UserError(
            f"{'to' if to is None else 'output_path'} is missing; give convert a format and a file to write"
        )
    about, reading = taken(ConversionOptions, values), taken(ReadingOptions, values)
    with data_files(data, output_path) as (paths, outputs, shown):
        sources = reading.sources(paths, about.source or "", about.license or "", shown)
        target = Target(to, str(outputs.kept), about.lmflow_type, about.vicuna_preamble, about.with_provenance)
        convert_sources(sources, target, resolved(values, ReadingOptions, ConversionOptions))
        return Converted(outputs.kept, _rejected(outputs), json.loads(outputs.report.read_bytes()))


def select(
    data: Data,
    *,
    output_path: str | Path | None = None,
    min: Mapping[str, float] | None = None,
    max: Mapping[str, float] | None = None,
    **options: Any,
) -> Curated:
    """Choose rows by the numbers in their columns, such as those that `score` writes.

    `min` and `max` are limits by column. The other options are those of `self-instruct select`: `by` and `top`, `diverse`,
    `input_format`, `split`. Of a run, the scored records are read if there are any. With `output_path`, a JSONL file, the
    rows are also written there, with rejected rows and counts beside it. Raises UserError for a mistake in an option or a
    file.
    """
    limits = {
        name: [f"{column}={number}" for column, number in given.items()] if isinstance(given, Mapping) else given
        for name, given in (("min", min), ("max", max))
        if given is not None
    }
    values = check_values({**limits, **options}, (ReadingOptions, SelectOptions, NoveltyOptions), SELECT_NAMES)
    with data_files(data, output_path, scored_records) as (paths, outputs, shown):
        select_by(values, paths, outputs, shown)
        return _curated(outputs)


def _curated(outputs: OutputPaths) -> Curated:
    kept = [row for _, row in read_objects(outputs.kept, "the output")]
    return Curated(kept, _rejected(outputs), json.loads(outputs.report.read_bytes()))


def _rejected(outputs: OutputPaths) -> list[RejectedRow]:
    """Return the rejected rows, none if the file is missing."""
    if not outputs.rejected.is_file():
        return []
    return [
        RejectedRow(row["place"], row["stage"], row["reason"], row["detail"], row.get("nearest"), row.get("record"))
        for _, row in read_objects(outputs.rejected, "the output")
    ]
