"""python -m self_instruct.datasets convert IN [IN ...] --to FORMAT --output_path OUT"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import parse_values
from self_instruct.datasets.convert import Tally, Target, convert, losses_told
from self_instruct.datasets.options import INPUT, ConversionOptions, InputOptions, OutputOptions, ReadingOptions
from self_instruct.datasets.reading import Source
from self_instruct.datasets.writing import Format
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE, OutputPaths

_HELP = (
    "Convert files, pipes (-), folders of the datasets library or datasets of the Hub into one file of another format, in "
    "order. What the input is, is told by its content. Rows that cannot be read, or that the format cannot hold, are put "
    "beside OUT as OUT.rejected.jsonl, and the counts as OUT.report.json. Exit codes: 0 every row was read, 3 some could not "
    "be, 2 a mistake, 1 the disk failed."
)
AFTER_FAILURE = "the output is as it was; the same command begins anew"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    given, inputs = parse_values(
        argv, _HELP, (InputOptions, ReadingOptions, OutputOptions, ConversionOptions), positional=("IN...",), by=INPUT
    )
    for name in ("to", "output_path"):
        if given.get(name) is None:
            raise UserError(f"--{name} is missing; give convert IN --to FORMAT --output_path OUT")
    options = taken(ConversionOptions, given)
    reading = taken(ReadingOptions, given)
    output = str(given["output_path"])
    OutputPaths(Path(output)).check_inputs(inputs, "IN")
    sources = [
        Source(path, options.source or "", options.license or "", reading.input_format, reading.split)
        for path in inputs
    ]
    target = Target(str(options.to), output, options.lmflow_type, options.vicuna_preamble)
    tallies, format = convert(sources, target, resolved(given, ReadingOptions, ConversionOptions))
    print(_told(tallies, format, output), file=sys.stderr if output == PIPE else sys.stdout)
    unreadable = any(stage == "read" for tally in tallies for stage, _ in tally.drops)
    return SOME_UNREADABLE if unreadable else 0


def _told(tallies: list[Tally], format: Format, output: str) -> str:
    """What a person reads at the end."""
    rows, written = sum(tally.rows for tally in tallies), sum(tally.written for tally in tallies)
    drops = sum((tally.drops for tally in tallies), Counter[tuple[str, str]]())
    lines = [f"{written:,} of {rows:,} rows are written as {format.what}."]
    lines += [f"  {stage + ': ' + reason:<40} {-number:>12,}" for (stage, reason), number in sorted(drops.items())]
    lines += [line for tally in tallies for line in tally.reader.told()]
    lines += losses_told(tallies)
    if output != PIPE:
        places = OutputPaths(Path(output))
        lines += [f"Files in {places.kept.parent}: {places.kept.name}, {places.rejected.name}, {places.report.name}"]
    return "\n".join(lines)
