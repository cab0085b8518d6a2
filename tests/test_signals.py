"""Ending a run by signals and by the clock, in processes of their own: pytest tests/test_signals.py"""

import signal
import subprocess
import sys

import pytest

from tests.runs import ROOT

BEGINNING = """
import os, signal, sys, time
from self_instruct.signals import Interruption
interruption, told = Interruption(), []
def me(number): os.kill(os.getpid(), number)
"""


def outcome(code: str) -> tuple[int, str]:
    """Exit code and output of a script that has an `Interruption`."""
    command = [sys.executable, "-c", BEGINNING + code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_before_there_is_anything_to_save_ends_the_process(number):
    assert outcome(f"me({number:d}); print('still here')") == (128 + number, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_the_first_signal_is_told_once_and_remembered(number):
    code = f"interruption.tell(lambda: told.append(1)); print(interruption.reason()); me({number:d}); me(15); me(10)\n"
    code += "print(interruption.received, interruption.reason(), told)"
    assert outcome(code) == (0, f"None\n{number:d} {number.name} was received [1]\n")


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_sigint_after_another_signal_ends_the_process_at_once(first):
    code = f"interruption.tell(lambda: None); me({first:d}); print('on', flush=True); me(2); print('never')"
    assert outcome(code) == (-signal.SIGINT, "on\n")


def test_the_time_ends_the_run_without_a_signal():
    code = "interruption.tell(lambda: told.append(1)); interruption.after(0.05, 'time is over')\n"
    code += "while not told: time.sleep(0.01)\nprint(interruption.received, interruption.reason(), told)"
    assert outcome(code) == (0, "None time is over [1]\n")


def test_a_signal_after_the_time_is_what_ended_the_run():
    code = "interruption.tell(lambda: told.append(1)); interruption.after(0.05, 'time is over')\n"
    code += "while not told: time.sleep(0.01)\nme(15)\nprint(interruption.received, interruption.reason(), told)"
    assert outcome(code) == (0, "15 SIGTERM was received [1, 1]\n")


def test_what_was_received_before_is_told_at_once():
    code = "interruption.tell(lambda: None); me(15); interruption.tell(lambda: told.append(1)); print(told)"
    assert outcome(code) == (0, "[1]\n")
