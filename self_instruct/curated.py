"""What a curation leaves behind: the lines that are kept, those that are not with the reason, and the counts.

Everything here is a function of the files and the decisions. Knows nothing of how decisions come about.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.durable import NewFile
from self_instruct.instruction_files import InstructionFile, Task, Unreadable
from self_instruct.records import Drop, json_line
from self_instruct.report import RuleWarning, drops_of, funnel_table, warnings_of

STAGES = ("read", "filter", "novelty")


@dataclass(frozen=True)
class Places:
    """The files of a curation: what is kept, and all else beside it under its name."""

    kept: Path

    @property
    def rejected(self) -> Path:
        """The lines that are not kept."""
        return self.beside(".rejected.jsonl")

    @property
    def report(self) -> Path:
        """The counts."""
        return self.beside(".report.json")

    def vectors(self, share: str = "") -> Path:
        """The vectors that were encoded, by a shard or by one process."""
        return self.beside(f".embeddings{share}.cache")

    def pairs(self, share: str) -> Path:
        """The pairs that a shard has found."""
        return self.beside(f".pairs{share}.bin")

    def pairs_there(self) -> list[Path]:
        """The pairs that shards have left, of whatever number of them."""
        return self._there(".pairs.", ".bin")

    def vectors_there(self) -> list[Path]:
        """All files of vectors."""
        return self._there(".embeddings.", ".cache")

    def _there(self, begin: str, end: str) -> list[Path]:
        found = self.kept.parent.iterdir() if self.kept.parent.is_dir() else iter(())
        return sorted(path for path in found if path.name.startswith(self._stem + begin) and path.name.endswith(end))

    def beside(self, ending: str) -> Path:
        """A file beside the output."""
        return self.kept.with_name(self._stem + ending)

    @property
    def _stem(self) -> str:
        return self.kept.name.removesuffix(".jsonl")


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
        stages = [("read", "could be read"), ("filter", "passed the filters"), ("novelty", "are new")]
        return funnel_table("lines", self.lines, stages, self.drops)

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
