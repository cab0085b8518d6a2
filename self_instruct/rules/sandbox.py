"""Run Python programs that a model wrote, isolated and with limits.

A program runs as `nobody` in its own namespaces. It sees no network and no other process; its file system has only the
operating system's programs and libraries and the Python interpreter, read-only, and an empty folder in memory. `bubblewrap` or
`rules/isolation.py` creates the namespaces. A mode is used only after a program inside has confirmed the isolation. All
processes of a program end with it.
"""

import json
import math
import os
import platform
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from self_instruct.errors import UserError
from self_instruct.rules import isolation

MODES = ("auto", "bubblewrap", "namespaces", "none")
FINISHED, FAILED, TIMEOUT, OUTPUT = "finished", "failed", "timeout", "too_much_output"
_CLOCK = 10  # limit of the time by the clock, in multiples of the limit of CPU time
_CPU_USED = 128 + signal.SIGXCPU
_START_SECONDS = 60.0  # until the program starts; long, because the machine may be busy
_CHECK_SECONDS = 0.5  # between two looks at whether the sandbox was stopped
_SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/etc/ld.so.cache")
_OWN_COUNT = (5, 14)
"""The Linux version from which a user namespace counts its own processes."""


@dataclass(frozen=True)
class Limits:
    """The limits of a program, in bytes and seconds: `memory` of the address space of each process, `disk` of its folder.

    Each process has `seconds` of CPU time, in whole seconds, and the program ten times as long by the clock: it gets
    less than one core on a busy machine, and may also sleep.
    """

    seconds: float = 5.0
    memory: int = 512 << 20
    processes: int = 16
    files: int = 64
    file_size: int = 8 << 20
    disk: int = 32 << 20
    output: int = 64 << 10


@dataclass(frozen=True)
class ProgramResult:
    """How a program ended: `name` is finished (exit code 0), failed (another code), timeout or too_much_output.

    The code of a program that signal n ended is 128 + n. `output` is stdout and stderr, cut at the limit.
    """

    name: str
    code: int | None
    output: str
    seconds: float


class SandboxError(Exception):
    """The isolation failed, so the program did not run."""


class SandboxStopped(Exception):
    """The sandbox was stopped before the program ended by itself."""


@dataclass(frozen=True)
class Sandbox:
    """Runs programs in a `mode` other than auto. `run` may be called from several threads."""

    mode: str
    limits: Limits = field(default_factory=Limits)
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def stop(self) -> None:
        """End all programs; those that run and those that are started later raise SandboxStopped."""
        self._stopped.set()

    def run(self, program: str) -> ProgramResult:
        """Run a Python program to its end or to a limit. Raises SandboxError if it cannot be isolated."""
        request = {"program": program, "limits": self._rlimits(), "python": _python(), "isolated": self.mode != "none"}
        settings = {"mode": self.mode, "shown": _shown(), "disk": self.limits.disk}
        if self.mode == "bubblewrap":
            settings["command"] = _bubblewrap(self.limits.disk)
        with self._folder() as folder, tempfile.TemporaryFile() as given:
            given.write(json.dumps(request).encode())
            given.seek(0)
            command = [_python(), "-I", "-S", "-c", _source(), json.dumps(settings)]
            process = subprocess.Popen(
                command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={}, cwd=folder,
                start_new_session=True,
            )  # fmt: skip
            try:
                return self._wait(process)
            finally:
                # The process has not been waited for, so its number cannot belong to another one.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                assert process.stdout is not None
                process.stdout.close()

    def _wait(self, process: subprocess.Popen[bytes]) -> ProgramResult:
        """Collect the output until all processes that can write it have ended, or a limit is reached.

        The process is left for the caller to reap.
        """
        assert process.stdout is not None
        output, begun, deadline, name = bytearray(), time.monotonic(), time.monotonic() + _START_SECONDS, None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while name is None:
                if self._stopped.is_set():
                    raise SandboxStopped
                left = deadline - time.monotonic()
                ready = selector.select(max(0, min(left, _CHECK_SECONDS)))
                if not ready and left > _CHECK_SECONDS:
                    continue
                chunk = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
                if not output and chunk.startswith(isolation.READY):
                    begun = time.monotonic()
                    deadline = begun + _CLOCK * self.limits.seconds
                output += chunk
                if len(output) > self.limits.output:
                    name = OUTPUT
                elif not ready:
                    name = TIMEOUT
                elif not chunk:
                    break
        text = output[1 : self.limits.output + 1].decode("utf-8", "replace")
        if not output.startswith(isolation.READY):
            raise SandboxError(output.decode("utf-8", "replace").strip() or "the sandbox did not start")
        code = None if name else _exit_code(process, deadline)
        if name is None:
            name = TIMEOUT if code in (None, _CPU_USED) else FINISHED if code == 0 else FAILED
        return ProgramResult(name, code, text, time.monotonic() - begun)

    def _rlimits(self) -> dict[str, int]:
        limits = self.limits
        counts_all = self.mode == "none" or _version() < _OWN_COUNT
        return {
            "RLIMIT_CPU": math.ceil(limits.seconds), "RLIMIT_AS": limits.memory, "RLIMIT_NOFILE": limits.files,
            "RLIMIT_FSIZE": limits.file_size, "RLIMIT_CORE": 0,
            "RLIMIT_NPROC": limits.processes + (_own_tasks() if counts_all else 0),
        }  # fmt: skip

    @contextmanager
    def _folder(self) -> Iterator[str]:
        """Yield the working directory: an empty temporary one if nothing isolates the program, else the root."""
        if self.mode != "none":
            yield "/"
            return
        with tempfile.TemporaryDirectory(prefix="self-instruct-", ignore_cleanup_errors=True) as folder:
            yield folder


