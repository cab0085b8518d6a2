"""Read the inputs of a report: run directories and instruction files, as accepted rows and dropped candidates.

For a curated file, the dropped candidates are in the rejected file beside it.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.datasets import curate_files as curated
from self_instruct.datasets.instruction_file import Task, read_tasks
from self_instruct.datasets.reading import Source
from self_instruct.datasets.rows import Unreadable
from self_instruct.errors import UserError
from self_instruct.novelty.vector_cache import FILE_NAME
from self_instruct.records import Nearest, Record
from self_instruct.report import candidates
from self_instruct.report.run_settings import file_settings, run_settings
from self_instruct.report.watch import decided_of, fresh_report, last_request
from self_instruct.runs import funnel
from self_instruct.runs.layout import PIPE, OutputPaths
from self_instruct.user_files import read_objects, regular_bytes

NAMED = "RUN_OR_FILE"
_RARE = ("limit", "validate", "verify", "contamination")  # stages shown only if they dropped something


@dataclass(frozen=True)
class Row:
    """An accepted record. `nearest` is the most similar earlier record by words and `cosine` the highest similarity of the
    embeddings, as the provenance states them, or None.
    """

    record: Record
    request: int | None
    category: str | None
    origin: str | None
    nearest: Nearest | None
    cosine: float | None


@dataclass(frozen=True)
class Dropped:
    """A dropped candidate with its text, or the beginning of it, and the stage and reason."""

    id: str
    stage: str
    reason: str
    detail: str
    text: str
    nearest: Nearest | None
    request: int | None


@dataclass(frozen=True)
class ReportInput:
    """A run or a file.

    `first` is the label of the number that the funnel starts with; `steps` are the stages, with a label for what remains after
    each. `others` are the texts of neighbours that are not among the rows, by id; `vectors` are files that may hold embeddings;
    `facts` are key figures and `settings` the options, both as names and values; `requests` is one more than the number of the
    last request that was decided on.
    """

    name: str
    rows: list[Row]
    dropped: list[Dropped]
    first: str
    steps: Sequence[tuple[str, str]]
    vectors: list[Path]
    others: Mapping[str, str] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)
    model: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    requests: int = 0

    @property
    def drops(self) -> Counter[tuple[str, str]]:
        """Return how many candidates each stage and reason dropped."""
        return Counter((item.stage, item.reason) for item in self.dropped)

    @property
    def stages(self) -> set[str]:
        """Return the stages that the funnel shows: all but the rare ones that dropped nothing."""
        lost = {item.stage for item in self.dropped}
        return {stage for stage, _ in self.steps if stage in lost or stage not in _RARE}

    @property
    def funnel(self) -> list[tuple[str, int]]:
        """Return the number of candidates, and how many are left after each stage."""
        return self.funnel_of(self.stages)

    def funnel_of(self, stages: Collection[str]) -> list[tuple[str, int]]:
        """Return the number of candidates, and how many are left after each of these stages."""
        lost = Counter(item.stage for item in self.dropped)
        left = len(self.rows) + sum(lost[stage] for stage, _ in self.steps)
        found = [(self.first, left)]
        for stage, name in self.steps:
            left -= lost[stage]
            if stage in stages:
                found.append((name, left))
        return found

    @property
    def texts(self) -> list[str]:
        """Return the tasks of the rows: instruction and input."""
        return [row.record.task for row in self.rows]


def read_inputs(paths: Sequence[str], *, may_be_empty: bool = False) -> list[ReportInput]:
    """Read each run or file. Raises UserError if one is neither, is given twice, or holds no record; with `may_be_empty`, a run
    or file without records is read if it has dropped candidates.
    """
    if len({Path(path).resolve() for path in paths}) < len(paths):
        raise UserError(f"{NAMED}: the same path is given twice; give each once")
    names = _names(paths)
    return [_read(Path(path), name, may_be_empty) for path, name in zip(paths, names, strict=True)]


def _names(given: Sequence[str]) -> list[str]:
    """Return the last part of each path, and as many parts before it as make the names differ."""
    paths = [Path(path).resolve() for path in given]
    for depth in range(1, 64):
        names = ["/".join(path.parts[-depth:]).lstrip("/") or str(path) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _read(path: Path, name: str, may_be_empty: bool) -> ReportInput:
    if str(path) == PIPE or not path.exists():
        raise UserError(f"{NAMED} {path}: does not exist; give the --batch_dir of a run, or an instruction file")
    source = _read_run(path, name) if path.is_dir() else _read_file(path, name)
    candidates = source.funnel[0][1]
    if not source.rows and not (may_be_empty and candidates):
        advice = "give it alone to see why its candidates were dropped" if candidates else "generate some first"
        raise UserError(f"{NAMED} {path}: holds no accepted record; {advice}")
    return source


def _read_run(folder: Path, name: str) -> ReportInput:
    run = candidates.read_run(folder)
    kept = [item for item in run.candidates.values() if item.accepted]
    dropped = [item for item in run.candidates.values() if not item.accepted]
    last = max((last_request(item.row.get("provenance") or item.row) for item in run.candidates.values()), default=-1)
    decided = [entry for entry in (run.entries or {}).values() if entry.request <= last]
    counted = decided_of(fresh_report(folder))
    requests, tokens = counted or (len(decided), sum(entry.completion_tokens for entry in decided))
    facts = [("requests", f"{requests:,}")]
    if tokens and kept:
        facts.append(("new tokens a record", f"{tokens / len(kept):,.0f}"))
    return ReportInput(
        name,
        [_row(item.record, item.row, item.request) for item in kept],
        [_dropped(item.record.id, item.row, item.text, item.request) for item in dropped],
        funnel.WRITTEN,
        funnel.STEPS,
        [folder / FILE_NAME],
        {seed.id: seed.task for seed in (run.seeds or {}).values()},
        facts,
        run_settings(run),
        Path(str(run.options.get("model_name_or_path") or run.options.get("engine") or "")).name,
        _thresholds(run.options),
        last + 1,
    )


def _read_file(path: Path, name: str) -> ReportInput:
    outputs = OutputPaths(path)
    lines = list(read_tasks([Source(str(path))], NAMED))
    tasks = [line for line in lines if isinstance(line, Task)]
    broken = [line for line in lines if isinstance(line, Unreadable)]
    dropped = [Dropped(line.place, "read", line.reason, line.problem, line.text, None, None) for line in broken]
    if outputs.rejected.is_file():
        rows = read_objects(outputs.rejected, "the rejected lines")
        dropped += [
            _dropped(str(row.get("id") or row.get("place")), row, _rejected_text(row), None) for _, row in rows
        ]
    options = _options(outputs.report)
    ids = Counter(task.line.name for task in tasks)
    named = [_renamed(task.record, _name(task, path, ids)) for task in tasks]
    rows_ = [_row(record, json.loads(task.line.content), None) for record, task in zip(named, tasks, strict=True)]
    vectors = [outputs.vectors]
    return ReportInput(name, rows_, dropped, "lines", curated.STAGES, vectors, settings=file_settings(options),
                       thresholds=_thresholds(options))  # fmt: skip


def _options(report: Path) -> dict[str, Any]:
    """Return the options in the report beside a curated file; empty if there is no report or it is damaged."""
    try:
        options = json.loads(regular_bytes(report))["options"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return options if isinstance(options, dict) else {}


def _name(task: Task, path: Path, ids: Counter[str]) -> str:
    """Return the id of a record if it is unique in its file, else the file and the line."""
    unnamed = task.line.name == task.record.id or ids[task.line.name] > 1
    return f"{path.name}:{task.record.id.rpartition(':')[2]}" if unnamed else task.line.name


def _renamed(record: Record, name: str) -> Record:
    return Record(name, record.instruction, record.input, record.output)


def _row(record: Record, row: Mapping[str, Any], request: int | None) -> Row:
    about = row.get("provenance")
    about = about if isinstance(about, dict) else {}
    return Row(
        record,
        request,
        _text(about, "category") or _text(row, "category"),
        _text(about, "source") or _text(row, "source"),
        _nearest(about.get("most_similar")),
        _score(about.get("embedding_similarity")),
    )


def _dropped(name: str, row: Mapping[str, Any], text: str, request: int | None) -> Dropped:
    stage, reason, detail = (str(row.get(key) or "") for key in ("stage", "reason", "detail"))
    return Dropped(name, stage, reason, detail, text, _nearest(row.get("nearest")), request)


def _rejected_text(row: Mapping[str, Any]) -> str:
    record = row.get("record")
    if not isinstance(record, dict):
        return str(row.get("text") or "")
    parts = [record.get("instruction"), record.get("input")]
    return "\n".join(part for part in parts if isinstance(part, str) and part)


def _thresholds(options: Mapping[str, Any]) -> dict[str, float]:
    found = {name: _score(options.get(f"{name}_threshold")) for name in ("rouge", "embedding")}
    return {name: score for name, score in found.items() if score is not None}


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    return value if isinstance(value, str) and value else None


def _nearest(value: Any) -> Nearest | None:
    score = _score(value.get("score")) if isinstance(value, dict) else None
    return Nearest(str(value["id"]), score) if score is not None and "id" in value else None


def _score(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and -1.01 <= value <= 1.01 else None  # also rejects NaN
