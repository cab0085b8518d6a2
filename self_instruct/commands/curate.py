"""Curate instruction files: self-instruct curate --input_path A.jsonl B.json --output_path C.jsonl

A row is kept if it passes the filters and its instruction and input differ enough from those of the rows kept before it. Of a
row with several instances, only the first is compared.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import parse_values
from self_instruct.config.program import command_line, other_threshold, with_option
from self_instruct.datasets.options import ClusterOptions, ComparisonOptions, CurationOptions, ReadingOptions
from self_instruct.errors import UserError, install
from self_instruct.generation.config import RunOptions
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import OutputPaths, check_jsonl, records_in

if TYPE_CHECKING:
    from self_instruct.datasets.curate import CurateJob
    from self_instruct.datasets.curate_files import CurateCounts

_HELP = (
    "Filter and deduplicate instruction files: keep, in order, every row that passes the filters and differs enough from "
    "the rows kept before it, by instruction and input together. The format is detected from the content. Rows in our "
    "format and seed tasks are written unchanged, rows of other formats are converted to our JSONL. Rules on outputs apply if "
    "a file has outputs. Beside C.jsonl: C.rejected.jsonl, the dropped rows with reasons; C.report.json, the counts; "
    "C.embeddings.cache, embeddings, which are reused with other thresholds. Exit codes: 0 every row was read, 3 some rows "
    "could not be read and are in C.rejected.jsonl, 2 user error, 1 the disk failed."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    job, cluster = _read_job(argv)
    from self_instruct.engines.fleet.world import current_world

    if not current_world().is_main:
        return 0  # only rank 0 curates
    if cluster.executor is not None:
        return _in_tasks(job, cluster, cluster.executor)
    from self_instruct.datasets.curate import curate

    counts, encoded = curate(job)
    print(_summary(job, counts, encoded))
    return SOME_UNREADABLE if counts.unreadable else 0


def _in_tasks(job: "CurateJob", cluster: ClusterOptions, executor: str) -> int:
    """Curate in many tasks; print the summary, or how to come back to the jobs of Slurm."""
    try:
        from self_instruct.datasets.cluster import curate_in_tasks
    except ModuleNotFoundError as error:
        raise UserError(f"--executor {executor} needs the package datatrove ({error}): {install('cluster')}") from None
    found = curate_in_tasks(job, executor, cluster.tasks, cluster.sbatch_values)
    if isinstance(found, list):
        print(
            f"Slurm has the jobs {', '.join(found)}; the logs are in {job.outputs.beside('.tasks')}. When the jobs have ended, "
            "the same command prints the result, or submits the tasks that failed."
        )
        return 0
    print(_summary(job, found, None))
    return SOME_UNREADABLE if found.unreadable else 0


def _read_job(argv: Sequence[str]) -> tuple["CurateJob", ClusterOptions]:
    parts = (CurationOptions, ReadingOptions, ComparisonOptions, FilterOptions, NoveltyOptions, ClusterOptions)
    names = ["preset", "batch_dir", *(name for part in parts for name in part.__dataclass_fields__)]
    groups = (
        CurationOptions, ReadingOptions, ComparisonOptions, RunOptions, FilterOptions, NoveltyOptions, ClusterOptions,
    )  # fmt: skip
    by, about = (
        {"[IN...]": ["input_path", "batch_dir"]},
        {"batch_dir": "directory of a run whose records to curate"},
    )
    given, inputs = parse_values(argv, _HELP, groups, names, tuple(by), about, by)
    given["input_path"] = records_in(inputs)
    options = taken(CurationOptions, given)
    if not options.input_path or options.output_path is None:
        missing = "--output_path" if options.input_path else "--input_path"
        raise UserError(f"{missing} is missing; give --input_path A.jsonl --output_path B.jsonl")
    check_jsonl(options.output_path, "--output_path")
    outputs = OutputPaths(Path(options.output_path))
    outputs.check_inputs(options.input_path, "--input_path")
    from self_instruct.datasets.curate import CurateJob

    sources = taken(ReadingOptions, given).sources(options.input_path)
    settings = resolved(given, ReadingOptions)
    job = CurateJob(
        sources,
        outputs,
        taken(FilterOptions, given),
        taken(NoveltyOptions, given),
        more=settings,
        compare=taken(ComparisonOptions, given).compare,
    )
    return job, taken(ClusterOptions, given)


def _summary(job: "CurateJob", counts: "CurateCounts", encoded: bool | None) -> str:
    """Format the summary for the terminal."""
    from self_instruct.datasets.pipeline import written_files

    outputs, other = job.outputs, other_threshold(job.novelty.rouge_threshold)
    lines = ["", f"{counts.tally.kept:,} of {counts.tally.total:,} rows were kept.", "", counts.table(), ""]
    lines += [
        f"{item.rule} dropped {item.dropped:,} of {item.parsed:,} records ({item.dropped / item.parsed:.0%}); list "
        "the other rules with --filter_rules to leave it out"
        for item in counts.warnings
        if item.warning == "drops_much"
    ]
    if encoded is not None:
        lines.append(f"Embeddings: {'computed and cached' if encoded else 'all were cached; no model was loaded'}.")
    if counts.in_parts:
        lines.append(
            f"{counts.in_parts:,} texts are longer than the embedding model reads; they were encoded in parts."
        )
    if counts.unreadable:
        lines.append(
            f"{counts.unreadable:,} rows could not be read; they are in {outputs.rejected} under the stage `read`."
        )
    captions = {
        outputs.kept.name: "the kept rows",
        outputs.rejected.name: "the dropped rows with their reasons",
        outputs.report.name: "the counts",
    }
    lines += [
        f"Files in {outputs.kept.parent}:",
        *(f"  {name:<38} {captions[name]}" for name in written_files(outputs)),
        "Next:",
        "  another threshold:",
        f"    {shlex.join(with_option(command_line(), ('--rouge_threshold', '--threshold'), other))}",
    ]
    return "\n".join(lines)
