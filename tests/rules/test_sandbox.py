"""Programs in the sandbox: hostile ones harm nothing, and each ends with a named outcome."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from self_instruct.errors import UserError
from self_instruct.rules import sandbox
from self_instruct.rules.sandbox import FAILED, FINISHED, OUTPUT, TIMEOUT, Limits, Sandbox, SandboxError, open_sandbox
from tests.support.processes import wait_until

LIMITS = Limits(seconds=1, memory=256 << 20, files=57)
"""The unusual limit of open files identifies processes that are left after a program."""
SHORT = replace(
    LIMITS, seconds=0.2
)  # two seconds by the clock, for programs that may time out: a fork bomb keeps all cores busy

# Name, program, outcome (None if it depends on the machine or mode). The test fills in the names in braces.
# A program exits with 3 if it did harm.
HOSTILE = (
    ("fork bomb", "import os\nwhile True:\n try: os.fork()\n except OSError: pass", TIMEOUT),
    ("fork bomb of a shell", "import os\nos.system('b(){{ b|b& }}; b; sleep 9')", None),
    ("threads", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()", None),
    ("infinite output", "while True: print('x' * 1000)", OUTPUT),
    ("infinite output of a child", "import os\nos.system('yes >&2')", OUTPUT),
    ("memory bomb", "x = b'x'\nwhile True: x += x", None),
    ("list bomb", "x = [0]\nwhile True: x.extend(x)", None),
    ("zip bomb", "import zlib\nd = zlib.compress(bytes(1 << 27), 9)\nx = [zlib.decompress(d) for _ in range(9)]", None),
    ("number bomb", "print(len(str(9 ** 9 ** 9)))", None),
    ("pattern bomb", "import re\nre.match('(a+)+$', 'a' * 64 + 'b')", TIMEOUT),
    ("busy loop", "while True: pass", TIMEOUT),
    ("sleeps for ever", "import time\ntime.sleep(1e6)", TIMEOUT),
    ("ignores signals", "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\nsignal.pause()", TIMEOUT),
    ("closes its pipes", "import os, time\nos.closerange(0, 99)\ntime.sleep(99)", TIMEOUT),
    ("huge exit code", "import sys\nsys.exit(2 ** 40 + 5)", FAILED),
    ("aborts", "import os\nos.abort()", FAILED),
    ("overflows its stack", "import sys\nsys.setrecursionlimit(1 << 30)\nf = lambda: f()\nf()", None),
    ("erases the home and the run", "import shutil\nfor p in ({home!r}, {run!r}): shutil.rmtree(p)", FAILED),
    ("erases everything", "import os\nos.system('rm -rf --no-preserve-root / 2>&1 | tail -c 99')", None),
    ("fills its disk", "for n in range(99): open(str(n), 'wb').write(bytes(1 << 20))", None),
    ("writes a large file", "f = open('f', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush()", None),
    ("makes a million files", "for n in range(10 ** 6): open(f'f{{n}}', 'w').close()", None),
    ("writes to shared memory", "open('/dev/shm/self-instruct-escape', 'w').write('x')", FAILED),
    ("writes to /proc and /sys", "open('/proc/sys/kernel/hostname', 'w').write('x')", FAILED),
    ("follows a link out", "import os, sys\nos.symlink({run!r}, 'l')\nsys.exit(3 * os.path.exists('l/journal'))", FINISHED),
    ("climbs out", "import sys\nopen('../../../../..' + {run!r} + '/journal', 'a').write('x')", FAILED),
    ("changes its root", "import os\nos.chroot('.')", FAILED),
    ("new namespaces", "import ctypes, sys\nsys.exit(3 if ctypes.CDLL(None).unshare(1 << 28) == 0 else 0)", FINISHED),
    ("becomes root", "import os\nos.setuid(0)", FAILED),
    ("signals its parent", "import os, signal\nfor n in (2, 15, 9): os.kill(os.getppid(), n)", None),
    ("signals process 1", "import os, signal\nfor n in (2, 15, 9): os.kill(1, n)", FINISHED),
    ("signals us and all", "import os\ntry: os.kill({pid}, 9)\nexcept OSError: pass\nos.kill(-1, 9)\n", None),
    ("signals its group", "import os\nos.killpg(0, 9)", FAILED),
    ("traces process 1", "import ctypes, sys\nsys.exit(3 if ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 else 0)", None),
    ("connects to us", "import socket\nsocket.create_connection(('127.0.0.1', {port}))", FAILED),
    ("connects to the network", "import socket\nsocket.create_connection(('1.1.1.1', 80), 9)", FAILED),
    ("reads our keys", "import os, sys\nsys.exit(3 * ('HF_TOKEN' in os.environ))", FINISHED),
    ("reads our keys in /proc", "open('/proc/{pid}/environ').read()", FAILED),
    ("reads a file of keys", "open({run!r} + '/launch.key').read()", FAILED),
    ("reads passwords", "open('/etc/shadow').read()", FAILED),
    ("daemonises", "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: time.sleep(60)", FINISHED),
    ("executes a shell that waits", "import os\nos.execv('/bin/sh', ['sh', '-c', 'sleep 60'])", TIMEOUT),
    ("reads its input", "input()", FAILED),
    ("writes no UTF-8", "import os\nos.write(1, bytes(range(256)))", FINISHED),
    ("is no program", "def f(:", FAILED),
    ("imports us", "import self_instruct", FAILED),
)  # fmt: skip


@pytest.fixture(scope="module")
def isolated() -> Sandbox:
    try:
        return replace(open_sandbox(), limits=LIMITS)
    except UserError as error:
        pytest.skip(str(error))


def left_processes() -> list[str]:
    """Return the command lines of processes with the limit of open files of this test."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if "Max open files            57 " in (path / "limits").read_text():
                found.append((path / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_hostile_programs_harm_nothing(isolated, tmp_path, monkeypatch):
    home, run = tmp_path / "home", tmp_path / "run"
    for folder in (home, run):
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
    files = {home / "thesis.txt": "years", run / "journal": "tokens", run / "launch.key": "secret"}
    for path, text in files.items():
        path.write_text(text)
        path.chmod(0o666)
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(4) as threads:
        server.setblocking(False)
        given = {"home": str(home), "run": str(run), "pid": os.getpid(), "port": server.getsockname()[1]}
        short = replace(isolated, limits=SHORT)
        boxes = [short if expected in (TIMEOUT, None) else isolated for _, _, expected in HOSTILE]
        programs = [program.format(**given) for _, program, _ in HOSTILE]
        outcomes = list(threads.map(Sandbox.run, boxes, programs))
        with pytest.raises(BlockingIOError):
            server.accept()
    wrong = [
        (name, outcome)
        for (name, _, expected), outcome in zip(HOSTILE, outcomes, strict=True)
        if outcome.name != (expected or outcome.name) or outcome.code == 3
    ]
    assert wrong == []
    assert {path: path.read_text() for path in files} == files
    assert sorted(path.name for path in (*home.iterdir(), *run.iterdir())) == ["journal", "launch.key", "thesis.txt"]
    assert not Path("/dev/shm/self-instruct-escape").exists()
    assert all(len(outcome.output) <= LIMITS.output for outcome in outcomes)
    assert not any("hf_planted" in outcome.output or "secret" in outcome.output for outcome in outcomes)
    assert wait_until(lambda: left_processes() == [])


def test_an_ordinary_program_runs_in_an_empty_folder(isolated):
    program = (
        "import json, os, pathlib, sqlite3, subprocess, sys, tempfile, concurrent.futures\n"
        "pathlib.Path('a.txt').write_text('größer')\n"
        "with concurrent.futures.ThreadPoolExecutor(3) as pool: assert list(pool.map(abs, [-1, 2])) == [1, 2]\n"
        "assert subprocess.run(['sh', '-c', 'exit 7']).returncode == 7\n"
        "assert tempfile.NamedTemporaryFile().name.startswith(os.getcwd())\n"
        "print(sorted(os.listdir('.')), pathlib.Path('a.txt').read_text(), sys.argv, len(os.environ) < 9)"
    )
    for _ in range(2):
        found = isolated.run(program)
        assert (found.name, found.code) == (FINISHED, 0), found.output
        assert found.output == "['a.txt', 'program.py'] größer ['program.py'] True\n"
    assert isolated.run("raise SystemExit(5)").code == 5
    assert isolated.run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)").code == 137


def test_auto_is_refused_without_isolation_and_none_must_be_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "_obstacle", lambda mode: "Operation not permitted")
    with pytest.raises(UserError, match=r"namespaces: Operation not permitted.*Install bubblewrap.*--sandbox none"):
        open_sandbox()
    monkeypatch.chdir(tmp_path)
    free = replace(open_sandbox("none"), limits=LIMITS)
    assert free.run("import os\nprint(os.listdir('.'), 'HF_TOKEN' in os.environ)").output == "['program.py'] False\n"
    assert replace(free, limits=SHORT).run("import time\ntime.sleep(99)").name == TIMEOUT
    assert free.run("while True: pass").name == TIMEOUT
    assert list(tmp_path.iterdir()) == []


def test_a_failed_isolation_is_an_error_and_not_the_outcome_of_the_program(tmp_path, monkeypatch):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho setting up uid map: Permission denied\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match="setting up uid map: Permission denied"):
        Sandbox("bubblewrap", LIMITS).run("")
    sandbox._obstacle.cache_clear()
    with pytest.raises(UserError, match=r"--sandbox bubblewrap: .*uid map"):
        open_sandbox("bubblewrap")
    sandbox._obstacle.cache_clear()


def test_programs_end_with_the_process_that_started_them(isolated):
    code = (
        "from self_instruct.rules.sandbox import *\n"
        f"Sandbox({isolated.mode!r}, Limits(seconds=60, files=58)).run('import time; print(1); time.sleep(900)')"
    )
    started = subprocess.Popen([sys.executable, "-c", code])

    def running() -> bool:
        return any("Max open files            58 " in text for text in map(_limits, Path("/proc").glob("[0-9]*")))

    assert wait_until(running)
    started.kill()
    assert started.wait() == -signal.SIGKILL
    assert wait_until(lambda: not running())


def _limits(path: Path) -> str:
    try:
        return (path / "limits").read_text()
    except OSError:
        return ""
