"""The journal: every completion as the model wrote it, on disk before anything is parsed. All else follows from it.

One JSON line a completion, appended in the order of arrival and synced to disk. A launch that was killed leaves at most
a half-written last line, which is cut off. Knows nothing of blocks, filters or records.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from self_instruct.engines.base import Completion
from self_instruct.errors import UserError
from self_instruct.layout import JOURNAL
from self_instruct.prompts import Prompt
from self_instruct.records import json_line

_KINDS: dict[str, type] = {
    "request": int, "seed_ids": list, "parent_ids": list, "depth": int, "text": str, "finish_reason": str,
    "prompt_tokens": int, "completion_tokens": int,
}  # fmt: skip
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A completion with the plan of its prompt: what was shown, the hash of the text, and the depth of what comes of it."""

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

    @classmethod
    def of(cls, prompt: Prompt, completion: Completion) -> "Entry":
        """The entry of a prompt's completion."""
        plan: dict[str, Any] = {"seed_ids": prompt.seed_ids, "parent_ids": prompt.parent_ids, "depth": prompt.depth}
        return cls(**plan, prompt_sha256=prompt.sha256, **asdict(completion))

    @property
    def number(self) -> int:
        """The number of the block that the prompt left open."""
        return len(self.seed_ids) + len(self.parent_ids) + 1


class Journal:
    """The journal of a run directory, opened for appending. `entries` are those that were there, by request; errors after
    the last completion are left out, so that what a broken machine could not answer is asked for again.

    Raises `UserError` if another process has it open, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        except OSError as error:
            raise UserError(
                f"--batch_dir {folder}: cannot be written ({error.strerror}); give another directory"
            ) from None
        try:
            self._lock(folder)
            self.entries = _by_request(_recover(self.path))
        except UserError:
            self._file.close()
            raise

    def _lock(self, folder: Path) -> None:
        try:
            # Released by the system when the process ends, however it ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"--batch_dir {folder}: another launch is writing to it; wait for it to end, or give another directory"
            ) from None

    def append(self, entries: Iterable[Entry]) -> None:
        """Writes entries and returns when they are on disk."""
        self._file.write(b"".join(json_line(asdict(entry)) for entry in entries))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_journal(folder: Path) -> list[Entry]:
    """The entries of a run directory in request order, the directory left as it is. Raises `UserError` if there are none."""
    path = folder / JOURNAL
    if not path.is_file():
        raise UserError(f"{folder}: holds no {JOURNAL}; give the --batch_dir of a generation run")
    entries, _ = _read(path)
    return list(_by_request(entries).values())


def _by_request(entries: list[Entry]) -> dict[int, Entry]:
    """The entries in request order: of several for one request the first that is no error. Errors at the end are left out."""
    chosen: dict[int, Entry] = {}
    for entry in entries:
        if entry.request not in chosen or chosen[entry.request].finish_reason == "error":
            chosen[entry.request] = entry
    last = max((entry.request for entry in chosen.values() if entry.finish_reason != "error"), default=-1)
    return {request: chosen[request] for request in sorted(chosen) if request <= last}


def _recover(path: Path) -> list[Entry]:
    """The entries of the file, which loses a half-written last line."""
    entries, whole = _read(path)
    surplus = path.stat().st_size - whole
    if surplus:
        _log.warning("%s: cut off a half-written last line of %d bytes; its request is generated again", path, surplus)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    return entries


def _read(path: Path) -> tuple[list[Entry], int]:
    """All whole entries and how many bytes they take."""
    entries, whole = [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            entries.append(_entry(line, f"{path}:{number}"))
            whole += len(line)
    return entries, whole


def _entry(line: bytes, place: str) -> Entry:
    try:
        row = json.loads(line)
        values = {field.name: row[field.name] for field in fields(Entry)}
        wrong = [name for name, kinds in _KINDS.items() if not isinstance(values[name], kinds)]
        if wrong:
            raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
        return Entry(**values)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{place}: is not a journal entry ({type(error).__name__}: {error}); move the line to another file, and its "
            "request will be generated again"
        ) from None
