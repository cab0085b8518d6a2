"""Read a run directory: accepted records, rejected candidates and the report."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from self_instruct.errors import UserError
from self_instruct.records import Drop, Nearest, Record
from self_instruct.runs.layout import ACCEPTED, JOURNAL, REJECTED, REPORT, path_of
from self_instruct.user_files import read_objects

if TYPE_CHECKING:
    from datasets import Dataset


_COLUMNS = ("instruction", "input", "output", "provenance")


@dataclass(frozen=True)
class Rejected:
    """A dropped candidate: its record as far as it could be read, the drop, and the text of an unreadable block."""

    record: Record
    drop: Drop
    text: str


@dataclass(frozen=True)
class Run:
    """A run directory. Each file is read on first use; of a run that is still going, the current state is read."""

    folder: Path

    @cached_property
    def records(self) -> list[Record]:
        """The accepted records in request order. Raises UserError for a damaged file."""
        return [_record(row, row.get("provenance"), place) for place, row in _rows(self.folder / ACCEPTED)]

    @cached_property
    def rejected(self) -> list[Rejected]:
        """The dropped candidates with stage and reason. Raises UserError for a damaged file."""
        return [_rejected(row, place) for place, row in _rows(self.folder / REJECTED)]

    @cached_property
    def report(self) -> dict[str, Any]:
        """The counts of report.json; empty if the run has not written one yet."""
        path = self.folder / REPORT
        try:
            content = json.loads(path.read_bytes()) if path.is_file() else {}
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read ({error}); launch the run again to restore it") from None
        if not isinstance(content, dict):
            raise UserError(f"{path}: must hold one JSON object; launch the run again to restore it")
        return content

    def to_dataset(self) -> "Dataset":
        """Return the records as a `datasets.Dataset` with the columns instruction, input, output and provenance."""
        from datasets import Dataset

        rows = [row for _, row in _rows(self.folder / ACCEPTED)]
        return Dataset.from_list(rows) if rows else Dataset.from_dict({name: [] for name in _COLUMNS})

    def __len__(self) -> int:
        return len(self.records)


def load_run(path: str | Path) -> Run:
    """Open a run directory. Raises UserError if it holds no run."""
    folder = path_of(path, "the run")
    if not any((folder / name).is_file() for name in (JOURNAL, ACCEPTED)):
        raise UserError(f"{folder}: holds no {ACCEPTED}; give the --batch_dir of a generation run")
    return Run(folder)


def _rows(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return list(read_objects(path, "the run", growing=True)) if path.is_file() else []


def _record(row: dict[str, Any], about: Any, place: str) -> Record:
    texts = [row.get(column) for column in ("instruction", "input", "output")]
    name = about.get("id") if isinstance(about, dict) else None
    if not isinstance(name, str) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{place}: is not a record of a run; launch the run again to restore it")
    depth = about.get("depth")
    instruction, input, output = map(str, texts)
    return Record(name, instruction, input, output, depth if isinstance(depth, int) else 0)


def _rejected(row: dict[str, Any], place: str) -> Rejected:
    record, near = _record(row, row, place), row.get("nearest")
    stated = [row.get(key) for key in ("stage", "reason", "detail", "text")]
    if not all(isinstance(text, str) for text in stated):
        raise UserError(f"{place}: is not a drop of a run; launch the run again to restore it")
    stage, reason, detail, text = map(str, stated)
    nearest = None
    if isinstance(near, dict):
        if not isinstance(near.get("score"), (int, float)) or "id" not in near:
            raise UserError(f"{place}: is not a drop of a run; launch the run again to restore it")
        nearest = Nearest(str(near["id"]), float(near["score"]))
    return Rejected(record, Drop(stage, reason, detail, nearest), text)
