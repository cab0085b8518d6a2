"""One writer at a time: a lock file beside the written file names the writer, and the system's lock on it decides.

The system releases the lock when the process ends in any way, also on NFS, where the file server holds it. A killed process
leaves the file behind, and the next launch reports who left it. On a file system without locks, or with locks per machine only,
the token in the file decides: a process that finds another token there must stop writing.
"""

import errno
import fcntl
import json
import logging
import os
import socket
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from self_instruct.errors import UserError

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock: its machine, its process id, when it took the lock, and a unique token."""

    host: str
    pid: int
    since: str
    token: str

    @classmethod
    def me(cls) -> "Holder":
        """Return this process as the holder, starting now."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(socket.gethostname(), os.getpid(), now, uuid.uuid4().hex)

    @classmethod
    def of(cls, path: Path) -> "Holder | None":
        """Return the holder named by a lock file, or None if there is none or it cannot be read."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether the holder is on this machine."""
        return self.host == socket.gethostname()

    @property
    def runs(self) -> bool:
        """Whether a process on this machine has the holder's process id."""
        try:
            os.kill(int(self.pid), 0)
        except ProcessLookupError:
            return False
        except (OSError, ValueError, TypeError, OverflowError):
            pass
        return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def open_alone(path: Path) -> BinaryIO:
    """Open a file for appending with an exclusive lock, or without one on a file system that has no locks.

    Raises BlockingIOError if another process holds the lock.
    """
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass  # the locked file was renamed or removed in the meantime; open the new one
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return file
            file.close()
            raise
        file.close()


class Lock:
    """The exclusive right to write in a directory, acquired by creating a lock file and given up by `release`.

    Raises UserError if another process still holds it after `seconds`, OSError if the file cannot be written.
    """

    def __init__(self, path: Path, seconds: float = 0) -> None:
        self._path, self._mine = path, Holder.me()
        self._lock = FileLock(path, timeout=seconds, thread_local=False, fallback_to_soft=False)
        try:
            self._lock.acquire()
            earlier = Holder.of(path)
        except Timeout:
            raise _refused(path, Holder.of(path)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            earlier = _without_locks(path)
        if earlier is not None:
            _log.warning("%s: was left by %s, which was killed or lost; this launch continues", path, earlier)
        try:
            path.write_bytes(json.dumps(asdict(self._mine)).encode() + b"\n")
        except OSError:
            self._lock.release()
            raise

    def check(self) -> None:
        """Raise OSError if another process has taken the lock, which is possible if locks do not reach other machines."""
        holder = Holder.of(self._path)
        if holder is not None and holder.token != self._mine.token:
            raise OSError(
                errno.EBUSY,
                f"another launch ({holder}) has started to write there; the locks of this file system do not reach it",
                str(self._path.parent),
            )

    def release(self) -> None:
        """Release the lock, and remove the file if it still names this process."""
        holder = Holder.of(self._path)
        if holder is not None and holder.token == self._mine.token:
            with suppress(OSError):
                self._path.unlink()
        self._lock.release()


def _without_locks(path: Path) -> Holder | None:
    """Return the earlier holder on a file system without locks. Raises UserError if it may still be running."""
    holder = Holder.of(path)
    if holder is not None and not (holder.is_here and not holder.runs):
        raise UserError(
            f"--batch_dir {path.parent}: another launch may be writing to it ({holder}), and this file system has no locks to "
            f"check; if that process has ended, remove {path}, else wait for it, or give another directory"
        )
    return holder


def _refused(path: Path, holder: Holder | None) -> UserError:
    who, more = f" ({holder})" if holder else "", ""
    if holder is not None and not holder.is_here:
        more = "; if that machine has crashed, the file server frees the lock within minutes"
    elif holder is not None and not holder.runs:
        more = f"; that process has ended, but a process that it started still has {path} open"
    return UserError(
        f"--batch_dir {path.parent}: another launch is writing to it{who}; wait for it to end, or give another directory{more}"
    )
