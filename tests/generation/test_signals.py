"""Ending a run by signals and by a time limit, in separate processes."""

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
def send(number): os.kill(os.getpid(), number)
"""


def outcome(code: str) -> tuple[int, str]:
    """Return the exit code and output of a script that has an `Interruption`."""
    command = [sys.executable, "-c", BEGINNING + code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, result.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_before_there_is_anything_to_save_ends_the_process(number):
    assert outcome(f"send({number:d}); print('still here')") == (128 + number, "")


def test_a_signal_whose_exception_python_drops_is_sent_again():
    code = """
class Finalised:
    def __init__(self, name): self.name = name
    def __del__(self):
        if self.name == "signal": send(15)
        raise ValueError(self.name)
for name in ("error", "signal"):
    Finalised(name)
print("going on", flush=True)
while True: time.sleep(0.01)
"""
    command = [sys.executable, "-c", BEGINNING + code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGTERM, "going on\n")
    assert (
        "ValueError: error" in ended.stderr and "Interrupted" not in ended.stderr
    )  # other errors are shown as before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_the_first_signal_calls_back_once_and_is_remembered(number):
    code = "interruption.set_callback(lambda: calls.append(1)); print(interruption.reason())\n"
    code += f"send({number:d}); send(15); send(10)\n"
    code += "print(interruption.received, interruption.reason(), calls)"
    assert outcome(code) == (0, f"None\n{number:d} {number.name} was received [1]\n")


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_sigint_after_another_signal_ends_the_process_at_once(first):
    code = (
        f"interruption.set_callback(lambda: None); send({first:d}); print('on', flush=True); send(2); print('never')"
    )
    assert outcome(code) == (-signal.SIGINT, "on\n")


def test_the_time_limit_ends_the_run_without_a_signal():
    code = "interruption.set_callback(lambda: calls.append(1)); interruption.stop_after(0.05, 'time is up')\n"
    code += "while not calls: time.sleep(0.01)\nprint(interruption.received, interruption.reason(), calls)"
    assert outcome(code) == (0, "None time is up [1]\n")


def test_a_signal_after_the_time_limit_is_the_reason():
    code = "interruption.set_callback(lambda: calls.append(1)); interruption.stop_after(0.05, 'time is up')\n"
    code += "while not calls: time.sleep(0.01)\nsend(15)\nprint(interruption.received, interruption.reason(), calls)"
    assert outcome(code) == (0, "15 SIGTERM was received [1, 1]\n")


def test_a_signal_received_earlier_calls_back_at_once():
    code = "interruption.set_callback(lambda: None); send(15); interruption.set_callback(lambda: calls.append(1)); print(calls)"
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
    code, output = signalled(command, loads("libtorch_cpu"), signal.SIGTERM)
    assert code == 128 + signal.SIGTERM and "the journal is kept; run the same command again to continue" in output
    assert not (tmp_path / "run").exists()


def test_a_signal_ends_curate_and_leaves_no_partial_file(tmp_path):
    source = written(tmp_path / "a.jsonl", *near_copies(20))
    command = [*COMMAND, "--input_path", source, "--output_path", tmp_path / "c.jsonl", *BY_MEANING]
    code, output = signalled(command, loads("libtorch_cpu"), signal.SIGUSR1)
    assert code == 128 + signal.SIGUSR1 and "the output is unchanged; run the same command again" in output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("name", "printed"), [("accelerate", "SIGTERM was received\n"), ("accelerate jobs/start.py", "went on\n")]
)
def test_a_process_is_terminated_when_its_launcher_ends_but_not_with_another_parent(tmp_path, name, printed):
    code = (
        "import os, time\nfrom self_instruct.generation.signals import Interruption, end_with_launcher\nInterruption()\n"
        "end_with_launcher()\nparent = os.getppid()\ntry:\n    print('ready', flush=True)\n"
        "    while os.getppid() == parent:\n        time.sleep(0.01)\n    time.sleep(0.5)\n    print('went on', flush=True)\n"
        "except SystemExit as end:\n    print(end, flush=True)"
    )
    launcher = tmp_path / name
    launcher.parent.mkdir(exist_ok=True)
    launcher.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])\n")
    process = subprocess.Popen([sys.executable, launcher], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == "ready\n"
        process.terminate()
        assert process.wait() == -signal.SIGTERM
        assert output.read() == printed
