"""Crash-safe files: lines appended and synced to disk, and whole files replaced atomically.

A killed launch leaves at most a half-written last line, which is cut off when the file is opened again; lines that were
damaged in another way are moved to a quarantine file beside it.
"""

import errno
import logging
import os
import reprlib
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from self_instruct.errors import UserError, naming
from self_instruct.records import json_line
from self_instruct.runs.lock import Lock, open_alone
from self_instruct.user_files import LineError, NumberError, exact_json

Line = TypeVar("Line")
OUT_OF_RANGE = "out_of_range"
"""The reason of the LineError for a line with a number that is too large."""
_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_log = logging.getLogger(__name__)


class AppendedFile(Generic[Line]):
    """A file in a run directory, opened for appending. `found` has its existing lines, parsed by `read(line, place)`.

    Raises UserError if another process has it open, it cannot be written or is no regular file, or most of its lines are
    damaged.
    """

    def __init__(self, path: Path, read: Callable[[bytes, str], Line]) -> None:
        self.path = path
        try:
            make_folder(path.parent)
            self._lock = Lock(path.with_name(f"{path.name}.lock"))
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
            check_regular(path)
            self.found = self._recover(read) if path.exists() else []
            self._file = path.open("ab", buffering=0)
            _sync_folder(path.parent)
        except OSError as error:
            self._lock.release()
            raise _unwritable(path, error) from None
        except UserError:
            self._lock.release()
            raise

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows and return when they are on disk.

        Raises OSError if that fails (the file then still has whole lines only), if the file was moved or removed, or if another
        process has taken the lock.
        """
        content = memoryview(b"".join(map(json_line, rows)))
        if not content:
            return
        before = os.fstat(self._file.fileno()).st_size
        try:
            while content:
                content = content[self._file.write(content) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(before)
            raise OSError(error.errno, error.strerror, str(self.path)) from None
        self._check_place()

    def close(self) -> None:
        """Close the file and release its lock."""
        self._file.close()
        self._lock.release()

    def _check_place(self) -> None:
        """Raise OSError if the file was moved or removed: writes to it would succeed and be lost."""
        try:
            in_place = os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise OSError(
                errno.ESTALE,
                "was moved or removed while the launch was writing to it; put it back if it was moved",
                str(self.path),
            )
        self._lock.check()

    def _recover(self, read: Callable[[bytes, str], Line]) -> list[Line]:
        """Return the lines of the file; cut off a half-written last line, and move damaged lines to the quarantine file."""
        lines = read_lines(self.path, read, warn=False)
        surplus = self.path.stat().st_size - lines.whole
        if surplus:
            _log.warning(
                "%s: cut off a half-written last line of %d bytes; its request is generated again", self.path, surplus
            )
            with self.path.open("r+b") as file:
                file.truncate(lines.whole)
                os.fsync(file.fileno())
        if lines.damaged:
            moved_to = _quarantine(self.path, set(lines.damaged))
            _log.warning(
                "%s; they were moved to %s, and their requests are generated again", lines.summary(), moved_to
            )
        return lines.found


@dataclass(frozen=True)
class Lines(Generic[Line]):
    """The content of a file: its parsed lines, the bytes of all whole lines, and the errors of damaged lines by number."""

    path: Path
    found: list[Line]
    whole: int
    damaged: dict[int, LineError]

    def __len__(self) -> int:
        return len(self.damaged) + len(self.found)

    def summary(self) -> str:
        """Return how many lines are damaged, and the error of the first."""
        first = next(iter(self.damaged.values()))
        return f"{self.path}: {len(self.damaged)} of {len(self)} lines are damaged; {first}"


def check_regular(path: Path) -> None:
    """Raise UserError if the path is a pipe, a socket, a device or a directory.

    Reading one of these might never end, and what is written to it is lost.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: is not a regular file; move it away, or give another path")


