"""Find the processes of a running launch in /proc."""

import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the children of a process, oldest first."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(place.parent.name))
    return sorted(found)


def family(pid: int) -> list[int]:
    """Return all descendants of a process."""
    return [member for child in children(pid) for member in (child, *family(child))]


def generating(pid: int) -> int | None:
    """Return the generating child of rank 0's process."""
    for child in children(pid):
        try:
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        except OSError:
            continue
    return None


def wait_until(condition, seconds: float = 600.0):
    """Wait for a condition, and return its first true value. Looking takes at most a fifth of the time."""
    deadline = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        if value := condition():
            return value
        assert begun < deadline, "it did not come to this"
        time.sleep(max(0.02, 4 * (time.monotonic() - begun)))


def alive(pids: list[int]) -> list[int]:
    """Return the processes of a list that still run."""
    running = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        running += [pid] if state != "Z" else []
    return running


def rank_of(pid: int) -> int:
    """Return the rank of a process."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return int(next(item for item in variables if item.startswith(b"RANK=")).partition(b"=")[2])
