"""Files that survive whatever ends a process: lines appended and synced to disk, and whole files put in place in one step.

A launch that was killed leaves at most a half-written last line, which is cut off when the file is opened again. Knows
nothing of what the lines mean.
"""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from self_instruct.errors import UserError
from self_instruct.records import json_line

Line = TypeVar("Line")
_log = logging.getLogger(__name__)


class AppendedFile(Generic[Line]):
    """A file in a run directory, opened for appending. `found` are the lines that were there, as `read(line, place)` gives
    them.

    Raises `UserError` if another process has it open, it cannot be written, or `read` raises it.
    """

    def __init__(self, path: Path, read: Callable[[bytes, str], Line]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            raise UserError(
                f"--batch_dir {path.parent}: cannot be written ({error.strerror}); give another directory"
            ) from None
        try:
            self._lock()
            self.found = self._recover(read)
        except UserError:
            self._file.close()
            raise

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Writes rows and returns when they are on disk."""
        self._file.write(b"".join(map(json_line, rows)))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _lock(self) -> None:
        try:
            # Released by the system when the process ends, however it ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"--batch_dir {self.path.parent}: another launch is writing to it; wait for it to end, or give another "
                "directory"
            ) from None

    def _recover(self, read: Callable[[bytes, str], Line]) -> list[Line]:
        """The lines of the file, which loses a half-written last one."""
        found, whole = read_lines(self.path, read)
        surplus = self.path.stat().st_size - whole
        if surplus:
            _log.warning(
                "%s: cut off a half-written last line of %d bytes; its request is generated again", self.path, surplus
            )
            with self.path.open("r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        return found


def read_lines(path: Path, read: Callable[[bytes, str], Line]) -> tuple[list[Line], int]:
    """All whole lines, as `read(line, place)` gives them, and how many bytes they take. The file is left as it is."""
    found, whole = [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            found.append(read(line, f"{path}:{number}"))
            whole += len(line)
    return found, whole


def line_reader(made: Callable[..., Line], kinds: Mapping[str, Any], what: str) -> Callable[[bytes, str], Line]:
    """What reads a line as an object of the dataclass `made`, some of whose fields are checked to be of certain types.

    It passes over what the class has no field for, and raises `UserError` for a line that is not `what`. Fields with a default
    may be absent.
    """
    names = {item.name: _has_default(item) for item in fields(made)}  # type: ignore[arg-type]

    def read(line: bytes, place: str) -> Line:
        try:
            row = json.loads(line)
            values = {name: row[name] for name, optional in names.items() if name in row or not optional}
            wrong = [name for name, kind in kinds.items() if name in values and not isinstance(values[name], kind)]
            if wrong:
                raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
            return made(**values)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{place}: is not {what} ({type(error).__name__}: {error}); move the line to another file, and its request "
                "will be generated again"
            ) from None

    return read


def _has_default(item: Field) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


class NewFile:
    """A file written beside its place, `PATH.part`, and put there by `publish`. Raises `UserError` if it cannot be written, or
    another process is writing it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._part, self._published = path, path.with_name(f"{path.name}.part"), False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a directory")
            self._open()
        except BlockingIOError:
            raise UserError(
                f"{path}: another process is writing it; wait for it to end, or give another path"
            ) from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            raise UserError(f"{path}: cannot be written ({error.strerror}); give another path") from None

    def write(self, content: bytes) -> None:
        """Appends to the file."""
        self._file.write(content)

    def publish(self) -> None:
        """Puts the file in its place, on disk; whoever reads there sees the old content or the new."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self.path)
        self._published = True

    def close(self) -> None:
        """Ends the writing; what was not published is removed."""
        if not self._published:
            self._part.unlink(missing_ok=True)
        self._file.close()

    def _open(self) -> None:
        while True:
            self._file = self._part.open("ab")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._part)):
                    self._file.truncate(0)
                    return
            except FileNotFoundError:
                pass  # what was locked was put in place meanwhile: not ours to write
            except OSError:
                self._file.close()
                raise
            self._file.close()


def put(path: Path, content: bytes) -> None:
    """Writes a file in one step: whoever reads it sees the old content or the new."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
