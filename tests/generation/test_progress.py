"""The progress of a run: lines in the log, and the bar on a terminal."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import sys
import termios

import pytest

from self_instruct.generation.progress import Load, Progress
from self_instruct.runs.funnel import Funnel
from tests.support.runs import ROOT, environment, generate, rows, scripted
from tests.support.scripts import write_script


def lines(caplog, progress, *accepted):
    """Return the lines of a run that began with 5 records and reached the given numbers."""
    with caplog.at_level(logging.INFO):
        progress.step(10)
        assert caplog.messages == []
        progress.begin(accepted=5)
        progress.step(100)
        for number in accepted:
            funnel = Funnel()
            funnel.tally.kept = number
            progress.update(funnel)
    return caplog.messages


def test_a_log_file_gets_plain_lines(caplog):
    last = lines(caplog, Progress(40, io.StringIO(), every=0.0), 40)[-1]
    assert re.fullmatch(r"accepted 40/40, yield 100%, [\d,]+ tokens/s, ETA 0:00:00, memory \d+\.\d GB", last)
    figures = caplog.records[-1].figures
    assert (figures["event"], figures["done"], figures["target"], figures["seconds_left"]) == ("heartbeat", 40, 40, 0)


def test_the_time_left_is_unknown_without_a_new_record(caplog):
    (line,) = lines(caplog, Progress(40, io.StringIO(), every=0.0))
    assert "accepted 5/40, yield 0%" in line and "ETA unknown" in line


def test_work_that_generates_nothing_shows_no_yield_and_no_tokens(caplog):
    progress = Progress(40, io.StringIO(), unit="records scored", every=0.0)
    with caplog.at_level(logging.INFO):
        progress.begin(0)
        progress.reach(4)
    assert re.fullmatch(r"records scored 4/40, ETA 0:00:00, memory \d+\.\d GB", caplog.messages[-1])


def test_lines_keep_the_requested_interval(caplog):
    assert lines(caplog, Progress(40, io.StringIO(), every=1000.0), 6, 7, 8) == []


@pytest.mark.parametrize(
    ("devices", "memory"), [(0, "generation's memory 1.5 of 8.0 GB"), (2, "device memory 1.5 of 8.0 GB")]
)
def test_a_line_shows_the_load_of_generation(caplog, devices, memory):
    progress = Progress(40, io.StringIO(), every=0.0)
    progress.load = lambda: Load(6, 8, 1_500_000_000, 8_000_000_000, devices)
    assert f"6 of 8 rows in flight, {memory}, memory " in lines(caplog, progress, 15)[-1]


def test_observers_get_the_funnel_and_the_speed(caplog):
    seen, progress = [], Progress(40, io.StringIO())
    progress.observers.append(lambda funnel, speed: seen.append((funnel.accepted, speed > 0)))
    lines(caplog, progress, 15, 16)
    assert seen == [(15, True), (16, True)]


def on_terminal(*command):
    """Run a command on a terminal, and return what it shows."""
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
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    return shown


def test_a_terminal_gets_a_bar(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    command = [sys.executable, ROOT / "instruction_io/instruction_output.py", *scripted(script, tmp_path / "run", 30),
               "--heartbeat_seconds", 1e-6]  # fmt: skip
    shown = on_terminal(*command)
    assert b"30/30" in shown and b"\r" in shown and "█".encode() in shown
    assert re.search(rb"ETA \d+:\d\d:\d\d, yield \d+%, [\d,]+ tokens/s", shown), "time left, yield and speed"
    assert b"accepted" not in shown.split(b"Done:")[0], "the log has the lines, the terminal has the bar"
    assert any(row.get("event") == "heartbeat" for row in rows(tmp_path / "run/logs/rank-0.jsonl"))
    done = len(rows(tmp_path / "run/completions.jsonl"))
    shown = on_terminal(*command, "--num_instructions_to_generate", 31)
    last = rf"\r100%\|█+\| {done}/{done} completions replayed \[[^\]]*, ETA 0:00:00\]"
    assert re.search(last, shown.decode()), shown
    assert f"Replayed {done} completions in ".encode() in shown and b"31/31" in shown


def test_a_replay_logs_its_progress_and_says_how_long_it_took(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    options = [*scripted(script, tmp_path / "run", 500), "--heartbeat_seconds", 1e-6]
    first = generate(*options, "--max_requests", 40)
    assert first.returncode == 0 and "eplayed" not in first.stderr, first.stderr
    again = generate(*options, "--max_requests", 42)
    lines = [line for line in again.stderr.splitlines() if "eplayed" in line]
    assert re.fullmatch(r"completions replayed 20/40, ETA 0:00:\d\d, memory \d+\.\d GB", lines[19]), lines
    assert len(lines) == 41 and re.fullmatch(r"Replayed 40 completions in \d+\.\d s\.", lines[-1])
    logged = [row for row in rows(tmp_path / "run/logs/rank-0.jsonl") if row.get("event") == "replay"]
    assert [(row["done"], row["target"]) for row in logged] == [(at, 40) for at in range(1, 41)]
    short = generate(*options, "--num_instructions_to_generate", 5, "--max_requests", 42)
    assert re.search(r"^Replayed \d completions in \d+\.\d s\.$", short.stderr, re.MULTILINE), short.stderr
