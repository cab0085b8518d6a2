"""Choose rows by numbers in their columns, and then a diverse part of them. Needs no language model.

Rows pass three stages in turn: `score` (the row has the numbers, and they are within the limits), `top` (the rows with the
highest numbers), `diverse` (k-center greedy on embeddings of the tasks). Every other row is rejected with its reason.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.config.option import resolved, taken
from self_instruct.config.parser import brief_repr
from self_instruct.datasets.example import Example
from self_instruct.datasets.options import ReadingOptions, SelectOptions
from self_instruct.datasets.pipeline import Result, Step, open_pipeline, rejected
from self_instruct.datasets.reading import Reader, Source
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.datasets.vectors import Vectors
from self_instruct.errors import UserError
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.records import Drop
from self_instruct.runs.layout import SCORED, OutputPaths, check_jsonl, records_of
from self_instruct.runs.tally import Tally

STAGES = (
    ("read", "could be read"), ("score", "have scores in limits"), ("top", "are at the top"), ("diverse", "are diverse"),
)  # fmt: skip
_SHOWN = 8  # columns in a message
_MODEL = "embedding_model_name_or_path"


@dataclass(frozen=True)
class SelectJob:
    """What to select: `top` is the share of rows with the highest numbers in the column `by`, `minimum` and `maximum` are
    limits by column, and `diverse` is the share of the remaining rows. None leaves a stage out.
    """

    sources: list[Source]
    outputs: OutputPaths
    by: str | None = None
    top: float | None = None
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    diverse: float | None = None
    model_name_or_path: str = ""

    @property
    def columns(self) -> list[str]:
        """The columns that a row must have."""
        return list(dict.fromkeys([*([self.by] if self.by else []), *self.minimum, *self.maximum]))


@dataclass
class Candidate:
    """A row and its numbers, and, once decided, its drop and the place of the kept row that it is nearest to."""

    reader: Reader
    row: Row
    example: Example
    numbers: dict[str, float | None]
    drop: Drop | None = None
    nearest: dict[str, Any] | None = None


@dataclass(frozen=True)
class Selected:
    """The counts of all inputs, the readers, and the lowest cosine of a row with the nearest kept one, if measured."""

    tally: Tally
    readers: list[Reader]
    farthest: float | None

    def table(self) -> str:
        """Return the funnel as text, with the stages that dropped rows."""
        return self.tally.table("rows", [stage for stage in STAGES if self.tally.dropped(stage[0])])


def scored_records(path: Path) -> Path:
    """Return the file of scored records if the path is a run directory that has one, or else of its accepted records.

    A path that is no run is returned as it is.
    """
    scored = path / SCORED
    return scored if scored.is_file() else records_of(path)


def select_by(given: Mapping[str, Any], inputs: Sequence[str], outputs: OutputPaths, shown: str = "") -> Selected:
    """Select from the input files, which messages call `shown`, by the given options.

    Raises UserError for a wrong option, if a source cannot be read, or if no row has a number in a column that is needed.
    """
    options = taken(SelectOptions, given)
    if (options.by is None) != (options.top is None):
        raise UserError("--by COLUMN and --top SHARE need each other; give both, or only --min, --max or --diverse")
    minimum, maximum = _limits("--min", options.min), _limits("--max", options.max)
    if options.top is None and options.diverse is None and not minimum and not maximum:
        raise UserError("nothing is selected by; give --by COLUMN --top SHARE, --min, --max or --diverse SHARE")
    check_jsonl(str(outputs.kept), "--output_path")
    outputs.check_inputs(inputs, "RUN_OR_FILE")
    model = given.get(_MODEL, NoveltyOptions().embedding_model_name_or_path)
    sources = taken(ReadingOptions, given).sources(inputs, shown=shown)
    job = SelectJob(sources, outputs, options.by, options.top, minimum, maximum, options.diverse, model)
    settings = {**resolved(given, ReadingOptions, SelectOptions), **({_MODEL: model} if options.diverse else {})}
    return select(job, settings)


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


def select(job: SelectJob, options: Mapping[str, Any]) -> Selected:
    """Select, and write the output, the rejected rows and the report; `options` go into the report.

    Raises UserError if a source cannot be read, or no row has a number in a column that is needed.
    """
    with open_pipeline(job.sources, str(job.outputs.kept), "RUN_OR_FILE") as pipeline:
        files = [list(_candidates(reader, job.columns)) for reader in pipeline.readers]
        candidates = [item for items in files for item in items if isinstance(item, Candidate)]
        _check_columns(job, candidates)
        farthest = _decide(job, candidates)
        step = _Write(pipeline.columns)
        tallies = [pipeline.run(items, step) for items in files]
        found = Selected(Tally.sum(tallies), pipeline.readers, farthest)
        pipeline.report = {
            "inputs": [
                {"path": reader.source.label, "rows": tally.total, "kept": tally.kept}
                for reader, tally in zip(pipeline.readers, tallies, strict=True)
            ],
            "rows": found.tally.total, "kept": found.tally.kept,
            "drops": found.tally.by_stage([stage for stage, _ in STAGES]),
            "lowest_cosine_with_a_kept_row": farthest, "options": dict(options),
        }  # fmt: skip
    return found


class _Write(Step[Candidate]):
    """Write the rows without a drop in our format."""

    def __init__(self, columns: set[str]) -> None:
        self._columns = columns

    def apply_to(self, row: Candidate) -> Result:
        if row.drop is None:
            return Result([row.reader.line(row.row, row.example, self._columns)])
        more = {"nearest": row.nearest} if row.nearest is not None else {}
        return rejected((row.row, row.example), row.drop, **more)


def _candidates(reader: Reader, columns: Sequence[str]) -> Iterator[Candidate | Unreadable]:
    for item in reader.rows():
        if isinstance(item, Unreadable):
            yield item
            continue
        row, example = item
        yield Candidate(reader, row, example, {name: number_of(row, example, name) for name in columns})


def number_of(row: Row, example: Example, name: str) -> float | None:
    """Return the number in a column of a row, or in its provenance; None if it is null or absent.

    Raises UserError for any other value.
    """
    inner = example.fields.get("provenance")
    places = (row.value, example.fields, inner if isinstance(inner, dict) else {})
    value = next((place[name] for place in places if place.get(name) is not None), None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{row.place}: the column {name} is {str(value)[:50]!r}, not a number; correct the row")
    return float(value)


def _check_columns(job: SelectJob, candidates: Sequence[Candidate]) -> None:
    """Raise UserError if no row has a number in a needed column."""
    for name in job.columns:
        if candidates and all(item.numbers[name] is None for item in candidates):
            option = "--by" if name == job.by else "--min" if name in job.minimum else "--max"
            known = sorted(
                {
                    key
                    for item in candidates
                    for key, value in {**item.row.value, **item.example.fields}.items()
                    if isinstance(value, int | float) and not isinstance(value, bool)
                }
            )
            have = f"the columns with numbers are {', '.join(known[:_SHOWN])}" if known else "no column has numbers"
            raise UserError(
                f"{option} {name}: no row has a number in this column; {have}. `self-instruct score` writes ifd and likelihood"
            )


def _decide(job: SelectJob, candidates: Sequence[Candidate]) -> float | None:
    """Decide on all rows; return the lowest cosine of a row with the nearest kept one, None if not measured."""
    for item in candidates:
        item.drop = _out_of_limits(job, item.numbers)
    left = [item for item in candidates if item.drop is None]
    if job.by is not None and job.top is not None and left:
        left = _top(left, job.by, share_of(job.top, len(left)))
    if job.diverse is None or not left:
        return None
    return _diverse(left, share_of(job.diverse, len(left)), job)


def _out_of_limits(job: SelectJob, numbers: Mapping[str, float | None]) -> Drop | None:
    for name, number in numbers.items():
        if number is None:
            return Drop("score", "no_score", name)
        if number < job.minimum.get(name, -math.inf):
            return Drop("score", "below_minimum", f"{name} is {number:g}, below {job.minimum[name]:g}")
        if number > job.maximum.get(name, math.inf):
            return Drop("score", "above_maximum", f"{name} is {number:g}, above {job.maximum[name]:g}")
    return None


def share_of(share: float, number: int) -> int:
    """Return how many of a number of rows a share is, rounded up; at least 1."""
    return max(1, math.ceil(round(share * number, 6)))  # 0.1 * 30 is 3.0000000000000004


def _top(left: list[Candidate], by: str, number: int) -> list[Candidate]:
    """Drop all but the rows with the highest numbers, the first of equals; return the others in order."""
    order = sorted(range(len(left)), key=lambda at: -_number(left[at], by))
    lowest = _number(left[order[number - 1]], by)
    for at in order[number:]:
        detail = f"{by} is {_number(left[at], by):g}; the lowest that was kept is {lowest:g}"
        left[at].drop = Drop("top", "below_top", detail)
    return [left[at] for at in sorted(order[:number])]


def _diverse(left: list[Candidate], number: int, job: SelectJob) -> float:
    """Drop all but this number of rows, chosen by k-center greedy on the vectors of their tasks, beginning with the row that
    has the highest score; return the lowest cosine of a row with the nearest kept one.
    """
    from self_instruct.novelty.kernels.vectors import farthest_first  # numba takes long to import

    vectors = Vectors(job.model_name_or_path, job.outputs).of([item.example.prompt for item in left])
    by = job.by
    first = 0 if by is None else max(range(len(left)), key=lambda at: (_number(left[at], by), -at))
    found = farthest_first(vectors, number, first)
    kept = set(found.chosen)
    for at, item in enumerate(left):
        if at not in kept:
            near, cosine = left[int(found.nearest[at])], round(float(found.scores[at]), 6)
            item.nearest = {"id": near.example.id or near.row.place, "score": cosine, "place": near.row.place}
            item.drop = Drop("diverse", "near_a_kept_row", f"its cosine with {near.row.place} is {cosine:.3f}")
    return round(float(found.scores.min()), 6)


def _number(item: Candidate, name: str) -> float:
    number = item.numbers[name]
    assert number is not None, "rows without a number were dropped"
    return number
