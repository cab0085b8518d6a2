"""How a run shows itself: pytest tests/test_progress.py"""

import fcntl
import io
import os
import pty
import struct
import sys
import termios

import pytest

from self_instruct import progress as module
from self_instruct.funnel import Funnel
from self_instruct.progress import Progress
from tests.runs import ROOT, environment, scripted
from tests.scripts import write_script


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "LINE_EVERY", 0.0)


def test_a_log_file_gets_plain_lines(impatient):
    stream = io.StringIO()
    progress = Progress(40, stream)
    progress.step(10)
    assert stream.getvalue() == ""
    progress.begin(accepted=5)
    funnel = Funnel()
    funnel.accepted = 15
    progress.update(funnel)
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("accepted 15/40, yield 100%") and "tokens/s, ETA 0:00:00" in last and "\r" not in last


def test_without_a_new_record_the_end_is_unknown(impatient):
    stream = io.StringIO()
    progress = Progress(40, stream)
    progress.begin(accepted=5)
    progress.step(100)
    assert "accepted 5/40, yield 0%" in stream.getvalue() and stream.getvalue().endswith("ETA unknown\n")


def test_a_terminal_gets_a_bar(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    command = [sys.executable, ROOT / "instruction_io/instruction_output.py", *scripted(script, tmp_path / "run", 30)]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    pid = os.fork()
    if pid == 0:
        for stream in (0, 1, 2):
            os.dup2(slave, stream)
        os.execve(command[0], [str(part) for part in command], environment())
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"30/30" in shown and b"\r" in shown and "█".encode() in shown
