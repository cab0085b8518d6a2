"""End vLLM's processes when the process that started them ends, however it ends.

vLLM's engine process outlives a parent that was killed and keeps its GPU. So a small process of our own waits at a pipe that
closes with the parent, and then kills every process whose standard output is vLLM's output file. A mark in their environment
would not work: setproctitle, with which vLLM names its processes, overwrites it. Needs /proc, as vLLM's GPU builds do.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_CLOSE_SECONDS = 10.0


class Reaper:
    """Kills the processes that write to the file with the descriptor `output` when this process ends."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._watched: set[int] = set()
        # Outside of our process group: a terminal's Ctrl-C must not end it. Its standard error is the file, which tells it
        # whom to kill.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=output,
            start_new_session=True,
        )  # fmt: skip

    def watch(self) -> None:
        """Remember the processes that write to the file now, for `lost`."""
        self._watched = set(writers(self._output))

    def lost(self) -> bool:
        """Return whether a watched process has ended."""
        return not self._watched <= set(writers(self._output))

    def close(self) -> None:
        """Kill the processes now, and wait until they are gone."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_SECONDS)


def writers(output: int) -> list[int]:
    """Return the ids of the processes whose standard output is the file that is open as `output`.

    multiprocessing's resource tracker is left out: it ends by itself, after it has removed their shared memory.
    """
    file, found = os.fstat(output), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            writes = os.path.samestat((folder / "fd" / "1").stat(), file)
            if writes and b"resource_tracker" not in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def _kill_at_end() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    while found := writers(sys.stderr.fileno()):  # a process that is being killed may just have started another one
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    _kill_at_end()
