"""Converting sources of any format to one that is asked for, row by row. What the format cannot hold is written beside it, and
what is lost of rows that are written is counted.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.datasets.example import Example, Turn
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.outputs import JsonLines, JsonList, Parquet, Sink, open_sink
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.datasets.writing import SUFFIXES, Format, Unfit, lmflow_type, writable
from self_instruct.errors import UserError
from self_instruct.records import json_line
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import PIPE, OutputPaths

_FIRST = 5
_log = logging.getLogger(__name__)


@dataclass
class Tally:
    """What became of the rows of one source: so many written, the others dropped by stage and reason; what the written ones
    have lost, by name.
    """

    reader: Reader
    written: int = 0
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """Rows read, whole or not."""
        return self.written + self.drops.total()

    def as_dict(self) -> dict[str, Any]:
        """As in the report."""
        reader = self.reader
        return {
            "path": reader.source.path,
            "format": reader.schema.name if reader.schema else None,
            "container": reader.container.kind,
            "rows_of_other_formats": dict(sorted(reader.others.items())),
            "rows": self.rows,
            "written": self.written,
            "drops": {f"{stage}: {reason}": n for (stage, reason), n in sorted(self.drops.items())},
            "lost": dict(sorted(self.lost.items())),
            "repaired": {
                kind: {"rows": n, "first": reader.mended[kind]} for kind, n in sorted(reader.repairs.items())
            },
        }


@dataclass(frozen=True)
class Target:
    """What is to be written, and where: a format's name, a path or `-`, and what some formats ask besides."""

    format: str
    path: str
    lmflow_type: str = "auto"
    vicuna_preamble: str = ""
    columns: frozenset[str] = frozenset()
    """Optional columns that the output has even if no input has them."""


class Rejects:
    """Rows that are not in the output, with the reason: a file beside it; none beside a pipe, where the first are logged."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        self._file = stack.enter_context(closing(NewFile(OutputPaths(Path(path)).rejected))) if path != PIPE else None
        self._told = 0

    def unreadable(self, row: Unreadable) -> None:
        """A row that could not be read."""
        self._write(row.place, "read", row.reason, row.problem, {"text": row.text})

    def unfit(self, row: Row, example: Example, stage: str, reason: str, detail: str, **more: Any) -> None:
        """A row that could be read, as a record of ours."""
        self._write(row.place, stage, reason, detail, {**more, "record": row_of(example, set())})

    def turn(self, row: Row, number: int, turn: Turn, stage: str, reason: str, detail: str) -> None:
        """A turn that is left out of a conversation; turns are numbered from 1."""
        self._write(row.place, stage, reason, detail, {"turn": number, "message": turn})

    def publish(self) -> None:
        """Puts the file in its place."""
        if self._file is not None:
            self._file.publish()

    def _write(self, place: str, stage: str, reason: str, detail: str, more: dict[str, Any]) -> None:
        row = {"place": place, "stage": stage, "reason": reason, "detail": detail, **more}
        if self._file is not None:
            self._file.write(json_line(row))
        elif self._told < _FIRST:
            self._told += 1
            _log.warning("%s: %s", place, detail)


@dataclass
class Work:
    """Sources under way to an output of some format: what is read, written and rejected, and `report`, to be filled in."""

    readers: list[Reader]
    format: Format
    output: JsonLines | JsonList | Parquet
    rejects: Rejects
    report: dict[str, Any] = field(default_factory=dict)


@contextmanager
def under_way(sources: Sequence[Source], target: Target) -> Iterator[Work]:
    """Opens sources and output; at the end all files are put in place, unless an error ends it.

    Raises `UserError` where nothing can be read or the output not be written.
    """
    suffix_of(target.path, target.format)
    with ExitStack() as stack:
        sink = stack.enter_context(closing(open_sink(target.path)))
        rejects = Rejects(target.path, stack)
        report = (
            stack.enter_context(closing(NewFile(OutputPaths(Path(target.path)).report)))
            if target.path != PIPE
            else None
        )
        readers = open_sources(sources, "IN")
        for reader in readers:
            _log.info("%s", reader.described)
        columns = set[str]().union(*(reader.columns for reader in readers)) | target.columns
        format = writable(target.format, columns, target.lmflow_type, target.vicuna_preamble)
        work = Work(readers, format, _output(format, target.path, sink), rejects)
        yield work
        rejects.publish()
        if report is not None:
            report.write((json.dumps({"format": format.name, **work.report}, indent=2) + "\n").encode())
            report.publish()
        work.output.finish()


def convert(sources: Sequence[Source], target: Target, options: Mapping[str, Any]) -> tuple[list[Tally], Format]:
    """Reads, writes and counts; the report tells the options. Raises `UserError` as `under_way` does."""
    with under_way(sources, target) as work:
        tallies = [_converted(reader, work) for reader in work.readers]
        work.report = {"inputs": [tally.as_dict() for tally in tallies], "options": dict(options)}
    return tallies, work.format


def losses_told(tallies: Sequence[Tally]) -> list[str]:
    """What a person reads of what the written rows have lost; nothing if that is nothing."""
    lost = sum((tally.lost for tally in tallies), Counter[str]())
    head = ["Not held by the format, in so many of the rows that are written:"] if lost else []
    return head + [f"  {name:<40} {number:>12,}" for name, number in lost.most_common()]


def _converted(reader: Reader, work: Work) -> Tally:
    tally = Tally(reader)
    for item in reader.rows():
        if isinstance(item, Unreadable):
            tally.drops["read", item.reason] += 1
            work.rejects.unreadable(item)
            continue
        row, example = item
        try:
            work.output.write(work.format.row(example))
            tally.written += 1
            tally.lost.update(work.format.lost(example))
        except Unfit as error:
            tally.drops["format", error.reason] += 1
            work.rejects.unfit(row, example, "format", error.reason, error.problem)
    return tally


def _output(format: Format, path: str, sink: Sink) -> JsonLines | JsonList | Parquet:
    suffix = suffix_of(path, format.name)
    if format.name == "lmflow":
        return JsonList(sink, json.dumps({"type": lmflow_type(format), "instances": []})[:-2], "]}")
    if suffix == ".parquet":
        return Parquet(sink)
    return JsonList(sink) if suffix == ".json" else JsonLines(sink)


def suffix_of(path: str, format: str) -> str:
    """The ending of a path, which says how rows are held. Raises `UserError` if the format is not written so."""
    endings = SUFFIXES[format]
    suffix = endings[0] if path == PIPE else Path(path).suffix
    if suffix not in endings:
        raise UserError(
            f"--output {path}: {format} is written to {' or '.join(endings)} files; give a name that ends so"
        )
    return suffix
