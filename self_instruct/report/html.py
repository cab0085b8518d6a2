"""Write the report: one HTML file with its style, scripts, data and drawing library, which loads nothing from a network.

The template escapes all text. The page's content security policy allows only the two scripts whose hashes it names, so text
of records could not run even if it were not escaped.
"""

import base64
import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from self_instruct.errors import UserError
from self_instruct.report import tables
from self_instruct.report.analysis import Analysis, OnEncoded, analyse
from self_instruct.report.charts import theme
from self_instruct.report.payload import Payload
from self_instruct.report.pictures import visible, write_pictures
from self_instruct.report.sections import Section, sections, share
from self_instruct.runs.files import NewFile

if TYPE_CHECKING:
    from jinja2 import Environment

_MOST = 4  # inputs, each with its own colour


@dataclass(frozen=True)
class WrittenReport:
    """A written report: its path, the number of records and figures, and why it has no map (empty if it has one)."""

    path: Path
    records: int
    figures: int
    no_map: str


def write_report(
    inputs: Sequence[str],
    output: Path,
    *,
    model_name_or_path: str | None = None,
    reference: str | None = None,
    projection: str = "tsne",
    map_points: int = 4000,
    figures_dir: Path | None = None,
    on_encoded: OnEncoded = lambda done, number: None,
) -> WrittenReport:
    """Write the report of up to four run directories or instruction files, and with `figures_dir` its figures as PNG files.

    With a `reference`, another run or file, show how well each input covers it. With a model, encode the tasks that have no
    vector; `on_encoded` is called with the number of texts encoded so far and in total. Raises UserError if an input cannot be
    read, the output cannot be written or is an input, or the reference has no vectors.
    """
    if len(inputs) > _MOST:
        raise UserError(f"{len(inputs)} runs or files were given, but a report compares at most {_MOST}; give fewer")
    if any(Path(path).resolve() == output.resolve() for path in [*inputs, *([reference] if reference else [])]):
        raise UserError(f"--output_path {output}: is also an input and would be overwritten; give another path")
    with closing(NewFile(output)) as file:
        # No curated file has a cache of this name, so none is overwritten.
        cache = output.with_name(f"{output.stem}.report_embeddings.cache")
        analysis = analyse(inputs, model_name_or_path, cache, on_encoded, reference)
        parts = sections(analysis, projection, map_points)
        file.write(page(analysis, parts, Payload(analysis)))
        file.publish()
    figures = [figure for part in parts for figure in part.figures]
    if figures_dir is not None:
        write_pictures(figures, figures_dir)
    records = sum(len(source.rows) for source in analysis.inputs)
    return WrittenReport(output, records, len(figures), analysis.no_vectors)


@cache
def _vega() -> str:
    """Return the library that draws the charts, which takes 0.15 s to put together."""
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub omits the default


def page(analysis: Analysis, parts: Sequence[Section], payload: Payload) -> bytes:
    """Render the whole file in UTF-8. The same inputs give the same bytes."""
    script, vega = _file("page.js"), _vega()
    rendered = environment().get_template("page.html.jinja").render(
        inputs=analysis.inputs,
        facts=tables.facts_of(analysis),
        parts=parts,
        pairs=tables.common_pairs(analysis),
        diversity=tables.diversity_of(analysis),
        groups=tables.groups(analysis),
        rejected=tables.rejected(analysis),
        payload=payload,
        themes={name: theme()[name] for name in ("light", "dark")},
        figures={
            figure.name: {"spec": figure.spec, "points": figure.points} for part in parts for figure in part.figures
        },
        style=_file("style.css"),
        scripts=(vega, script),
        hashes=[_hash(vega), _hash(script)],
    )  # fmt: skip
    return rendered.encode("utf-8")


@cache
def environment() -> "Environment":
    """Return the Jinja environment of the report, which escapes every value and replaces characters that cannot be shown."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("self_instruct.report", ""),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    made.filters.update(share=share, number=format, cut=_cut)
    return made


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} …"


def _file(name: str) -> str:
    return (files("self_instruct.report") / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
