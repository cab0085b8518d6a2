"""Files that survive whatever ends a process: lines appended and synced to disk, and whole files put in place in one step.

A launch that was killed leaves at most a half-written last line, which is cut off when the file is opened again; lines that
were damaged otherwise are moved to a file beside it. Knows nothing of what the lines mean.
"""

import errno
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from self_instruct.errors import UserError
from self_instruct.records import json_line
from self_instruct.runs.lock import Lock, open_alone
from self_instruct.user_files import LineError

Line = TypeVar("Line")
_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_log = logging.getLogger(__name__)


class AppendedFile(Generic[Line]):
    """A file in a run directory, opened for appending. `found` are the lines that were there, as `read(line, place)` gives
    them.

    Raises `UserError` if another process has it open, it cannot be written, or most of its lines are damaged.
    """

    def __init__(self, path: Path, read: Callable[[bytes, str], Line]) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(path.with_name(f"{path.name}.lock"))
        except OSError as error:
            raise _unwritable(path, error) from None
        try:
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
        """Writes rows and returns when they are on disk. Raises `OSError` if that fails, with the file's lines whole, or if the
        file is no longer in its place, or no longer this process's to write.
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
        """Closes the file, and lets others write to it."""
        self._file.close()
        self._lock.release()

    def _check_place(self) -> None:
        """What a process writes to a file that was removed is lost with it, and no write says so."""
        try:
            in_place = os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise OSError(
                errno.ESTALE,
                "was moved or removed while the launch wrote to it; put it back if it was moved",
                str(self.path),
            )
        self._lock.check()

    def _recover(self, read: Callable[[bytes, str], Line]) -> list[Line]:
        """The lines of the file, which loses a half-written last one, and damaged ones to the file beside it."""
        lines = read_lines(self.path, read, told=False)
        surplus = self.path.stat().st_size - lines.whole
        if surplus:
            _log.warning(
                "%s: cut off a half-written last line of %d bytes; its request is generated again", self.path, surplus
            )
            with self.path.open("r+b") as file:
                file.truncate(lines.whole)
                os.fsync(file.fileno())
        if lines.damaged:
            place = _quarantine(self.path, set(lines.damaged))
            _log.warning("%s; they were moved to %s, and what they held is generated again", lines.told(), place)
        return lines.found


@dataclass(frozen=True)
class Lines(Generic[Line]):
    """What a file holds: its lines as they were read, how many bytes all whole lines take, and what is wrong with those that
    could not be read, by number.
    """

    path: Path
    found: list[Line]
    whole: int
    damaged: dict[int, LineError]

    def told(self) -> str:
        """How many lines are damaged, and how the first."""
        first = next(iter(self.damaged.values()))
        return f"{self.path}: {len(self.damaged)} of {len(self.damaged) + len(self.found)} lines are damaged; {first}"


def read_lines(path: Path, read: Callable[[bytes, str], Line], told: bool = True) -> Lines[Line]:
    """All whole lines, as `read(line, place)` gives them, but for those that it raises `LineError` for; with `told` these are
    logged. The file is left as it is.

    Raises `UserError` if more lines are damaged than not: then it is another file than was meant.
    """
    found, whole, damaged = list[Line](), 0, dict[int, LineError]()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                found.append(read(line, f"{path}:{number}"))
            except LineError as error:
                damaged[number] = error
    lines = Lines(path, found, whole, damaged)
    if len(damaged) > len(found):
        raise UserError(
            f"{lines.told()}. So many are no accident: was the file written by another version, or edited? Restore it, or give "
            "another directory"
        )
    if damaged and told:
        _log.warning("%s; they are left out", lines.told())
    return lines


def _quarantine(path: Path, numbers: set[int]) -> Path:
    """Moves lines of a file to one beside it, which it returns. Whatever ends it, no line is lost."""
    place = path.with_name(f"{path.stem}.quarantine{path.suffix}")
    with path.open("rb") as file:
        moved = b"".join(line for number, line in enumerate(file, start=1) if number in numbers)
    if not (place.exists() and place.read_bytes().endswith(moved)):  # as a launch that was killed here left it
        with place.open("ab") as file:
            file.write(moved)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
    with path.open("rb") as old, closing(NewFile(path)) as new:
        for number, line in enumerate(old, start=1):
            if number not in numbers:
                new.write(line)
        new.publish()
    return place


def _unwritable(path: Path, error: OSError) -> Exception:
    """What cannot be written for want of room is no mistake."""
    if error.errno in _FAILURES:
        return OSError(error.errno, error.strerror, str(path))
    return UserError(f"--batch_dir {path.parent}: cannot be written ({error.strerror}); give another directory")


def _sync_folder(folder: Path) -> None:
    """Sees to it that names that were given or changed in a directory are on disk; not all file systems can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def line_reader(made: Callable[..., Line], kinds: Mapping[str, Any], what: str) -> Callable[[bytes, str], Line]:
    """What reads a line as an object of the dataclass `made`, some of whose fields are checked to be of certain types.

    It passes over what the class has no field for, takes the default of a field that the line has not, and raises `LineError`
    for a line that is not `what`.
    """
    needed = {item.name: not _has_default(item) for item in fields(made)}  # type: ignore[arg-type]

    def read(line: bytes, place: str) -> Line:
        try:
            row = json.loads(line)
            values = {name: row[name] for name, needs in needed.items() if needs or name in row}
            wrong = [name for name, kind in kinds.items() if name in values and not isinstance(values[name], kind)]
            if wrong:
                raise TypeError(f"{wrong[0]} is {values[wrong[0]]!r}")
            return made(**values)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise LineError("damaged", place, f"is not {what} ({type(error).__name__}: {error})") from None

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
        """Appends to the file."""
        self._file.write(content)

    def publish(self) -> None:
        """Puts the file in its place, on disk; whoever reads there sees the old content or the new."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self.path)
        self._published = True
        _sync_folder(self.path.parent)

    def close(self) -> None:
        """Ends the writing; what was not published is removed."""
        if not self._published:
            self._part.unlink(missing_ok=True)
        self._file.close()


def put(path: Path, content: bytes) -> None:
    """Writes a file in one step: whoever reads it sees the old content or the new, also after the machine went down."""
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    _sync_folder(path.parent)
