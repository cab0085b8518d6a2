"""Curates any instruction file: python -m self_instruct.post_processing --input_path A.jsonl B.json --output_path C.jsonl

Every row that passes the filters and is new to the rows kept before it is kept, in order; a line of ours as it stood. Compared
is the instruction with its input; the first instance where there are several.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import parse_values
from self_instruct.config.program import command_line, other_threshold, with_option
from self_instruct.datasets.options import CurationOptions, ReadingOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import RunOptions
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import OutputPaths, check_jsonl, records_of

if TYPE_CHECKING:
    from self_instruct.datasets.curate import CurateJob
    from self_instruct.datasets.curate_files import CurateCounts

_HELP = (
    "Curate instruction files: keep, in order, every row that passes the filters and is new to the rows kept before it. The "
    "format of a file is told by its content. A line that is an object with an instruction and, if it has them, input and "
    "output, or a seed task, is written as it stood; rows of other formats as JSONL of ours. Compared are instruction and "
    "input together. Outputs are judged where a file has any. Beside C.jsonl: C.rejected.jsonl, every other line with the "
    "reason; C.report.json, the counts; C.embeddings.cache, vectors, so that other thresholds encode nothing again. Exit "
    "codes: 0 every line was read, 3 some could not be and are among the rejected, 2 a mistake, 1 the disk failed."
)
AFTER_FAILURE = "the output is as it was; the same command begins anew, with the vectors that are there"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    job = _read_job(argv)
    from self_instruct.engines.fleet.world import current_world

    if not current_world().is_main:
        return 0  # rank 0 works alone
    from self_instruct.datasets.curate import curate

    counts, encoded = curate(job)
    print(_told(job, counts, encoded))
    return SOME_UNREADABLE if counts.unreadable else 0


def _read_job(argv: Sequence[str]) -> "CurateJob":
    parts = (CurationOptions, ReadingOptions, FilterOptions, NoveltyOptions)
    names = ["preset", "batch_dir", *(name for part in parts for name in part.__dataclass_fields__)]
    groups = (CurationOptions, ReadingOptions, RunOptions, FilterOptions, NoveltyOptions)
    by, about = {"[IN...]": ["input_path", "batch_dir"]}, {"batch_dir": "directory of a run whose records are curated"}
    given, inputs = parse_values(argv, _HELP, groups, names, tuple(by), about, by)
    given["input_path"] = [str(records_of(Path(path))) for path in inputs]
    options = taken(CurationOptions, given)
    if not options.input_path or options.output_path is None:
        missing = "--output_path" if options.input_path else "--input_path"
        raise UserError(f"{missing} is missing; give --input_path A.jsonl --output_path B.jsonl")
    check_jsonl(options.output_path, "--output_path")
    places = OutputPaths(Path(options.output_path))
    places.check_inputs(options.input_path, "--input_path")
    from self_instruct.datasets.curate import CurateJob

    sources = taken(ReadingOptions, given).sources(options.input_path)
    told = resolved(given, ReadingOptions)
    return CurateJob(
        sources,
        places,
        taken(FilterOptions, given),
        taken(NoveltyOptions, given),
        more=told,
    )


def _told(job: "CurateJob", counts: "CurateCounts", encoded: bool | None) -> str:
    """What a person reads at the end."""
    places, other = job.places, other_threshold(job.novelty.rouge_threshold)
    lines = ["", f"{counts.tally.kept:,} of {counts.tally.total:,} lines are kept.", "", counts.table(), ""]
    lines += [
        f"{item.rule} dropped {item.dropped:,} of {item.parsed:,} records ({item.dropped / item.parsed:.0%}); --filter_rules "
        "leaves a rule out"
        for item in counts.warnings
        if item.warning == "drops_much"
    ]
    if encoded is not None:
        lines.append(f"Vectors: {'encoded, and kept' if encoded else 'all were there; no model was loaded'}.")
    if counts.unreadable:
        lines.append(
            f"{counts.unreadable:,} lines could not be read; {places.rejected} has them, under the stage read."
        )
    lines += [
        f"Files in {places.kept.parent}:",
        f"  {places.kept.name:<38} the lines that are kept, as they stood",
        f"  {places.rejected.name:<38} every other line with its reason",
        f"  {places.report.name:<38} these counts",
        "Next:",
        "  another threshold:",
        f"    {shlex.join(with_option(command_line(), ('--rouge_threshold', '--threshold'), other))}",
    ]
    return "\n".join(lines)
