"""What a curation leaves behind: the lines that are kept, those that are not with the reason, and the counts.

Everything here is a function of the files and the decisions. Knows nothing of how decisions come about.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from typing import Any

from self_instruct.datasets.instruction_file import InstructionFile, Task
from self_instruct.datasets.rows import Unreadable
from self_instruct.records import Drop, json_line
from self_instruct.runs.files import NewFile
from self_instruct.runs.funnel import RuleWarning, drops_of, funnel_table, warnings_of
from self_instruct.runs.layout import OutputPaths

STAGES = (
    ("read", "could be read"), ("filter", "passed the filters"), ("contamination", "are in no benchmark"),
    ("novelty", "are new"),
)  # fmt: skip


@dataclass
class Counts:
    """What became of so many lines, `kept` of them kept; `rules` are the filter rules with the reasons of each.

    A run's funnel counts completions and tokens, of which a file knows nothing. `shares` are the counts of each input, and
    `overlap` how many of the first input's lines were dropped for one of the second's, both by position.
    """

    rules: Mapping[str, tuple[str, ...]]
    kept: int = 0
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)
    shares: list["Counts"] = field(default_factory=list)
    overlap: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def lines(self) -> int:
        """Lines that are not blank."""
        return self.kept + self.drops.total()

    @property
    def unreadable(self) -> int:
        """Lines that could not be read."""
        return sum(number for (stage, _), number in self.drops.items() if stage == "read")

    @property
    def warnings(self) -> list[RuleWarning]:
        """As a run's."""
        return warnings_of(self.rules, self.drops, self.lines - self.unreadable)

    @property
    def stages(self) -> list[tuple[str, str]]:
        """The stages in order, and what is left after each; benchmarks only if anything was found in them."""
        return [
            (stage, left) for stage, left in STAGES
            if stage != "contamination" or any(at == stage for at, _ in self.drops)
        ]  # fmt: skip

    def table(self) -> str:
        """The funnel for people."""
        return funnel_table("lines", self.lines, self.stages, self.drops)

    def as_dict(self, files: Sequence[InstructionFile], options: Mapping[str, Any]) -> dict[str, Any]:
        """All counts and the options, as in the report."""
        return {
            "inputs": [_about(file, share) for file, share in zip(files, self.shares, strict=True)],
            "lines": self.lines,
            "read": self.lines - self.unreadable,
            "kept": self.kept,
            "drops": drops_of(self.drops, [stage for stage, _ in self.stages]),
            "overlap": [[self.overlap[row, column] for column in range(len(files))] for row in range(len(files))],
            "warnings": [asdict(warning) for warning in self.warnings],
            "options": dict(options),
        }


def _about(file: InstructionFile, share: Counts) -> dict[str, Any]:
    reader, source = file.reader, file.reader.source
    return {
        "path": source.path, "name": source.name, "license": source.license,
        "format": reader.schema.name if reader.schema else None, "container": reader.container.kind,
        "lines": share.lines, "has_output": file.has_output, "kept": share.kept,
        "drops": drops_of(share.drops, [stage for stage, _ in share.stages]),
        "repaired": {kind: {"lines": n, "first": reader.mended[kind]} for kind, n in sorted(reader.repairs.items())},
    }  # fmt: skip


def write_curated(
    files: Sequence[InstructionFile],
    drops: Mapping[str, Drop],
    evidence: Mapping[str, Mapping[str, Any]],
    counts: Counts,
    options: Mapping[str, Any],
    outputs: Sequence[NewFile],
) -> None:
    """Writes the three files that `open_outputs` has opened, counts, and puts them in place.

    `drops` of tasks by place, and what was found in benchmarks, `evidence`, by place too.
    """
    kept, rejected, report = outputs
    tasks = {
        line.record.id: (at, line) for at, file in enumerate(files) for line in file.lines if isinstance(line, Task)
    }
    for at, file in enumerate(files):
        share = Counts(counts.rules)
        for line in file.lines:
            drop = (
                Drop("read", line.reason, line.problem) if isinstance(line, Unreadable) else drops.get(line.record.id)
            )
            if drop is not None:
                share.drops[drop.stage, drop.reason] += 1
                cause = drop.nearest.id if drop.nearest else drop.detail if drop.reason == "duplicate" else None
                if cause in tasks:
                    counts.overlap[at, tasks[cause][0]] += 1
                rejected.write(_rejected(line, drop, tasks, evidence))
            elif isinstance(line, Task):
                share.kept += 1
                kept.write(line.content + b"\n")
        counts.shares.append(share)
        counts.kept += share.kept
        counts.drops.update(share.drops)
    report.write((json.dumps(counts.as_dict(files, options), indent=2) + "\n").encode())
    for output in (rejected, report, kept):
        output.publish()


def open_outputs(places: OutputPaths, stack: ExitStack) -> list[NewFile]:
    """The files of the kept lines, the rejected ones and the report. Raises `UserError` if they cannot be written."""
    return [stack.enter_context(closing(NewFile(path))) for path in (places.kept, places.rejected, places.report)]


def _rejected(
    line: Task | Unreadable,
    drop: Drop,
    tasks: Mapping[str, tuple[int, Task]],
    evidence: Mapping[str, Mapping[str, Any]],
) -> bytes:
    about: dict[str, Any] = {"stage": drop.stage, "reason": drop.reason, "detail": drop.detail, "nearest": None}
    if isinstance(line, Unreadable):
        return json_line({"id": None, "place": line.place, **about, "text": line.text})
    if drop.nearest is not None:
        _, nearest = tasks[drop.nearest.id]
        about["nearest"] = {"id": nearest.name, "score": drop.nearest.score, "place": nearest.record.id}
    if line.record.id in evidence:
        about["match"] = evidence[line.record.id]
    head = json_line({"id": line.name, "place": line.record.id, **about})
    return head.removesuffix(b"}\n") + b', "record": ' + line.content + b"}\n"
