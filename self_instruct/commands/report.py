"""A report for eyes: python -m self_instruct.report RUN_OR_FILE [RUN_OR_FILE ...] --output_path report.html

One HTML file that needs no network: the funnel, the yield over time, lengths, similarities, verbs and objects, a map, what was
rejected, and a table of all records that can be searched. Several runs or files are compared. Nothing is judged anew.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.config.option import taken
from self_instruct.config.parser import parse_values
from self_instruct.datasets.options import InputOptions
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.report.options import HtmlReportOptions
from self_instruct.runs.options import RunPlace

if TYPE_CHECKING:
    from self_instruct.report.figures import Known

_MOST = 4  # sources that colours tell apart
_MODEL = "embedding_model_name_or_path"
AFTER_FAILURE = "the report is as it was; the same command makes it anew"
"""What a user is told when the disk failed, or a signal came before there was anything to save."""


def main(argv: Sequence[str]) -> int:
    """Runs the command and returns its exit code."""
    names = ["batch_dir", "input_path", *HtmlReportOptions.__dataclass_fields__, _MODEL]
    groups = (RunPlace, InputOptions, HtmlReportOptions, NoveltyOptions)
    by = {"RUN_OR_FILE...": ["input_path", "batch_dir"]}
    given, places = parse_values(argv, (__doc__ or "").splitlines()[0], groups, names, tuple(by), by=by)
    model = given.get(_MODEL, NoveltyOptions().embedding_model_name_or_path)
    options = taken(HtmlReportOptions, given)
    if options.output_path is None:
        raise UserError(
            "--output_path is missing; give the HTML file that is to be written, as --output_path report.html"
        )
    if len(places) > _MOST:
        raise UserError(
            f"{len(places)} runs or files were given, but a report compares at most {_MOST}; leave some out"
        )
    output = Path(options.output_path)
    from self_instruct.report.page import page, sections
    from self_instruct.report.payload import Payload
    from self_instruct.report.writing import known_of, open_output

    with open_output(output, places) as file:
        known = known_of(places, model if options.embeddings else None, output)
        parts = sections(known, options.projection, options.map_points)
        file.write(page(known, parts, Payload(known)))
        file.publish()
    figures = [figure for part in parts for figure in part.figures]
    if options.figures_dir is not None:
        from self_instruct.report.pictures import write_pictures

        write_pictures(figures, Path(options.figures_dir))
    print(_told(known, len(figures), output, options.figures_dir))
    return 0


def _told(known: "Known", figures: int, output: Path, folder: str | None) -> str:
    """What a person reads at the end."""
    number = sum(len(source.rows) for source in known.sources)
    size = output.stat().st_size / 1e6
    lines = [f"{output}: {number:,} records, {figures} figures, {size:.1f} MB. Open it in a browser."]
    lines += [f"{folder}: {figures} PNG files."] if folder is not None else []
    return "\n".join(lines + ([f"No map: {known.no_vectors}"] if known.no_vectors else []))
