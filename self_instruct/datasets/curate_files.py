"""Build the output of a curation from its files and decisions: kept lines, rejected lines with reasons, and counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from self_instruct.datasets.instruction_file import Line
from self_instruct.datasets.pipeline import Reject, Result, Step
from self_instruct.datasets.reading import Reader
from self_instruct.datasets.rows import Unreadable
from self_instruct.records import Drop
from self_instruct.runs.funnel import RuleWarning, warnings_of
from self_instruct.runs.tally import Tally

STAGES = (
    ("read", "could be read"), ("filter", "passed the filters"), ("contamination", "are in no benchmark"),
    ("novelty", "are new"),
)  # fmt: skip


def stages_of(tally: Tally) -> list[tuple[str, str]]:
    """Return the stages in order, each with a caption for the remaining lines; contamination only if it dropped any."""
    return [item for item in STAGES if item[0] != "contamination" or tally.dropped("contamination")]


@dataclass
class InputFile:
    """The rows of an input in order, and whether any of them has an output."""

    reader: Reader
    lines: list[Line | Unreadable] = field(default_factory=list)
    has_output: bool = False


@dataclass
class CurateCounts:
    """Counts of the lines of all inputs; `rules` maps filter rules to their reasons.

    `shares` has the counts per input. `overlap[a, b]` counts lines of input a that were dropped as too near to one of input b.
    `untokenized` counts texts without a word that ROUGE-L compares, `in_parts` those that were too long for the encoder.
    """

    rules: Mapping[str, tuple[str, ...]]
    shares: list[Tally] = field(default_factory=list)
    overlap: Counter[tuple[int, int]] = field(default_factory=Counter)
    untokenized: int = 0
    in_parts: int = 0

    @property
    def tally(self) -> Tally:
        """The lines of all inputs."""
        return Tally.sum(self.shares)

    @property
    def unreadable(self) -> int:
        """Lines that could not be read."""
        return self.tally.dropped("read")

    @property
    def warnings(self) -> list[RuleWarning]:
        """Filter rules that dropped much or never fired."""
        return warnings_of(self.rules, self.tally.drops, self.tally.total - self.unreadable)

    @property
    def stages(self) -> list[tuple[str, str]]:
        """The stages in order, each with a caption for the remaining lines."""
        return stages_of(self.tally)

    def table(self) -> str:
        """Return the funnel as text."""
        return self.tally.table("lines", self.stages)

    def as_dict(self, files: Sequence[InputFile], options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all counts and the options for the report."""
        stages, tally = [stage for stage, _ in self.stages], self.tally
        return {
            "inputs": [_about(file, share) for file, share in zip(files, self.shares, strict=True)],
            "lines": tally.total,
            "read": tally.total - self.unreadable,
            "kept": tally.kept,
            "drops": tally.by_stage(stages),
            "overlap": [[self.overlap[row, column] for column in range(len(files))] for row in range(len(files))],
            "warnings": [asdict(warning) for warning in self.warnings],
            **({"texts_without_tokens": self.untokenized} if self.untokenized else {}),
            **({"texts_encoded_in_parts": self.in_parts} if self.in_parts else {}),
            "options": dict(options),
        }


def _about(file: InputFile, share: Tally) -> dict[str, Any]:
    reader, source = file.reader, file.reader.source
    return {
        "path": source.label, "name": source.name, "license": source.license,
        "format": reader.schema.name if reader.schema else None, "container": reader.container.kind,
        "lines": share.total, "has_output": file.has_output, "kept": share.kept,
        "drops": share.by_stage([stage for stage, _ in stages_of(share)]),
        "repaired": {kind: {"lines": n, "first": reader.repaired[kind]} for kind, n in sorted(reader.repairs.items())},
    }  # fmt: skip


class Decided(NamedTuple):
    """A readable row of input number `file` with its drop, if there is one, the input number and row that it was dropped for,
    and the benchmark match.
    """

    line: Line
    file: int = 0
    drop: Drop | None = None
    cause: tuple[int, Line] | None = None
    match: Mapping[str, Any] | None = None


class CurateStep(Step[Decided]):
    """Write the kept rows, and count in `counts.overlap` for which inputs the others were dropped."""

    batch = 1024

    def __init__(self, counts: CurateCounts) -> None:
        self._counts = counts

    def apply_to(self, row: Decided) -> Result:
        """Keep a row, or drop it with the evidence."""
        line, drop = row.line, row.drop
        if drop is None:
            return Result([line.content])
        about: dict[str, Any] = {"nearest": None}
        if row.cause is not None:
            file, cause = row.cause
            self._counts.overlap[row.file, file] += 1
            if drop.nearest is not None:
                about["nearest"] = {"id": cause.name, "score": drop.nearest.score, "place": cause.place}
        if row.match is not None:
            about["match"] = row.match
        return Result((), drop, [Reject(line.place, drop, about, {"id": line.name}, line.content)])

    def reject_unreadable(self, row: Unreadable, drop: Drop) -> Reject:
        """Return the rejected line of a row that could not be read."""
        return Reject(row.place, drop, {"nearest": None, "text": row.text}, {"id": None})
