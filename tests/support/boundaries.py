"""Kill a process at a write boundary: before, during or after the n-th write or sync of a file.

A boundary is `FILE:OPERATION:N:PHASE`, such as `completions.jsonl:write:3:middle`; separate several by commas. FILE is the
path in the folder. Operations are system calls, because files below the folder are written unbuffered. With `RECORD` as the
place, nothing is killed, and all operations are recorded for `tests.support.power`. As a script, this runs a real command:

    python tests/support/boundaries.py FOLDER PLACE SIGNAL SCRIPT ARGUMENTS...
"""

import base64
import io
import json
import os
import runpy
import sys
from collections import Counter
from functools import partial
from pathlib import Path

GONE = 0  # instead of a signal: the folder is moved away, to FOLDER.gone
LIST = "list"  # instead of a place: every boundary is written to a file beside the folder
RECORD = "record"  # instead of a place: every operation and its content is written to a file beside the folder
_open, _fsync, _mkdir = io.open, os.fsync, os.mkdir


class Boundaries:
    """Count the operations on the files of a folder, and send the process a signal at given boundaries."""

    def __init__(self, folder: Path, place: str, number: int) -> None:
        self.folder, self.points, self.number = str(folder.resolve()), place.split(","), number
        self._seen: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        """Start watching."""
        io.open = open_watched = self._opened
        sys.modules["builtins"].open = open_watched
        os.fsync, os.mkdir = self._synced, self._made
        os.replace = partial(self._moved, os.replace, "replace")
        os.rename = partial(self._moved, os.rename, "replace")
        os.unlink = partial(self._moved, os.unlink, "unlink")

    def record(self, operation: str, path: str, *more: object) -> None:
        """Append an operation, with the path in the folder, to the recording if one is made."""
        if self.points == [RECORD]:
            with _open(f"{self.folder}.recorded", "a") as file:
                file.write(json.dumps([operation, os.path.relpath(path, self.folder), *more]) + "\n")

    def step(self, name: str, operation: str, *acts) -> None:
        """Perform one operation in one or two steps, with the signal before, between or after them at a given
        boundary.
        """
        if name.startswith("logs/"):  # no output depends on a log
            for act in acts:
                act()
            return
        name = name.removesuffix(".part")
        self._seen[name, operation] += 1
        here = f"{name}:{operation}:{self._seen[name, operation]}"
        phases = ("before", "middle", "after") if len(acts) == 2 else ("before", "after")
        if self.points == [LIST]:
            with _open(f"{self.folder}.boundaries", "a") as file:
                file.writelines(f"{here}:{phase}\n" for phase in phases)
        for phase, act in zip(phases, (*acts, None), strict=True):
            if f"{here}:{phase}" in self.points:
                self._strike()
            if act is not None:
                act()

    def _strike(self) -> None:
        if self.number == GONE:
            os.rename(self.folder, f"{self.folder}.gone")
        else:
            os.kill(os.getpid(), self.number)

    def _inside(self, path) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        return os.path.abspath(path).startswith(f"{self.folder}/")

    def name(self, path) -> str:
        """Return the path of a file relative to the folder."""
        return os.path.relpath(path, self.folder)

    def _opened(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *args, **more):
        if not self._inside(file) or not set(mode) & set("wax+") or (self.points != [RECORD] and "b" not in mode):
            return _open(file, mode, buffering, encoding, errors, newline, *args, **more)
        raw = _Watched(self, os.path.abspath(file), mode.replace("b", "").replace("t", ""))
        self.record("open", os.path.abspath(file), "w" in mode)
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return (
            buffer if "b" in mode else io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline, buffering == 1)
        )

    def _synced(self, number):
        path = os.readlink(f"/proc/self/fd/{number}") if isinstance(number, int) else ""
        if os.path.isdir(path) or not self._inside(path):
            _fsync(number)
            if path == self.folder or self._inside(path):
                self.record("sync_folder", path)
            return
        self.step(self.name(path), "sync", lambda: _fsync(number))
        self.record("sync", path)

    def _moved(self, act, operation, path, *more, **options):
        last = os.path.abspath(more[0] if more else path)
        if not self._inside(last) or options.get("dir_fd") is not None:
            return act(path, *more, **options)
        self.step(self.name(last), operation, lambda: act(path, *more, **options))
        self.record(operation, os.path.abspath(path), self.name(last))
        return None

    def _made(self, path, *more, **options):
        _mkdir(path, *more, **options)
        if self._inside(path):
            self.record("mkdir", os.path.abspath(path))


class _Watched(io.FileIO):
    """A file each of whose writes is a boundary."""

    def __init__(self, boundaries: Boundaries, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self._boundaries, self._path = boundaries, path

    def write(self, content):
        content = bytes(content)
        parts = content[: len(content) // 2], content[len(content) // 2 :]
        name = self._boundaries.name(self._path)
        self._boundaries.step(name, "write", *(partial(self._whole, part) for part in parts))
        begin = self.tell() - len(content)
        self._boundaries.record("write", self._place(), begin, base64.b64encode(content).decode())
        return len(content)

    def truncate(self, size=None):
        size = super().truncate(size)
        self._boundaries.record("truncate", self._place(), size)
        return size

    def _place(self) -> str:
        """Return the current path of the file, which may have been renamed."""
        return os.readlink(f"/proc/self/fd/{self.fileno()}")

    def _whole(self, content: bytes) -> None:
        while content:
            content = content[super().write(content) :]


def watched(folder: str, place: str, number: int, script: str, *arguments: str) -> None:
    """Run a launch script with a signal at a boundary."""
    Boundaries(Path(folder), place, number).begin()
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    watched(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
