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
from self_instruct.runs.funnel import RuleWarning, warnings_of
from self_instruct.runs.layout import OutputPaths
from self_instruct.runs.tally import Tally

STAGES = (
    ("read", "could be read"), ("filter", "passed the filters"), ("contamination", "are in no benchmark"),
    ("novelty", "are new"),
)  # fmt: skip


def stages_of(tally: Tally) -> list[tuple[str, str]]:
    """Return the stages in order, and what is left after each; benchmarks only if anything was found in them."""
    return [item for item in STAGES if item[0] != "contamination" or tally.dropped("contamination")]


@dataclass
class CurateCounts:
    """What became of the lines of all inputs; `rules` are the filter rules with the reasons of each.

    `shares` are the counts of each input, and `overlap` how many of the first input's lines were dropped for one of the
    second's, both by position.
    """

    rules: Mapping[str, tuple[str, ...]]
    shares: list[Tally] = field(default_factory=list)
    overlap: Counter[tuple[int, int]] = field(default_factory=Counter)

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
        """As a run's."""
        return warnings_of(self.rules, self.tally.drops, self.tally.total - self.unreadable)

    @property
    def stages(self) -> list[tuple[str, str]]:
        """The stages in order, and what is left after each."""
        return stages_of(self.tally)

    def table(self) -> str:
        """The funnel for people."""
        return self.tally.table("lines", self.stages)

    def as_dict(self, files: Sequence[InstructionFile], options: Mapping[str, Any]) -> dict[str, Any]:
        """All counts and the options, as in the report."""
        stages, tally = [stage for stage, _ in self.stages], self.tally
        return {
            "inputs": [_about(file, share) for file, share in zip(files, self.shares, strict=True)],
            "lines": tally.total,
            "read": tally.total - self.unreadable,
            "kept": tally.kept,
            "drops": tally.by_stage(stages),
            "overlap": [[self.overlap[row, column] for column in range(len(files))] for row in range(len(files))],
            "warnings": [asdict(warning) for warning in self.warnings],
            "options": dict(options),
        }


def _about(file: InstructionFile, share: Tally) -> dict[str, Any]:
    reader, source = file.reader, file.reader.source
    return {
        "path": source.path, "name": source.name, "license": source.license,
        "format": reader.schema.name if reader.schema else None, "container": reader.container.kind,
        "lines": share.total, "has_output": file.has_output, "kept": share.kept,
        "drops": share.by_stage([stage for stage, _ in stages_of(share)]),
        "repaired": {kind: {"lines": n, "first": reader.mended[kind]} for kind, n in sorted(reader.repairs.items())},
    }  # fmt: skip


def write_curated(
    files: Sequence[InstructionFile],
    drops: Mapping[str, Drop],
    evidence: Mapping[str, Mapping[str, Any]],
    counts: CurateCounts,
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
        share = Tally()
        for line in file.lines:
            drop = (
                Drop("read", line.reason, line.problem) if isinstance(line, Unreadable) else drops.get(line.record.id)
            )
            if drop is not None:
                share.drop(drop)
                cause = drop.nearest.id if drop.nearest else drop.detail if drop.reason == "duplicate" else None
                if cause in tasks:
                    counts.overlap[at, tasks[cause][0]] += 1
                rejected.write(_rejected(line, drop, tasks, evidence))
            elif isinstance(line, Task):
                share.keep()
                kept.write(line.content + b"\n")
        counts.shares.append(share)
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