def read_lines(path: Path, read: Callable[[bytes, str], Line], warn: bool = True) -> Lines[Line]:
    """Parse all whole lines with `read(line, place)`, which raises LineError for a damaged one. Does not change the file.

    With `warn`, damaged lines are logged. Raises UserError if more than half of the lines are damaged: it is then probably
    the wrong file. Lines with a number out of range are not counted, since the number may come from a server.
    """
    check_regular(path)
    found, whole, damaged = list[Line](), 0, dict[int, LineError]()
    with naming(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                found.append(read(line, f"{path}:{number}"))
            except LineError as error:
                damaged[number] = error
    lines = Lines(path, found, whole, damaged)
    if sum(error.reason != OUT_OF_RANGE for error in damaged.values()) > len(lines) / 2:
        raise UserError(
            f"{lines.summary()}. That is more than a crash would damage: was the file written by another version, or edited? "
            "Restore it, or give another directory"
        )
    if damaged and warn:
        _log.warning("%s; they are ignored", lines.summary())
    return lines


def _quarantine(path: Path, numbers: set[int]) -> Path:
    """Move lines to the quarantine file, and return its path. No line is lost if the process is killed meanwhile."""
    target = path.with_name(f"{path.stem}.quarantine{path.suffix}")
    with path.open("rb") as file:
        moved = b"".join(line for number, line in enumerate(file, start=1) if number in numbers)
    if not (target.exists() and target.read_bytes().endswith(moved)):  # a launch may have been killed after writing it
        with naming(target), target.open("ab") as file:
            file.write(moved)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    with path.open("rb") as old, closing(NewFile(path)) as new:
        for number, line in enumerate(old, start=1):
            if number not in numbers:
                new.write(line)
        new.publish()
    return target


def _unwritable(path: Path, error: OSError) -> Exception:
    """Return OSError for a full or failing disk, which is not the user's mistake, else UserError."""
    if error.errno in _FAILURES:
        return OSError(error.errno, error.strerror, error.filename or str(path))
    return UserError(f"--batch_dir {path.parent}: cannot be written ({error.strerror}); give another directory")


def make_folder(folder: Path) -> None:
    """Create a directory and its parents, and sync their names to disk.

    Without the sync, a power failure may remove a new directory with all its synced files. The name of `folder` is synced even
    if it exists, because another process may have just created it.
    """
    made = [path for path in folder.parents if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *made):
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync new and changed names in a directory to disk, if the file system supports it."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def line_reader(made: Callable[..., Line], kinds: Mapping[str, Any], what: str) -> Callable[[bytes, str], Line]:
    """Return a function that parses a line into the dataclass `made` and checks the types of the fields in `kinds`.

    It ignores unknown fields, uses the defaults of missing ones, and raises LineError for a line that is not `what`. Integers
    are counts, so a negative one is an error.
    """
    needed = {item.name: not _has_default(item) for item in fields(made)}  # type: ignore[arg-type]

    def read(line: bytes, place: str) -> Line:
        try:
            row = exact_json(line)
            values = {name: row[name] for name, needs in needed.items() if needs or name in row}
            wrong = [name for name, kind in kinds.items() if name in values and not _fits(values[name], kind)]
            if wrong:
                raise TypeError(f"{wrong[0]} is {reprlib.repr(values[wrong[0]])}")
            return made(**values)
        except NumberError as error:
            raise LineError(OUT_OF_RANGE, place, f"is not {what} ({error})") from None
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LineError("damaged", place, f"is not {what} ({type(error).__name__}: {error})") from None

    return read


def _fits(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is not int or (type(value) is int and value >= 0))


def _has_default(item: Field) -> bool:
    return item.default is not MISSING or item.default_factory is not MISSING


class NewFile:
    """A file written as `PATH.part` and moved to PATH by `publish`.

    Raises UserError if it cannot be written, or if another process is writing it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._part, self._published = path, path.with_name(f"{path.name}.part"), False
        try:
            make_folder(path.parent)
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "it is a directory" if path.is_dir() else "it is not a regular file")
            self._file = open_alone(self._part)
            self._file.truncate(0)
        except BlockingIOError:
            raise UserError(
                f"{path}: another process is writing it; wait for it to end, or give another path"
            ) from None
        except OSError as error:
            if error.errno in _FAILURES:
                raise
            raise UserError(f"{path}: cannot be written ({error.strerror}); give another path") from None

    def write(self, content: bytes) -> None:
        """Append to the file."""
        with naming(self.path):
            self._file.write(content)

    def publish(self) -> None:
        """Sync the file and move it to its path; a reader sees either the old content or the new."""
        with naming(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        self._part.replace(self.path)
        self._published = True
        _sync_folder(self.path.parent)

    def close(self) -> None:
        """Close the file, and remove it if it was not published."""
        if not self._published:
            self._part.unlink(missing_ok=True)
        with naming(self.path):
            self._file.close()


def put(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader sees either the old content or the new, even after a power failure.

    Raises UserError if it is no regular file: a pipe or device such as /dev/null would be replaced.
    """
    check_regular(path)
    part = path.with_name(f"{path.name}.part")
    try:
        with naming(path), part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_folder(path.parent)
