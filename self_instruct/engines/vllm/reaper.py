"""End vLLM's processes when the process that started them ends, however it ends.

vLLM's engine process outlives a parent that was killed and keeps its GPU. So a small process of our own waits at a pipe that
closes with the parent, and then kills every process whose environment holds a mark. Needs /proc, as vLLM's GPU builds do.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

MARK = "SELF_INSTRUCT_VLLM_MARK"
_CLOSE_SECONDS = 10.0


class Reaper:
    """Kills the processes that carry `mark` when this process ends.

    A process carries the mark if it was started with the environment variable MARK set to `mark`.
    """

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self._watched: set[int] = set()
        # Outside of our process group: a terminal's Ctrl-C must not end it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, self.mark], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch(self) -> None:
        """Remember the marked processes that are running now, for `lost`."""
        self._watched = set(marked(self.mark))

    def lost(self) -> bool:
        """Return whether a watched process has ended."""
        return not self._watched <= set(marked(self.mark))

    def close(self) -> None:
        """Kill the marked processes now, and wait until they are gone."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_SECONDS)


def marked(mark: str) -> list[int]:
    """Return the ids of the processes that were started with the mark.

    multiprocessing's resource tracker is left out: it ends by itself, after it has removed their shared memory.
    """
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            tracker = b"resource_tracker" in (folder / "cmdline").read_bytes()
            if not tracker and wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def _kill_at_end(mark: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    while found := marked(mark):  # a process that is being killed may just have started another one
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    _kill_at_end(sys.argv[1])
