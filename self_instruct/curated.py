"""What a curation leaves behind: the lines that are kept, those that are not with the reason, and the counts.

Everything here is a function of the files and the decisions. Knows nothing of how decisions come about.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from typing import Any

from self_instruct.durable import NewFile
from self_instruct.funnel import RuleWarning, drops_of, funnel_table, warnings_of
from self_instruct.instruction_files import InstructionFile, Task, Unreadable
from self_instruct.layout import Places
from self_instruct.records import Drop, json_line

STEPS = (("read", "could be read"), ("filter", "passed the filters"), ("novelty", "are new"))
STAGES = tuple(stage for stage, _ in STEPS)


@dataclass
class Counts:
    """What became of so many lines, `kept` of them kept; `rules` are the filter rules with the reasons of each.

    A run's funnel counts completions and tokens, of which a file knows nothing.
    """

    rules: Mapping[str, tuple[str, ...]]
    kept: int = 0
    drops: Counter[tuple[str, str]] = field(default_factory=Counter)

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

    def table(self) -> str:
        """The funnel for people."""
        return funnel_table("lines", self.lines, STEPS, self.drops)

    def as_dict(self, files: Sequence[InstructionFile], options: Mapping[str, Any]) -> dict[str, Any]:
        """All counts and the options, as in the report."""
        return {
            "inputs": [{"path": item.path, "lines": len(item.lines), "has_output": item.has_output} for item in files],
            "lines": self.lines,
            "read": self.lines - self.unreadable,
            "kept": self.kept,
            "drops": drops_of(self.drops, STAGES),
            "warnings": [asdict(warning) for warning in self.warnings],
            "options": dict(options),
        }


def write_curated(
    files: Sequence[InstructionFile],
    drops: Mapping[str, Drop],
    counts: Counts,
    options: Mapping[str, Any],
    outputs: Sequence[NewFile],
) -> None:
    """Writes the three files that `open_outputs` has opened, counts, and puts them in place; `drops` of tasks by place."""
    kept, rejected, report = outputs
    tasks = {line.record.id: line for file in files for line in file.lines if isinstance(line, Task)}
    for line in (line for file in files for line in file.lines):
        drop = Drop("read", line.reason, line.problem) if isinstance(line, Unreadable) else drops.get(line.record.id)
        if drop is not None:
            counts.drops[drop.stage, drop.reason] += 1
            rejected.write(_rejected(line, drop, tasks))
        elif isinstance(line, Task):
            counts.kept += 1
            kept.write(line.content + b"\n")
    report.write((json.dumps(counts.as_dict(files, options), indent=2) + "\n").encode())
    for output in (rejected, report, kept):
        output.publish()


def open_outputs(places: Places, stack: ExitStack) -> list[NewFile]:
    """The files of the kept lines, the rejected ones and the report. Raises `UserError` if they cannot be written."""
    return [stack.enter_context(closing(NewFile(path))) for path in (places.kept, places.rejected, places.report)]


def _rejected(line: Task | Unreadable, drop: Drop, tasks: Mapping[str, Task]) -> bytes:
    about: dict[str, Any] = {"stage": drop.stage, "reason": drop.reason, "detail": drop.detail, "nearest": None}
    if isinstance(line, Unreadable):
        return json_line({"id": None, "place": line.place, **about, "text": line.text})
    if drop.nearest is not None:
        nearest = tasks[drop.nearest.id]
        about["nearest"] = {"id": nearest.name, "score": drop.nearest.score, "place": nearest.record.id}
    head = json_line({"id": line.name, "place": line.record.id, **about})
    return head.removesuffix(b"}\n") + b', "record": ' + line.content + b"}\n"
