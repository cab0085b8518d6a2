"""The select command: self-instruct select RUN_OR_FILE --by ifd --top 0.5 --max ifd=1 --diverse 0.5 --output_path OUT.jsonl"""

import math
from collections.abc import Sequence
from pathlib import Path

from self_instruct.commands.guard import SOME_UNREADABLE
from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import brief_repr, parse_values
from self_instruct.datasets.options import CurationOptions, ReadingOptions, SelectOptions
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.runs.layout import SCORED, OutputPaths, check_jsonl, records_of
from self_instruct.runs.options import RunPlace

_MODEL = "embedding_model_name_or_path"
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
    names = ["batch_dir", *(name for group in groups[1:4] for name in group.__dataclass_fields__), _MODEL]
    by = {"RUN_OR_FILE...": ["input_path", "batch_dir"]}
    given, inputs = parse_values(argv, _HELP, groups, names, tuple(by), by=by)
    options, output = taken(SelectOptions, given), given.get("output_path")
    if output is None:
        raise UserError("--output_path is missing; give select RUN_OR_FILE --by ifd --top 0.5 --output_path OUT.jsonl")
    if (options.by is None) != (options.top is None):
        raise UserError("--by COLUMN and --top SHARE need each other; give both, or only --min, --max or --diverse")
    minimum, maximum = _limits("--min", options.min), _limits("--max", options.max)
    if options.top is None and options.diverse is None and not minimum and not maximum:
        raise UserError("nothing is selected by; give --by COLUMN --top SHARE, --min, --max or --diverse SHARE")
    check_jsonl(output, "--output_path")
    outputs = OutputPaths(Path(output))
    paths = [str(_records(Path(path))) for path in inputs]
    outputs.check_inputs(paths, "RUN_OR_FILE")
    from self_instruct.datasets.pipeline import written_files
    from self_instruct.datasets.select import SelectJob, select

    model = given.get(_MODEL, NoveltyOptions().embedding_model_name_or_path)
    sources = taken(ReadingOptions, given).sources(paths)
    job = SelectJob(sources, outputs, options.by, options.top, minimum, maximum, options.diverse, model)
    settings = {**resolved(given, ReadingOptions, SelectOptions), **({_MODEL: model} if options.diverse else {})}
    found = select(job, settings)
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


def _records(path: Path) -> Path:
    scored = path / SCORED
    return scored if scored.is_file() else records_of(path)


def _limits(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Return limits by column. Raises UserError for a text that is not NAME=NUMBER."""
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not name or not math.isfinite(number):
            raise UserError(f"{option} {brief_repr(text)}: must be COLUMN=NUMBER, such as ifd=0.2")
        found[name] = number
    return found
