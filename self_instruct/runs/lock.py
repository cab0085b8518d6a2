"""One writer at a time: a lock file beside what is written says who that is, and the system's lock on it decides.

The lock ends with the process, however that ends, also on NFS, where the file server keeps it; the file stays behind then, and
the next launch says whose it was. Where a file system has no locks, or keeps them to each machine, the name in the file is all
there is: whoever finds another name there has lost the right to write.
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
    """The process that holds a lock: the machine, its number there, when it took the lock, and a name that no other has."""

    host: str
    pid: int
    since: str
    token: str

    @classmethod
    def me(cls) -> "Holder":
        """This process, from now on."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(socket.gethostname(), os.getpid(), now, uuid.uuid4().hex)

    @classmethod
    def of(cls, path: Path) -> "Holder | None":
        """Whom a lock file names, or None where it names nobody."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def runs(self) -> bool:
        """Whether a process of this machine has its number."""
        try:
            os.kill(int(self.pid), 0)
        except ProcessLookupError:
            return False
        except (OSError, ValueError):
            pass
        return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def open_alone(path: Path) -> BinaryIO:
    """Opens a file for appending, for as long as no other process has opened it so. Raises `BlockingIOError` if one has."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass  # what was locked was put in place or removed meanwhile: not ours to write
        except OSError:
            file.close()
            raise
        file.close()


class Lock:
    """The right to write in a directory, taken by making a file there and given up by `release`.

    Raises `UserError` if another process has it, `OSError` if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._mine = path, Holder.me()
        self._lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
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
            _log.warning("%s: is left from %s, which was killed or lost; this launch goes on", path, earlier)
        try:
            path.write_bytes(json.dumps(asdict(self._mine)).encode() + b"\n")
        except OSError:
            self._lock.release()
            raise

    def check(self) -> None:
        """Raises `OSError` if another process has taken over, which only where locks do not reach other machines it can."""
        holder = Holder.of(self._path)
        if holder is not None and holder.token != self._mine.token:
            raise OSError(
                errno.EBUSY,
                f"another launch ({holder}) has begun to write there, on a file system whose locks do not reach it",
                str(self._path.parent),
            )

    def release(self) -> None:
        """Gives up the right, and removes the file if it is still this one's."""
        holder = Holder.of(self._path)
        if holder is not None and holder.token == self._mine.token:
            with suppress(OSError):
                self._path.unlink()
        self._lock.release()


def _without_locks(path: Path) -> Holder | None:
    """Who held a lock before, on a file system without locks. Raises `UserError` if that one may still be there."""
    holder = Holder.of(path)
    if holder is not None and not (holder.is_here and not holder.runs):
        raise UserError(
            f"--batch_dir {path.parent}: another launch may be writing to it ({holder}), and this file system has no locks by "
            f"which to tell; if that process has ended, remove {path}, else wait for it, or give another directory"
        )
    return holder


def _refused(path: Path, holder: Holder | None) -> UserError:
    who, more = f" ({holder})" if holder else "", ""
    if holder is not None and not holder.is_here:
        more = "; if that machine has crashed, the file server frees the lock within minutes"
    elif holder is not None and not holder.runs:
        more = f"; that process has ended, but one that it started still has {path} open"
    return UserError(
        f"--batch_dir {path.parent}: another launch is writing to it{who}; wait for it to end, or give another directory{more}"
    )
