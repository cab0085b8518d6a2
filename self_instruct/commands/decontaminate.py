"""self-instruct decontaminate IN [IN ...] --benchmarks FILE [FILE ...] --output_path OUT.jsonl"""

import sys
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import split_name
from self_instruct.datasets.options import DecontaminationOptions, ReadingOptions, parse_inputs
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE, OutputPaths, check_jsonl

_HELP = (
    "Drop the records whose instruction or output shares an n-gram with a benchmark, or contains a whole short task of it. "
    "Rows in our JSONL format are written unchanged, other formats are converted to it. Beside OUT: OUT.rejected.jsonl, the "
    "dropped records with the shared words and the benchmark task; OUT.report.json, the counts. Exit codes are the same as "
    "for convert."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, inputs = parse_inputs(argv, _HELP, DecontaminationOptions)
    for name in ("benchmarks", "output_path"):
        if not given.get(name):
            raise UserError(f"--{name} is missing; give decontaminate IN --benchmarks FILE --output_path OUT.jsonl")
    options = taken(DecontaminationOptions, given)
    output = str(given["output_path"])
    benchmarks = [split_name(item) for item in options.benchmarks]
    OutputPaths(Path(output)).check_inputs([*inputs, *(path for _, path in benchmarks)], "IN")
    check_jsonl(output, "--output_path", pipe=True)
    from self_instruct.datasets.decontaminate import decontaminate, index_of

    index = index_of(benchmarks, options.ngram_words, options.substring_words)
    sources = taken(ReadingOptions, given).sources(inputs)
    settings = resolved(given, ReadingOptions, DecontaminationOptions)
    cleared, readers = decontaminate(sources, index, output, settings)
    tally = cleared.tally
    lines = [
        *(reader.described for reader in readers),
        f"{tally.kept:,} of {tally.total:,} rows were kept.",
        *tally.lines(),
    ]
    lines += [f"  found in {name:<31} {number:>12,}" for name, number in sorted(cleared.benchmarks.items())]
    print("\n".join(lines), file=sys.stderr if output == PIPE else sys.stdout)
    return SOME_UNREADABLE if tally.dropped("read") else 0
