"""Isolate a process and run a program in it. `rules/sandbox.py` starts this source as `python -I -S -c SOURCE`.

It imports no module of this package, because inside the sandbox only the standard library is visible. The settings are JSON in
argv, the limits and the program are JSON on stdin. When everything is isolated, it writes the byte `READY` to stdout, which the
output of the program follows. If the isolation fails, it writes a message without that byte.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

READY = b"\x06"
NOBODY = 65534
_BIND, _REMOUNT, _RECURSIVE, _PRIVATE, _DETACH = 4096, 32, 16384, 1 << 18, 2
_READ_ONLY, _NO_SETUID, _NO_DEVICES = 1, 2, 4
_USER, _MOUNT, _PROCESS, _NETWORK, _IPC, _HOST = 1 << 28, 1 << 17, 1 << 29, 1 << 30, 1 << 27, 1 << 26
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_DEATH_SIGNAL, _DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38
DEVICES = ("null", "zero", "full", "random", "urandom")
_NEW_ROOT = "/proc"  # the new file system hides this folder, so it must not hold the interpreter


def call(name: str, *values: Any) -> None:
    """Call a function of the C library. Raises OSError if it returns -1."""
    converted = [value.encode() if isinstance(value, str) else value for value in values]
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*converted) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def control(option: int, value: int) -> None:
    """Set an attribute of this process with prctl."""
    call("prctl", option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def write(path: str, text: str, folder: int | None = None) -> None:
    """Write to a file of /proc, with one write, as it requires."""
    file = os.open(path, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def unshare_all() -> None:
    """Move this process and its future children to new namespaces.

    Root creates no user namespace here: as `nobody` it might not be able to read the interpreter's folder.
    """
    user, group = os.geteuid(), os.getegid()
    spaces = _MOUNT | _PROCESS | _NETWORK | _IPC | _HOST
    call("unshare", spaces if user == 0 else spaces | _USER)
    if user:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        write("/proc/self/gid_map", f"{NOBODY} {group} 1")


def expose(path: str) -> None:
    """Make a file or folder of the host visible in the new root, read-only. Copy a symbolic link."""
    place = _NEW_ROOT + path
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), place)
    elif os.path.isdir(path):
        os.makedirs(place, exist_ok=True)
        bind(path, place)
    elif os.path.exists(path):
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        bind(path, place)


def bind(path: str, place: str) -> None:
    """Bind-mount a path read-only, with its mount flags, which a user namespace may not remove."""
    kept = os.statvfs(path).f_flag & (0x2 | 0x4 | 0x8 | 0x400 | 0x800 | 0x1000)  # nosuid to relatime
    times = (kept & 0x400) | (kept & 0x800) | ((kept & 0x1000) << 9)
    call("mount", path, place, None, _BIND | _RECURSIVE, None)
    flags = _BIND | _REMOUNT | _READ_ONLY | _NO_SETUID | _NO_DEVICES | (kept & 0xE) | times
    call("mount", None, place, None, flags, None)


def build_root(shown: list[str], disk: int) -> None:
    """Replace the file system by an empty one of `disk` bytes in memory, in which the paths of `shown` are read-only."""
    call("mount", None, "/", None, _RECURSIVE | _PRIVATE, None)
    call("mount", "tmpfs", _NEW_ROOT, "tmpfs", _NO_SETUID, f"size={disk},nr_inodes=4096,mode=755")
    for path in shown:
        expose(path)
    os.mkdir(_NEW_ROOT + "/dev")
    for name in DEVICES:
        place = f"{_NEW_ROOT}/dev/{name}"
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        call("mount", f"/dev/{name}", place, None, _BIND, None)
    os.mkdir(_NEW_ROOT + "/work")
    os.chmod(_NEW_ROOT + "/work", 0o777)
    os.symlink("work", _NEW_ROOT + "/tmp")
    os.chdir(_NEW_ROOT)
    call("syscall", ctypes.c_long(_PIVOT_ROOT[platform.machine()]), b".", b".")
    call("umount2", ".", _DETACH)
    os.chdir("/work")


def drop_privileges(processes: int) -> None:
    """Become `nobody` if root, and forbid new privileges and nested user namespaces.

    The user namespace counts its own processes. `processes` is the host's /proc, opened as a folder; a write to
    `max_user_namespaces` there limits only the namespace of the writer.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        call("unshare", _USER)
    write("sys/user/max_user_namespaces", "0", processes)
    os.close(processes)
    control(_NO_NEW_PRIVILEGES, 1)


def become_first_process(settings: dict[str, Any]) -> None:
    """Continue as process 1 of the sandbox, while the process outside waits for it and exits with its code."""
    unshare_all()
    first = os.fork()
    if first:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 255)
    processes = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    build_root(settings["shown"], settings["disk"])
    drop_privileges(processes)
    control(_DEATH_SIGNAL, signal.SIGKILL)


def run(request: dict[str, Any]) -> None:
    """Run the program under its limits, and exit with its code, or 128 + n if signal n ended it."""
    with open("program.py", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(request["program"])
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Linux drops signals to process 1 that have no handler
    nothing = os.open("/dev/null", os.O_RDONLY)
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.getcwd(), "TMPDIR": os.getcwd(), "LANG": "C.UTF-8",
                   "MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}  # fmt: skip
    program = os.fork()
    if not program:
        os.dup2(nothing, 0)
        if request["isolated"]:
            os.setsid()  # leave the group of the processes outside; without isolation, that group is how they are ended
        with suppress(OSError, AttributeError):  # only Linux has prctl
            control(_DEATH_SIGNAL, signal.SIGKILL)
        for name, value in request["limits"].items():
            # At the first limit of CPU time the program gets SIGXCPU, at the second one SIGKILL.
            resource.setrlimit(getattr(resource, name), (value, value + (name == "RLIMIT_CPU")))
        python = request["python"]
        os.write(1, READY)
        os.execve(python, [python, "-I", "-B", "-X", "utf8", "program.py"], environment)
    with suppress(OSError):
        control(_DUMPABLE, 0)
    while True:
        found, status = os.wait()
        if found == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def main() -> None:
    """Isolate as the settings say, and run the program. In the mode bubblewrap, `command` runs this source again."""
    settings = json.loads(sys.argv[1])
    try:
        if settings["mode"] != "inside":
            with suppress(OSError, AttributeError):  # only Linux has these; elsewhere, the mode is "none"
                write("/proc/self/oom_score_adj", "1000")
                control(_DEATH_SIGNAL, signal.SIGKILL)
        if settings["mode"] == "bubblewrap":
            os.execv(settings["command"][0], settings["command"])
        if settings["mode"] == "namespaces":
            become_first_process(settings)
        run(json.load(sys.stdin))
    except (OSError, KeyError) as error:
        os.write(1, f"{type(error).__name__}: {error}".encode())
    os._exit(1)


if __name__ == "__main__":
    main()
