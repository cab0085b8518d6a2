"""The journal: every completion as the model wrote it, on disk before anything is parsed. All else follows from it.

One JSON line a completion, appended in the order of arrival and synced to disk. Knows nothing of blocks, filters or
records.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from self_instruct.engines.base import Completion
from self_instruct.errors import UserError
from self_instruct.records import Prompt
from self_instruct.runs.files import AppendedFile, line_reader, read_lines
from self_instruct.runs.layout import JOURNAL

_KINDS: dict[str, Any] = {
    "request": int, "seed_ids": list, "parent_ids": list, "depth": int, "text": str, "finish_reason": str,
    "prompt_tokens": int, "completion_tokens": int, "category": str | None, "step": int, "answers": str | None,
    "variables": dict, "error": str | None, "usage": dict | None,
}  # fmt: skip

_OF_CATEGORIES = ("category", "step", "answers", "variables")


@dataclass(frozen=True)
class Entry:
    """A completion with the plan of its prompt: what was shown, the hash of the text, and the depth of what comes of it.

    `category`, `step`, `answers` and `variables` are those of the prompt's aim, in a run from categories.
    """

    request: int
    seed_ids: list[str]
    parent_ids: list[str]
    depth: int
    prompt_sha256: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    rank: int
    created_at: str | None
    error: str | None = None
    usage: dict[str, Any] | None = None
    category: str | None = None
    step: int = 1
    answers: str | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: Prompt, completion: Completion) -> "Entry":
        """The entry of a prompt's completion."""
        plan: dict[str, Any] = {"seed_ids": prompt.seed_ids, "parent_ids": prompt.parent_ids, "depth": prompt.depth}
        if prompt.aim is not None:
            plan.update(asdict(prompt.aim))
        return cls(**plan, prompt_sha256=prompt.sha256, **asdict(completion))

    @property
    def number(self) -> int:
        """The number of the block that the prompt left open."""
        return len(self.seed_ids) + len(self.parent_ids) + 1


_read_entry = line_reader(Entry, _KINDS, "a journal entry")


class Journal:
    """The journal of a run directory, opened for appending. `entries` are those that were there, by request; errors after
    the last completion are left out, so that what a broken machine could not answer is asked for again. `spent` is what a
    server counted for answers that are left out.

    Raises `UserError` if another process has it open, it cannot be written, or most of its lines are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self._file = AppendedFile(self.path, _read_entry)
        self.entries = _by_request(self._file.found)
        self.spent = [item.usage for item in self._file.found if self.entries.get(item.request) is not item]
        self._file.found.clear()  # whoever has judged the entries may let go of them

    def append(self, entries: Iterable[Entry]) -> None:
        """Writes entries and returns when they are on disk."""
        self._file.append(map(_row, entries))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _row(entry: Entry) -> dict[str, Any]:
    """What is written of an entry; in a run without categories, nothing of them."""
    row = asdict(entry)
    return row if entry.category is not None else {name: row[name] for name in row if name not in _OF_CATEGORIES}


def read_journal(folder: Path) -> list[Entry]:
    """The entries of a run directory in request order, the directory left as it is. Raises `UserError` if it has no journal."""
    path = folder / JOURNAL
    if not path.is_file():
        raise UserError(f"{folder}: holds no {JOURNAL}; give the --batch_dir of a generation run")
    return list(_by_request(read_lines(path, _read_entry).found).values())


def _by_request(entries: list[Entry]) -> dict[int, Entry]:
    """The entries in request order: of several for one request the first that is no error. Errors at the end are left out."""
    chosen: dict[int, Entry] = {}
    for entry in entries:
        if entry.request not in chosen or chosen[entry.request].finish_reason == "error":
            chosen[entry.request] = entry
    last = max((entry.request for entry in chosen.values() if entry.finish_reason != "error"), default=-1)
    return {request: chosen[request] for request in sorted(chosen) if request <= last}
