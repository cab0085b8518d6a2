"""Pass the rows of sources through a command's step, which keeps, rewrites or drops each with a reason.

All files are published together at the end; an error leaves the old files unchanged. If no row was rejected, no file of
rejected rows is written, and one from an earlier call is removed.
"""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from self_instruct.datasets.example import Example
from self_instruct.datasets.ours import row_of
from self_instruct.datasets.outputs import Lines, Writer, open_sink
from self_instruct.datasets.reading import Reader, Source, open_sources
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.records import Drop, json_line
from self_instruct.runs.files import NewFile
from self_instruct.runs.layout import PIPE, OutputPaths
from self_instruct.runs.tally import Tally

ReadRow = tuple[Row, Example]
T = TypeVar("T")
_LOGGED = 5  # rejected rows that are logged if there is no file for them
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reject:
    """A line of the rejected rows: the row's location, its drop, the fields `before` and `after` these, and `record`, JSON
    that is written unchanged.
    """

    place: str
    drop: Drop
    after: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    record: bytes | None = None

    def line(self) -> bytes:
        """Return the line."""
        drop = {"stage": self.drop.stage, "reason": self.drop.reason, "detail": self.drop.detail}
        line = json_line({**self.before, "place": self.place, **drop, **self.after})
        return line if self.record is None else line.removesuffix(b"}\n") + b', "record": ' + self.record + b"}\n"


@dataclass(frozen=True)
class Result:
    """The result of a step for one row: the rows to write, the drop if there is one, and the rejected lines."""

    rows: Sequence[Any] = ()
    drop: Drop | None = None
    rejects: Sequence[Reject] = ()


class BatchStep(ABC, Generic[T]):
    """The work of a command, on `batch` rows at a time."""

    batch = 1

    @abstractmethod
    def apply(self, rows: Sequence[T]) -> Iterable[Result]:
        """Return one result for each row, in order."""

    def reject_unreadable(self, row: Unreadable, drop: Drop) -> Reject:
        """Return the rejected line of a row that could not be read."""
        return Reject(row.place, drop, {"text": row.text})


class Step(BatchStep[T]):
    """The work of a command, one row at a time."""

    def apply(self, rows: Sequence[T]) -> Iterable[Result]:
        """Return one result for each row, in order."""
        return map(self.apply_to, rows)

    @abstractmethod
    def apply_to(self, row: T) -> Result:
        """Return the result of one row."""


def rejected(row: ReadRow, drop: Drop, **more: Any) -> Result:
    """Return the result for a dropped row, whose example is rejected as a record in our format."""
    return Result((), drop, [reject_of(*row, drop, **more)])


def reject_of(row: Row, example: Example, drop: Drop, **more: Any) -> Reject:
    """Return the rejected line of an example, as a record in our format."""
    return Reject(row.place, drop, {**more, "record": row_of(example, set())})


class Pipeline:
    """The files of a command: `readers` of its sources; the `writer` of its output, which writes lines unless the command
    replaces it; and `report`, which the command fills in. Without an output only the report is written.
    """

    def __init__(self, stack: ExitStack, output: str | None, report: str | None) -> None:
        self.readers: list[Reader] = []
        self.report: dict[str, Any] = {}
        self._rejected = 0
        beside = OutputPaths(Path(output)) if output not in (None, PIPE) else None
        if report is None and beside is not None:
            report = str(beside.report)
        self.writer: Writer | None = None
        if output is not None:
            self.writer = Lines(stack.enter_context(closing(open_sink(output))))
        self._rejects = stack.enter_context(closing(NewFile(beside.rejected))) if beside is not None else None
        self._report = stack.enter_context(closing(NewFile(Path(report)))) if report is not None else None

    @property
    def columns(self) -> set[str]:
        """The optional columns that the formats of the sources need."""
        return set[str]().union(*(reader.columns for reader in self.readers))

    def run(self, items: Iterable[T | Unreadable], step: BatchStep[T]) -> Tally:
        """Pass rows through a step, write what it returns, and count."""
        tally, left = Tally(), iter(items)
        while batch := list(islice(left, step.batch)):
            results = iter(step.apply([item for item in batch if not isinstance(item, Unreadable)]))
            for item in batch:
                if isinstance(item, Unreadable):
                    drop = Drop("read", item.reason, item.problem)
                    tally.drop(drop)
                    self._reject(step.reject_unreadable(item, drop))
                    continue
                result = next(results)
                if result.drop is None:
                    tally.keep()
                else:
                    tally.drop(result.drop)
                if self.writer is not None:
                    for row in result.rows:
                        self.writer.write(row)
                for reject in result.rejects:
                    self._reject(reject)
        return tally

    def publish(self) -> None:
        """Publish all files, the output last."""
        if self._rejects is not None and self._rejected:
            self._rejects.publish()
        elif self._rejects is not None:
            self._rejects.path.unlink(missing_ok=True)
        if self._report is not None:
            self._report.write((json.dumps(self.report, indent=2) + "\n").encode())
            self._report.publish()
        if self.writer is not None:
            self.writer.finish()

    def _reject(self, reject: Reject) -> None:
        """Write a rejected row; if the output is a pipe, log the first ones."""
        self._rejected += 1
        if self._rejects is not None:
            self._rejects.write(reject.line())
        elif self.writer is not None and self._rejected <= _LOGGED:
            _log.warning("%s: %s", reject.place, reject.drop.detail)


def written_files(paths: OutputPaths) -> list[str]:
    """Return the names of the files that a command has written: the output, and the rejected rows if there are any."""
    return [path.name for path in (paths.kept, paths.rejected, paths.report) if path.is_file()]


@contextmanager
def open_pipeline(
    sources: Sequence[Source], output: str | None, option: str = "IN", report: str | None = None
) -> Iterator[Pipeline]:
    """Open the outputs, then the sources; publish at the end, unless an error ends the work.

    The report goes to `report`, or beside the output. Raises UserError, which names the option, if nothing can be read or an
    output cannot be written.
    """
    with ExitStack() as stack:
        pipeline = Pipeline(stack, output, report)
        pipeline.readers = open_sources(sources, option)
        yield pipeline
        pipeline.publish()
