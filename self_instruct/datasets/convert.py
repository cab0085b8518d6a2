"""Convert sources of any format to another one, row by row. Rows that the format cannot hold are rejected, and fields that
the written rows lose are counted.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.datasets.outputs import JsonLines, JsonList, Parquet, Sink, Writer
from self_instruct.datasets.pipeline import Pipeline, ReadRow, Result, Step, open_pipeline, rejected
from self_instruct.datasets.reading import Reader, Source
from self_instruct.datasets.training import Unfit
from self_instruct.datasets.writing import SUFFIXES, Format, lmflow_type, writable
from self_instruct.errors import UserError
from self_instruct.records import Drop
from self_instruct.runs.layout import PIPE
from self_instruct.runs.tally import Tally

_log = logging.getLogger(__name__)


@dataclass
class SourceCounts:
    """Counts of the rows of one source, and of the fields that the written rows have lost."""

    reader: Reader
    tally: Tally
    lost: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for the report."""
        reader = self.reader
        return {
            "path": reader.source.label,
            "format": reader.schema.name if reader.schema else None,
            "container": reader.container.kind,
            "rows_of_other_formats": dict(sorted(reader.others.items())),
            "rows": self.tally.total,
            "written": self.tally.kept,
            "drops": self.tally.by_name(),
            "lost": dict(sorted(self.lost.items())),
            "repaired": {
                kind: {"rows": n, "first": reader.repaired[kind]} for kind, n in sorted(reader.repairs.items())
            },
        }


@dataclass(frozen=True)
class Target:
    """The output: the name of its format, its path or `-`, and the options of some formats."""

    format: str
    path: str
    lmflow_type: str = "auto"
    vicuna_preamble: str = ""
    with_provenance: bool = False
    columns: frozenset[str] = frozenset()
    """Optional columns that the output has even if no input has them."""

    @property
    def suffix(self) -> str:
        """The file name extension, which decides how rows are stored."""
        return SUFFIXES[self.format][0] if self.path == PIPE else Path(self.path).suffix

    def check(self) -> None:
        """Raise UserError if files of this format cannot have the extension of the output."""
        if self.suffix not in (endings := SUFFIXES[self.format]):
            raise UserError(
                f"--output_path {self.path}: {self.format} is written to {' or '.join(endings)} files; use that extension"
            )

    def open_in(self, pipeline: Pipeline) -> Format:
        """Make the pipeline write this format, with the columns that its sources need. Return the format."""
        for reader in pipeline.readers:
            _log.info("%s", reader.described)
        format = writable(
            self.format,
            pipeline.columns | self.columns,
            self.lmflow_type,
            self.vicuna_preamble,
            with_provenance=self.with_provenance,
        )
        if pipeline.writer is not None:
            pipeline.writer = self._writer(format, pipeline.writer.sink)
        return format

    def _writer(self, format: Format, sink: Sink) -> Writer:
        if format.name == "lmflow":
            return JsonList(sink, json.dumps({"type": lmflow_type(format), "instances": []})[:-2], "]}")
        if self.suffix == ".parquet":
            return Parquet(sink)
        return JsonList(sink) if self.suffix == ".json" else JsonLines(sink)


class _Convert(Step[ReadRow]):
    """Convert each row to the output format."""

    def __init__(self, format: Format) -> None:
        self._format, self.lost = format, Counter[str]()

    def apply_to(self, row: ReadRow) -> Result:
        _, example = row
        try:
            written = self._format.rows(example)
        except Unfit as error:
            return rejected(row, Drop("format", error.reason, error.problem))
        self.lost.update(self._format.lost(example))
        return Result(written)


def convert(
    sources: Sequence[Source], target: Target, options: Mapping[str, Any]
) -> tuple[list[SourceCounts], Format]:
    """Convert the sources; return the counts of each source, and the format. The options go into the report.

    Raises UserError as `open_pipeline` does.
    """
    target.check()
    with open_pipeline(sources, target.path) as pipeline:
        format, counts = target.open_in(pipeline), list[SourceCounts]()
        for reader in pipeline.readers:
            step = _Convert(format)
            counts.append(SourceCounts(reader, pipeline.run(reader.rows(), step), step.lost))
        inputs = [one.as_dict() for one in counts]
        pipeline.report = {"format": format.name, "inputs": inputs, "options": dict(options)}
    return counts, format


def format_losses(counts: Sequence[SourceCounts]) -> list[str]:
    """Return lines that list the fields that written rows have lost; empty if none."""
    lost = sum((one.lost for one in counts), Counter[str]())
    head = ["Fields that the format cannot hold, by number of rows:"] if lost else []
    return head + [f"  {name:<40} {number:>12,}" for name, number in lost.most_common()]