def _exit_code(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    """Wait until a process has ended, without reaping it. Return its exit code, or None at the deadline."""
    while True:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if found is not None:
            return found.si_status if found.si_code == os.CLD_EXITED else 128 + found.si_status
        if time.monotonic() > deadline:
            return None
        time.sleep(0.005)


def open_sandbox(wanted: str = "auto", limits: Limits | None = None) -> Sandbox:
    """Return a sandbox whose isolation was confirmed. Raises UserError if there is none; `auto` never chooses `none`."""
    limits = limits or Limits()
    if wanted == "none":
        return Sandbox("none", limits)
    # Started by root, bubblewrap keeps root as the user, whose number of processes Linux does not limit.
    best = ("namespaces", "bubblewrap") if os.geteuid() == 0 else ("bubblewrap", "namespaces")
    reasons = []
    for mode in best if wanted == "auto" else (wanted,):
        if (reason := _obstacle(mode)) is None:
            return Sandbox(mode, limits)
        reasons.append(f"{mode}: {reason}")
    raise UserError(
        f"--sandbox {wanted}: programs cannot be isolated here ({'; '.join(reasons)}). Install bubblewrap, or allow user "
        "namespaces. In a container or virtual machine with nothing to lose, --sandbox none runs them without isolation"
    )


@cache
def _obstacle(mode: str) -> str | None:
    """Return why a mode does not isolate programs here, or None. To find out, run a program that tries to escape."""
    if not sys.platform.startswith("linux"):
        return f"it needs Linux, but this is {sys.platform}"
    if mode == "bubblewrap" and shutil.which("bwrap") is None:
        return "bwrap is not installed"
    limits = Limits(seconds=10)
    try:
        result = Sandbox(mode, limits).run(_PROBE.format(folder=str(Path.cwd()), processes=limits.processes + 1))
    except SandboxError as error:
        return " ".join(str(error).split())[:300]
    return None if result.name == FINISHED else " ".join(result.output.split())[-300:] or result.name


_PROBE = """
import os, socket, sys, time
if [name for _, name in socket.if_nameindex() if name != "lo"]:
    sys.exit("the network is visible")
if os.getpid() > 9:
    sys.exit("other processes are visible")
if os.path.exists({folder!r}) and {folder!r} != "/" or os.access("/usr", os.W_OK):
    sys.exit("files are visible")
try:
    for _ in range({processes}):
        if os.fork() == 0:
            time.sleep(60)
except BlockingIOError:
    sys.exit(0)
sys.exit("the number of processes is not limited")
"""


def _python() -> str:
    """Return the path of the interpreter, without the link of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@cache
def _source() -> str:
    return Path(isolation.__file__).read_text(encoding="utf-8")


@cache
def _shown() -> tuple[str, ...]:
    """Return the paths that a program can read: those of the system, and the interpreter with its library."""
    prefix = os.path.realpath(sys.base_prefix)
    own = (os.path.dirname(_python()), *(os.path.join(prefix, name) for name in ("lib", "lib64")))
    paths = [path for path in (*_SYSTEM, *own) if os.path.lexists(path)]
    return tuple(
        path for path in dict.fromkeys(paths) if path in _SYSTEM or not path.startswith(("/usr/", *_SYSTEM[5:7]))
    )


def _bubblewrap(disk: int) -> list[str]:
    shown: Sequence[Sequence[str]] = [
        ("--symlink", os.readlink(path), path) if os.path.islink(path) else ("--ro-bind", path, path)
        for path in _shown()
    ]
    devices = [("--dev-bind", f"/dev/{name}", f"/dev/{name}") for name in isolation.DEVICES]
    user = str(isolation.NOBODY)
    return [
        shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--uid", user, "--gid", user, "--cap-drop", "ALL", "--clearenv",
        *(word for words in (*shown, *devices) for word in words),
        "--size", str(disk), "--tmpfs", "/work", "--symlink", "work", "/tmp", "--remount-ro", "/", "--chdir", "/work",
        _python(), "-I", "-S", "-c", _source(), json.dumps({"mode": "inside"}),
    ]  # fmt: skip


def _version() -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])


def _own_tasks() -> int:
    """Return the number of tasks of this user. On older kernels and with `none`, they all count towards the limit."""
    count = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            count += len(os.listdir(path / "task")) if path.stat().st_uid == os.getuid() else 0
        except OSError:
            continue  # the process has ended
    return count
