"""Simulate a power failure: of the recorded operations of a command, only what was synced is sure to survive.

This is the weakest guarantee that POSIX gives. Content survives up to the last fsync of its file; of later writes, none, all or
a part survives. A new, renamed or removed name survives if its directory was synced afterwards. Of later changes of names,
either the first few survive (`ORDERED`), or any of them (`REORDERED`). Renames stay atomic.
"""

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ORDERED, REORDERED = "names in order", "names in any order"


@dataclass
class _File:
    """A file: its current content, the synced content, and the content after each later write."""

    now: bytes = b""
    synced: bytes = b""
    later: list[bytes] = field(default_factory=list)

    def change(self, content: bytes) -> None:
        self.now = content
        self.later.append(content)

    def sync(self) -> None:
        self.synced, self.later = self.now, []

    def survivor(self, rng: random.Random) -> bytes:
        """Return a content that may survive: the synced one, or that of a later write, whole, cut or with zeros at its end."""
        if not self.later:
            return self.synced
        content = rng.choice([self.synced, *self.later])
        same = next((at for at, (a, b) in enumerate(zip(content, self.synced, strict=False)) if a != b), None)
        kept = len(self.synced) if same is None else 0
        if len(content) <= kept or rng.random() < 0.5:
            return content
        cut = rng.randint(kept, len(content))
        return content[:cut] + (b"\0" * (len(content) - cut) if rng.random() < 0.3 else b"")


_FOLDER = _File()
Name = dict[str, _File | None]


class Disk:
    """The state of a directory while recorded operations are applied, and the part of it that is sure to survive."""

    def __init__(self, folder: Path) -> None:
        self.names: dict[str, _File] = {}
        for path in sorted(folder.rglob("*")):
            content = b"" if path.is_dir() else path.read_bytes()
            self.names[str(path.relative_to(folder))] = _FOLDER if path.is_dir() else _File(content, content)
        self.safe, self.pending = dict(self.names), list[Name]()

    def apply(self, operation: str, path: str, *more) -> None:
        """Apply one recorded operation."""
        if operation == "sync_folder":
            inside = [change for change in self.pending if any(_parent(name) == path for name in change)]
            for change in inside:
                self.pending.remove(change)
                _rename(self.safe, change)
        elif operation == "sync":
            self.names[path].sync()
        elif operation in ("write", "truncate"):
            file = self.names[path]
            before = file.now.ljust(more[0], b"\0")
            data = base64.b64decode(more[1]) if operation == "write" else b""
            file.change(before[: more[0]] + data + (before[more[0] + len(data) :] if operation == "write" else b""))
        elif operation == "open":
            if path not in self.names:
                self._name({path: _File()})
            elif more[0] and self.names[path].now:
                self.names[path].change(b"")
        elif operation == "replace":
            self._name({path: None, more[0]: self.names[path]})
        else:
            self._name({path: _FOLDER if operation == "mkdir" else None})

    def _name(self, change: Name) -> None:
        _rename(self.names, change)
        self.pending.append(change)

    def survivors(self, rng: random.Random, mode: str) -> dict[str, bytes | None]:
        """Return a possible content of the disk after a power failure, by path; None for a directory."""
        if mode == ORDERED:
            kept = self.pending[: rng.randint(0, len(self.pending))]
        else:
            kept = [change for change in self.pending if rng.random() < 0.5]
        names = dict(self.safe)
        for change in kept:
            _rename(names, change)
        contents = {path: None if file is _FOLDER else file.survivor(rng) for path, file in names.items()}
        return {path: contents[path] for path in sorted(names) if _reachable(path, names)}


def _rename(names: dict[str, _File], change: Name) -> None:
    for path, file in change.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _reachable(path: str, names: dict[str, _File]) -> bool:
    parent = _parent(path)
    return parent == "." or (parent in names and _reachable(parent, names))


def recorded(path: Path) -> list[list]:
    """Return the operations that `tests.support.boundaries` recorded."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def failed(
    folder: Path, operations: Sequence[list], after: int, rng: random.Random, mode: str
) -> tuple[dict[str, bytes | None], dict[str, bytes]]:
    """Return what survives a power failure after this many operations on `folder`, and the synced content of each file."""
    disk = Disk(folder)
    for operation in operations[:after]:
        disk.apply(*operation)
    synced = {path: file.synced for path, file in disk.names.items() if file is not _FOLDER}
    return disk.survivors(rng, mode), synced


def restore(folder: Path, contents: dict[str, bytes | None]) -> None:
    """Write the surviving files into an empty directory."""
    for path, content in contents.items():
        if content is None:
            (folder / path).mkdir(exist_ok=True)
        else:
            (folder / path).write_bytes(content)
