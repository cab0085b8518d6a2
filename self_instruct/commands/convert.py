"""self-instruct convert IN [IN ...] --to FORMAT --output_path OUT"""

import sys
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.datasets.convert import SourceCounts, Target, convert, format_losses
from self_instruct.datasets.options import ConversionOptions, ReadingOptions, parse_inputs
from self_instruct.datasets.pipeline import written_files
from self_instruct.datasets.writing import Format
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE, OutputPaths
from self_instruct.runs.tally import Tally

_HELP = (
    "Convert files, runs, standard input (-), directories of the datasets library or Hub datasets into one file of another "
    "format, in order. The input format is detected from the content. Rows that cannot be read, or that the output format "
    "cannot hold, go to OUT.rejected.jsonl, and the counts to OUT.report.json. Exit codes: 0 every row was read, 3 some "
    "rows could not be read, 2 user error, 1 the disk failed."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, inputs = parse_inputs(argv, _HELP, ConversionOptions)
    for name in ("to", "output_path"):
        if given.get(name) is None:
            raise UserError(f"--{name} is missing; give convert IN --to FORMAT --output_path OUT")
    options = taken(ConversionOptions, given)
    reading = taken(ReadingOptions, given)
    output = str(given["output_path"])
    OutputPaths(Path(output)).check_inputs(inputs, "IN")
    sources = reading.sources(inputs, options.source or "", options.license or "")
    target = Target(str(options.to), output, options.lmflow_type, options.vicuna_preamble, options.with_provenance)
    counts, format = convert(sources, target, resolved(given, ReadingOptions, ConversionOptions))
    print(_summary(counts, format, output), file=sys.stderr if output == PIPE else sys.stdout)
    return SOME_UNREADABLE if any(one.tally.dropped("read") for one in counts) else 0


def _summary(counts: list[SourceCounts], format: Format, output: str) -> str:
    """Format the summary for the terminal."""
    tally = Tally.sum(one.tally for one in counts)
    lines = [f"{tally.kept:,} of {tally.total:,} rows were written as {format.what}.", *tally.lines()]
    lines += [line for one in counts for line in one.reader.notes()]
    lines += format_losses(counts)
    if output != PIPE:
        outputs = OutputPaths(Path(output))
        lines.append(f"Files in {outputs.kept.parent}: {', '.join(written_files(outputs))}")
    return "\n".join(lines)
