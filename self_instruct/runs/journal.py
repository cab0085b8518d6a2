"""The journal: every completion as the model wrote it, on disk before it is parsed. All other files are made from it.

One JSON line per completion, appended in the order of arrival and synced to disk.
"""

import reprlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import CUT, Completion, with_thoughts
from self_instruct.errors import UserError
from self_instruct.records import Prompt
from self_instruct.runs.files import AppendedFile, line_reader, read_lines
from self_instruct.runs.layout import JOURNAL
from self_instruct.thoughts import Turn
from self_instruct.user_files import LineError

_KINDS: dict[str, Any] = {
    "request": int, "seed_ids": list, "parent_ids": list, "depth": int, "text": str, "finish_reason": str,
    "prompt_tokens": int, "completion_tokens": int, "category": str | None, "step": int, "answers": str | None,
    "variables": dict, "error": str | None, "usage": dict | None,
    "reasoning": str | None, "reasoning_tokens": int | None,
}  # fmt: skip

_OF_CATEGORIES = ("category", "variables")
_OF_STEPS = ("step", "answers")
ANSWERS_STEP, TESTS_STEP = 2, 3
"""The steps of requests for the answer to a task, and for the tests of an answer. Requests for new tasks are step 1."""


@dataclass(frozen=True)
class Entry:
    """A completion with the demonstrations and hash of its prompt, and the depth of the records made from it.

    `text` is what the model wrote; `reasoning` is a thought that a server returned beside it. `category`, `step`, `answers` and
    `variables` come from the prompt's aim, if it has one.
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
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    category: str | None = None
    step: int = 1
    answers: str | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: Prompt, completion: Completion) -> "Entry":
        """Return the entry for a prompt and its completion."""
        plan: dict[str, Any] = {"seed_ids": prompt.seed_ids, "parent_ids": prompt.parent_ids, "depth": prompt.depth}
        if prompt.aim is not None:
            plan.update(asdict(prompt.aim), category=prompt.aim.category or None)
        return cls(**plan, prompt_sha256=prompt.sha256, **asdict(completion))

    @cached_property
    def turn(self) -> Turn:
        """The answer and the thoughts, of the text and beside it."""
        return thought_tags().read(self.text, self.reasoning)

    @property
    def answer(self) -> str:
        """The text without thoughts."""
        return self.turn.answer

    @property
    def thought_tokens(self) -> int:
        """The tokens of the thoughts, as counted, or in proportion to their length."""
        if self.reasoning_tokens is not None or not self.turn.thought:
            return self.reasoning_tokens or 0
        return self.completion_tokens * len(self.turn.thought) // (len(self.turn.thought) + len(self.answer))

    @property
    def without_answer(self) -> str | None:
        """Why there is no answer although the model thought, or None."""
        return None if self.finish_reason == "error" else self.turn.without_answer(self.reasoning_tokens)

    @property
    def cut(self) -> bool:
        """Whether the text was cut off, or ends in a thought, so that its last block may be incomplete."""
        return self.finish_reason in CUT or self.turn.unclosed

    @property
    def number(self) -> int:
        """The number of the block that the prompt left open."""
        return len(self.seed_ids) + len(self.parent_ids) + 1


_parse_entry = line_reader(Entry, _KINDS, "a journal entry")


def _read_entry(line: bytes, place: str) -> Entry:
    """Parse a line. Raises LineError if it is not an entry, or if a token count in its usage is not a non-negative integer."""
    entry = _parse_entry(line, place)
    if type(entry.reasoning_tokens) not in (int, type(None)) or (entry.reasoning_tokens or 0) < 0:
        raise LineError("damaged", place, f"is not a journal entry (reasoning_tokens is {entry.reasoning_tokens!r})")
    for name in ("prompt_tokens", "completion_tokens"):
        count = (entry.usage or {}).get(name, 0)
        if type(count) is not int or count < 0:
            raise LineError(
                "damaged", place, f"is not a journal entry (its usage counts {reprlib.repr(count)} {name})"
            )
    return entry


class Journal:
    """The journal of a run directory, opened for appending.

    `entries` has the existing entries by request, except errors after the last completion, so that requests that failed
    because of a broken machine are generated again. `spent` is the server's usage for the ignored entries.

    Raises UserError if another process has it open, it cannot be written, or most of its lines are damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self._file = AppendedFile(self.path, _read_entry)
        self.entries = _by_request(self._file.found)
        self.spent = [item.usage for item in self._file.found if self.entries.get(item.request) is not item]
        self._file.found.clear()  # keep no second reference: the loop drops entries that it has decided on

    def append(self, entries: Iterable[Entry]) -> None:
        """Write entries and return when they are on disk."""
        self._file.append(map(_row, entries))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _row(entry: Entry) -> dict[str, Any]:
    """Return the row of an entry; a run without categories has no fields for them, its first step none for steps, and a
    completion without thoughts none for thoughts.
    """
    row = with_thoughts(asdict(entry))
    if entry.category is not None:
        return row
    absent = _OF_CATEGORIES if entry.step > 1 else (*_OF_CATEGORIES, *_OF_STEPS)
    return {name: row[name] for name in row if name not in absent}


def read_journal(folder: Path) -> list[Entry]:
    """Return the entries of a run directory in request order, without changing it. Raises UserError if it has no journal."""
    path = folder / JOURNAL
    if not path.is_file():
        raise UserError(f"{folder}: holds no {JOURNAL}; give the --batch_dir of a generation run")
    return list(_by_request(read_lines(path, _read_entry).found).values())


def _by_request(entries: list[Entry]) -> dict[int, Entry]:
    """Return the entries in request order: the first without an error for each request, and no errors at the end."""
    chosen: dict[int, Entry] = {}
    for entry in entries:
        if entry.request not in chosen or chosen[entry.request].finish_reason == "error":
            chosen[entry.request] = entry
    last = max((entry.request for entry in chosen.values() if entry.finish_reason != "error"), default=-1)
    return {request: chosen[request] for request in sorted(chosen) if request <= last}
