"""Ending a run by signals and by the clock, in processes of their own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.curation_runs import BY_MEANING, COMMAND, near_copies, written
from tests.support.processes import wait_until
from tests.support.runs import IO, ROOT, scripted, start
from tests.support.scripts import write_script

BEGINNING = """
import os, signal, sys, time
from self_instruct.generation.signals import Interruption
interruption, calls = Interruption(), []
def me(number): os.kill(os.getpid(), number)
"""


def outcome(code: str) -> tuple[int, str]:
    """Return the exit code and output of a script that has an `Interruption`."""
    command = [sys.executable, "-c", BEGINNING + code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_before_there_is_anything_to_save_ends_the_process(number):
    assert outcome(f"me({number:d}); print('still here')") == (128 + number, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_the_first_signal_calls_back_once_and_is_remembered(number):
    code = (
        f"interruption.tell(lambda: calls.append(1)); print(interruption.reason()); me({number:d}); me(15); me(10)\n"
    )
    code += "print(interruption.received, interruption.reason(), calls)"
    assert outcome(code) == (0, f"None\n{number:d} {number.name} was received [1]\n")


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_sigint_after_another_signal_ends_the_process_at_once(first):
    code = f"interruption.tell(lambda: None); me({first:d}); print('on', flush=True); me(2); print('never')"
    assert outcome(code) == (-signal.SIGINT, "on\n")


def test_the_time_ends_the_run_without_a_signal():
    code = "interruption.tell(lambda: calls.append(1)); interruption.after(0.05, 'time is over')\n"
    code += "while not calls: time.sleep(0.01)\nprint(interruption.received, interruption.reason(), calls)"
    assert outcome(code) == (0, "None time is over [1]\n")


def test_a_signal_after_the_time_limit_is_the_reason_of_the_end():
    code = "interruption.tell(lambda: calls.append(1)); interruption.after(0.05, 'time is over')\n"
    code += "while not calls: time.sleep(0.01)\nme(15)\nprint(interruption.received, interruption.reason(), calls)"
    assert outcome(code) == (0, "15 SIGTERM was received [1, 1]\n")


def test_a_signal_received_earlier_calls_back_at_once():
    code = "interruption.tell(lambda: None); me(15); interruption.tell(lambda: calls.append(1)); print(calls)"
    assert outcome(code) == (0, "[1]\n")


# ---- the commands


def signalled(command, ready, number):
    """Send a signal to a command once a condition holds; return its exit code and output."""
    process = start(*command)
    try:
        wait_until(lambda: ready(process.pid) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert "Traceback" not in err and f"Stopped: {signal.Signals(number).name} was received" in out + err, err
    return process.returncode, out + err


def loads(name: str):
    """Return a condition: whether a process has mapped a library of this module."""
    return lambda pid: name.encode() in Path(f"/proc/{pid}/maps").read_bytes()


def test_a_signal_while_seeds_are_encoded_ends_a_launch_before_anything_is_written(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 20)
    command = [sys.executable, IO, *scripted(script, tmp_path / "run"), *BY_MEANING]
    code, calls = signalled(command, loads("libtorch_cpu"), signal.SIGTERM)
    assert code == 128 + signal.SIGTERM and "the journal is kept; run the same command again to continue" in calls
    assert not (tmp_path / "run").exists()


def test_a_signal_ends_a_curation_and_leaves_no_half_of_a_file(tmp_path):
    source = written(tmp_path / "a.jsonl", *near_copies(20))
    command = [*COMMAND, "--input_path", source, "--output_path", tmp_path / "c.jsonl", *BY_MEANING]
    code, calls = signalled(command, loads("libtorch_cpu"), signal.SIGUSR1)
    assert code == 128 + signal.SIGUSR1 and "the output is unchanged; run the same command again" in calls
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]
