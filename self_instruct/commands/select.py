"""The select command: self-instruct select RUN_OR_FILE --by ifd --top 0.5 --max ifd=1 --diverse 0.5 --output_path OUT.jsonl"""

from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.parser import parse_values
from self_instruct.datasets.options import SELECT_NAMES, CurationOptions, ReadingOptions, SelectOptions
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.runs.layout import OutputPaths
from self_instruct.runs.options import RunPlace

_HELP = (
    "Choose rows by numbers in their columns, such as those of `self-instruct score`; no language model is needed. First the "
    "rows within --min and --max remain, then the --top share with the highest --by, then the --diverse share by k-center "
    "greedy: starting from the row with the highest --by (or the first row), always the row whose task is farthest from the "
    "chosen ones. Beside OUT: OUT.rejected.jsonl, the other rows with reasons; OUT.report.json, the counts. Of a run, the "
    "scored records are read if there are any. Exit codes are the same as for curate."
)


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    groups = (RunPlace, CurationOptions, ReadingOptions, SelectOptions, NoveltyOptions)
    names = ["batch_dir", *CurationOptions.__dataclass_fields__, *SELECT_NAMES]
    by = {"RUN_OR_FILE...": ["input_path", "batch_dir"]}
    given, inputs = parse_values(argv, _HELP, groups, names, tuple(by), by=by)
    output = given.get("output_path")
    if output is None:
        raise UserError("--output_path is missing; give select RUN_OR_FILE --by ifd --top 0.5 --output_path OUT.jsonl")
    from self_instruct.datasets.pipeline import written_files
    from self_instruct.datasets.select import scored_records, select_by

    outputs = OutputPaths(Path(output))
    found = select_by(given, [str(scored_records(Path(path))) for path in inputs], outputs)
    tally = found.tally
    lines = ["", f"{tally.kept:,} of {tally.total:,} rows were kept.", "", found.table(), ""]
    if found.farthest is not None:
        lines.append(
            f"Every row that --diverse left out has a cosine of at least {found.farthest:.3f} with a kept row."
        )
    lines += [line for reader in found.readers for line in reader.notes()]
    lines += [f"Files in {outputs.kept.parent}:", *(f"  {name}" for name in written_files(outputs))]
    print("\n".join(lines))
    return SOME_UNREADABLE if tally.dropped("read") else 0
