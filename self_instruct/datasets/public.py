"""Curate, convert and merge rows or files from Python: the functions behind the commands, without argv and without printing."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import check_values
from self_instruct.datasets.convert import Target
from self_instruct.datasets.convert import convert as convert_sources
from self_instruct.datasets.curate import CurateJob
from self_instruct.datasets.curate import curate as run_job
from self_instruct.datasets.decontaminate import index_of
from self_instruct.datasets.options import (
    ComparisonOptions,
    ConversionOptions,
    DecontaminationOptions,
    MergeFilterOptions,
    ReadingOptions,
)
from self_instruct.datasets.reading import Source
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import PIPE, OutputPaths, records_of
from self_instruct.runs.run import Run
from self_instruct.user_files import read_objects

Rows = Iterable[Mapping[str, Any]]
"""Rows in memory: a list of dicts, or a `datasets.Dataset`."""
Data = str | Path | Run | Sequence[str | Path] | Rows
"""Rows, a run, or a path: of a file, of a folder of the datasets library, or on the Hub; or a list of files."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that was not kept: where it is (`row:3` for the third row in memory), why, the nearest kept row, and the row
    itself, None if it could not be read.
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
    with _files(data, output_path) as (paths, outputs, shown):
        job = CurateJob(
            taken(ReadingOptions, values).sources(paths),
            outputs,
            taken(FilterOptions, values),
            taken(NoveltyOptions, values),
            more=resolved(values, ReadingOptions),
            compare=taken(ComparisonOptions, values).compare,
        )
        run_job(job)
        return _curated(outputs, shown)


def merge(sources: Mapping[str, Data], *, output_path: str | Path | None = None, **options: Any) -> Curated:
    """Merge sources, by name, into one set without near-duplicates; each record carries its source.

    Options are those of `self-instruct merge` except the sources: filters, novelty, `benchmarks`. Of two records that are
    too similar, the one from the earlier source is kept. Raises UserError for a mistake in an option or a file.
    """
    values = check_values(options, (ComparisonOptions, MergeFilterOptions, NoveltyOptions, DecontaminationOptions))
    about = taken(DecontaminationOptions, values)
    index = None
    if about.benchmarks:
        index = index_of([("", path) for path in about.benchmarks], about.ngram_words, about.substring_words)
    with tempfile.TemporaryDirectory() as folder:
        read = list[Source]()
        for number, (name, data) in enumerate(sources.items()):
            rows = Path(folder, f"{number}.jsonl")
            read += [Source(path, name) for path in _paths(data, rows)]
        outputs = _outputs(output_path, folder)
        job = CurateJob(
            read, outputs, taken(MergeFilterOptions, values), taken(NoveltyOptions, values), index,
            uniform=True, option="sources", more=resolved(values, DecontaminationOptions),
            compare=taken(ComparisonOptions, values).compare,
        )  # fmt: skip
        run_job(job)
        return _curated(outputs, folder)


def convert(data: Data, *, to: str, output_path: str | Path, **options: Any) -> Converted:
    """Convert rows or files into one file of another format; options are those of `self-instruct convert`.

    Raises UserError for a mistake in an option or a file.
    """
    values = check_values({"to": to, **options}, (ReadingOptions, ConversionOptions))
    about, reading = taken(ConversionOptions, values), taken(ReadingOptions, values)
    with _files(data, output_path) as (paths, outputs, shown):
        sources = reading.sources(paths, about.source or "", about.license or "")
        target = Target(to, str(outputs.kept), about.lmflow_type, about.vicuna_preamble, about.with_provenance)
        convert_sources(sources, target, resolved(values, ReadingOptions, ConversionOptions))
        return Converted(outputs.kept, _rejected(outputs, shown), json.loads(outputs.report.read_bytes()))


@contextmanager
def _files(data: Data, output_path: str | Path | None) -> Iterator[tuple[list[str], OutputPaths, str]]:
    """Provide files for rows in memory, and for outputs without a path, in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _paths(data, Path(folder, "rows.jsonl"))
        outputs = _outputs(output_path, folder)
        outputs.check_inputs(paths, "the data")
        yield paths, outputs, folder


def _outputs(output_path: str | Path | None, folder: str) -> OutputPaths:
    if output_path is None:
        return OutputPaths(Path(folder, "kept.jsonl"))
    return OutputPaths(Path(output_path).expanduser().absolute())


def _paths(data: Data, rows: Path) -> list[str]:
    """Return the paths of data; rows in memory are written to the file `rows`. Raises UserError for anything else."""
    if isinstance(data, Run):
        return [str(records_of(data.folder))]
    if isinstance(data, (str, Path)):
        return [_path(data)]
    items = list(data)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return [_path(item) for item in items]  # type: ignore[arg-type]
    if not items:
        raise UserError("there are no rows; give at least one")
    with rows.open("w", encoding="utf-8", errors="surrogatepass") as file:
        for number, item in enumerate(items, start=1):
            if not isinstance(item, Mapping):
                raise UserError(
                    f"row {number} is of type {type(item).__name__}, but data is a path, a list of paths, a run, a list of "
                    "dicts or a datasets.Dataset"
                )
            try:
                file.write(json.dumps(dict(item), ensure_ascii=True) + "\n")
            except (TypeError, ValueError, RecursionError) as error:
                raise UserError(f"row {number} cannot be written as JSON ({error})") from None
    return [str(rows)]


def _path(path: str | Path) -> str:
    if str(path) == PIPE:
        raise UserError("only the command can read from a pipe; give a path or rows")
    return str(records_of(Path(path))) if Path(path).exists() else str(path)


def _curated(outputs: OutputPaths, folder: str) -> Curated:
    kept = [row for _, row in read_objects(outputs.kept, "the output")]
    return Curated(kept, _rejected(outputs, folder), json.loads(outputs.report.read_bytes()))


def _rejected(outputs: OutputPaths, folder: str) -> list[RejectedRow]:
    """Return the rejected rows, none if the file is missing; locations in files of `folder` become `row:N`."""
    if not outputs.rejected.is_file():
        return []
    return [
        RejectedRow(_shown(row["place"], folder), row["stage"], row["reason"], row["detail"],
                    row.get("nearest"), row.get("record"))
        for _, row in read_objects(outputs.rejected, "the output")
    ]  # fmt: skip


def _shown(place: str, folder: str) -> str:
    return f"row:{place.rpartition(':')[2]}" if place.startswith(folder) else place
