"""self-instruct lint IN [IN ...] [--fix --output_path OUT.jsonl] [--fail_on FAULT ...]"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.datasets.defects import CHECKS, OF_ROWS
from self_instruct.datasets.lint import Findings, lint
from self_instruct.datasets.options import LintOptions, ReadingOptions, parse_inputs
from self_instruct.errors import UserError
from self_instruct.runs.layout import PIPE, OutputPaths, check_jsonl

FAILED = 1
_HELP = (
    "Find common faults of instruction data, count them and show examples. Findings are for review and are not errors. --fix "
    "corrects the faults that have one right correction, and writes all rows to OUT.jsonl and the counts beside it. "
    "Exit codes: 0 no fault of --fail_on was found, 1 one was found, 3 some rows could not be read, 2 user error."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    given, inputs = parse_inputs(argv, _HELP, LintOptions)
    options = taken(LintOptions, given)
    output = given.get("output_path")
    if options.fix != (output is not None):
        raise UserError(
            "--fix and --output_path OUT.jsonl need each other; give both, or neither to only look for faults"
        )
    if output is not None:
        OutputPaths(Path(output)).check_inputs(inputs, "IN")
        check_jsonl(output, "--output_path", pipe=True)
    if options.report not in (None, PIPE):
        _check_report(options.report, inputs, output)
    unasked = next((name for name in options.fail_on if name not in options.checks), None)
    if unasked is not None:
        raise UserError(f"--fail_on {unasked}: is not in --checks; add it there, or leave --checks out")
    printed = options.report == PIPE
    if printed and output == PIPE:
        raise UserError("--report - and --output_path - both write to standard output; give a file for one of them")
    sources = taken(ReadingOptions, given).sources(inputs)
    settings = resolved(given, ReadingOptions, LintOptions)
    findings = lint(sources, settings, output, None if printed else options.report)
    shown = json.dumps(findings.as_dict(), indent=2) if printed else table(findings, output)
    print(shown, file=sys.stderr if output == PIPE else sys.stdout)
    if any(findings.counts[name] for name in options.fail_on):
        return FAILED
    return SOME_UNREADABLE if findings.unreadable else 0


def _check_report(report: str, inputs: Sequence[str], output: str | None) -> None:
    """Raise UserError if the report has the path of an input, of the output, or of the rejected rows beside the output."""
    files = {path: "would overwrite an input file" for path in inputs if path != PIPE}
    if output not in (None, PIPE):
        outputs = OutputPaths(Path(output))
        files |= {str(outputs.rejected): f"is the file of the rejected rows of --output_path {output}"}
        files |= {output: "is also the path of --output_path"}
    for path, problem in files.items():
        if Path(path).resolve() == Path(report).resolve():
            raise UserError(f"--report {report}: {problem}; give another path")


def table(findings: Findings, output: str | None) -> str:
    """Format the faults, most frequent first, each with its first examples."""
    lines = [f"{source['path']}: {source['rows']:,} rows of {source['format']}" for source in findings.sources]
    lines.append(f"{findings.clean:,} of {findings.tally.kept:,} rows have no findings.")
    for name, number in sorted(findings.counts.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"  {name:<22} {number:>10,}  {CHECKS[name].what if name in CHECKS else OF_ROWS[name]}")
        lines += [f"      {printable(place)}  {printable(text)}" for place, text in findings.first.get(name, [])]
    lines += [f"  unreadable: {reason:<10} {n:>10,}" for reason, n in findings.unreadable.items()]
    if output is not None:
        fixed = f"{findings.fixed_rows:,} rows were fixed:" if findings.fixed_rows else "No rows needed fixing."
        lines.append(fixed)
        lines += [f"  {name:<22} {number:>10,}" for name, number in findings.fixed.most_common()]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Return the text on one line with unprintable characters escaped, so that it cannot control the terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
