"""Write an HTML report: self-instruct report RUN_OR_FILE [RUN_OR_FILE ...] --output_path report.html

One HTML file that needs no network: the options of each run, the funnel, the yield over time, lengths, similarities, verbs and
objects, a map, rejected candidates, and a table of all records that can be searched. Several runs or files are compared.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from self_instruct.config.option import taken
from self_instruct.config.parser import parse_values
from self_instruct.datasets.options import InputOptions
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.report.options import HtmlReportOptions
from self_instruct.runs.options import RunPlace

_MODEL = "embedding_model_name_or_path"


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    names = ["batch_dir", "input_path", *HtmlReportOptions.__dataclass_fields__, _MODEL]
    groups = (RunPlace, InputOptions, HtmlReportOptions, NoveltyOptions)
    by = {"RUN_OR_FILE...": ["input_path", "batch_dir"]}
    given, inputs = parse_values(argv, (__doc__ or "").splitlines()[0], groups, names, tuple(by), by=by)
    model = given.get(_MODEL, NoveltyOptions().embedding_model_name_or_path)
    options = taken(HtmlReportOptions, given)
    if options.output_path is None:
        raise UserError("--output_path is missing; give an HTML file, such as --output_path report.html")
    from self_instruct.report.html import write_report

    report = write_report(
        inputs,
        Path(options.output_path),
        model_name_or_path=model if options.embeddings else None,
        reference=options.reference,
        projection=options.projection,
        map_points=options.map_points,
        figures_dir=None if options.figures_dir is None else Path(options.figures_dir),
        on_encoded=_show_progress,
    )
    size = report.path.stat().st_size / 1e6
    print(f"{report.path}: {report.records:,} records, {report.figures} figures, {size:.1f} MB. Open it in a browser.")
    if options.figures_dir is not None:
        print(f"{options.figures_dir}: {report.figures} PNG files.")
    if report.no_map:
        print(f"No map: {report.no_map}")
    return 0


def _show_progress(done: int, number: int) -> None:
    """Print to stderr how many texts are encoded; on a terminal, overwrite the previous line."""
    end = "\r" if sys.stderr.isatty() and done < number else "\n"
    print(f"encoded {done:,} of {number:,} texts", end=end, file=sys.stderr, flush=True)
