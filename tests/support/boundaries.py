"""Kill a process at a write boundary: before, during or after the n-th write or sync of a file.

A boundary is `FILE:OPERATION:N:PHASE`, such as `completions.jsonl:write:3:middle`; separate several by commas.
Operations are system calls: every write to a file in the run's folder passes here unbuffered. As a script, it runs a
real command:

    python tests/support/boundaries.py FOLDER PLACE SIGNAL SCRIPT ARGUMENTS...
"""

import io
import os
import runpy
import sys
from collections import Counter
from functools import partial
from pathlib import Path

GONE = 0  # instead of a signal: the folder is moved away, to FOLDER.gone
LIST = "list"  # instead of a place: every boundary is written to a file beside the folder
_open, _fsync, _replace = io.open, os.fsync, os.replace


class Boundaries:
    """Count the operations on the files of a folder, and send the process a signal at given boundaries."""

    def __init__(self, folder: Path, place: str, number: int) -> None:
        self.folder, self.points, self.number = str(folder.resolve()), place.split(","), number
        self._seen: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        """Start watching."""
        io.open = open_watched = self._opened
        sys.modules["builtins"].open = open_watched
        os.fsync, os.replace = self._synced, self._replaced

    def step(self, name: str, operation: str, *acts) -> None:
        """Perform one operation in one or two steps, with the signal before, between or after them at a given
        boundary.
        """
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
        return isinstance(path, str | os.PathLike) and os.path.dirname(os.path.abspath(path)) == self.folder

    def _opened(self, file, mode="r", buffering=-1, *args, **more):
        if not self._inside(file) or "b" not in mode or not set(mode) & set("wa+x"):
            return _open(file, mode, buffering, *args, **more)
        raw = _Watched(self, os.path.abspath(file), mode.replace("b", ""))
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def _synced(self, number):
        path = os.readlink(f"/proc/self/fd/{number}") if isinstance(number, int) else ""
        if not self._inside(path):
            return _fsync(number)
        self.step(os.path.basename(path), "sync", lambda: _fsync(number))
        return None

    def _replaced(self, source, target):
        if not self._inside(target):
            return _replace(source, target)
        self.step(os.path.basename(target), "replace", lambda: _replace(source, target))
        return None


class _Watched(io.FileIO):
    """A file each of whose writes is a boundary."""

    def __init__(self, boundaries: Boundaries, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self._boundaries, self._name = boundaries, os.path.basename(path)

    def write(self, content):
        content = bytes(content)
        parts = content[: len(content) // 2], content[len(content) // 2 :]
        self._boundaries.step(self._name, "write", *(partial(self._whole, part) for part in parts))
        return len(content)

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
