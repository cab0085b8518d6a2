"""Launches that lose a process or are stopped, with real processes and a real model."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.processes import alive, children, family, generating, rank_of, wait_until
from tests.support.runs import IO, ROOT, SECONDS, generate, rows, run, start, whole_rows

OPTIONS = ["--config", ROOT / "configs" / "quickstart.yaml", "--num_instructions_to_generate", 5000, "--max_new_tokens", 80,
           "--request_batch_size", 2]  # fmt: skip
TORCHRUN = [os.path.join(os.path.dirname(sys.executable), "torchrun"), "--standalone", "--nproc_per_node", 2]
HOST = socket.gethostname()


def under_way(folder, *launcher):
    """A launch of which each rank has completed a request, and all its processes."""
    ranks = {0, 1} if launcher else {0}

    def shared() -> bool:
        written = whole_rows(folder / "completions.jsonl")
        return len(written) >= 3 and {row["rank"] for row in written} == ranks

    process = start(*(launcher or (sys.executable,)), IO, *OPTIONS, "--batch_dir", folder)
    try:
        wait_until(lambda: shared() or process.poll() is not None)
    except BaseException:
        process.kill()
        raise
    assert process.poll() is None, process.communicate()
    return process, family(process.pid)


def end_of(process, members) -> tuple[int, str]:
    """Exit code and all that was said, once no process of a launch is left."""
    try:
        out, err = process.communicate(timeout=SECONDS)
        wait_until(lambda: not alive(members))
    finally:
        for pid in alive(members):
            os.kill(pid, signal.SIGKILL)
    return process.returncode, out + err


def goes_on(folder, *launcher) -> None:
    """Another launch keeps what was there and completes some more requests."""
    before = (folder / "completions.jsonl").read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    wanted = max(row["request"] for row in rows(folder / "completions.jsonl")) + 2
    result = run(*(launcher or (sys.executable,)), IO, *OPTIONS, "--batch_dir", folder, "--max_requests", wanted)
    assert result.returncode == 0 and f"Stopped: --max_requests {wanted} are done" in result.stdout, result.stderr
    assert (folder / "completions.jsonl").read_bytes().startswith(before)
    assert sorted(row["request"] for row in rows(folder / "completions.jsonl")) == list(range(wanted))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_a_torchrun_and_one_rank_goes_on(tmp_path, rank):
    process, members = under_way(tmp_path / "run", *TORCHRUN)
    victim = next(pid for pid in children(process.pid) if rank_of(pid) == rank)
    os.kill(victim, signal.SIGKILL)
    code, told = end_of(process, members)
    assert code == 1
    # Without rank 0 either rank 1 or torchrun is the first to notice; only torchrun always says so.
    assert f"exitcode  : -9 (pid: {victim})" in told
    if rank == 1:
        assert f"rank 1 (process {victim} on {HOST}) has died" in told
        goes_on(tmp_path / "run")


def test_a_torchrun_that_is_stopped_says_so_and_leaves_no_process(tmp_path):
    process, members = under_way(tmp_path / "run", *TORCHRUN)
    process.send_signal(signal.SIGINT)
    code, told = end_of(process, members)
    assert code != 0 and "Stopped: SIGINT was received" in told and "has died" not in told
    requests = [row["request"] for row in rows(tmp_path / "run/completions.jsonl")]
    assert len(requests) == len(set(requests)) >= 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_generating_process_that_is_lost_ends_a_plain_launch_and_several_ranks_go_on(tmp_path, number):
    process, members = under_way(tmp_path / "run")
    victim = generating(process.pid)
    os.kill(victim, number)
    code, told = end_of(process, members)
    what = "has died" if number == signal.SIGKILL else "has said nothing for 20 seconds"
    assert code == 1 and f"Stopped: rank 0 (process {victim} on {HOST}) {what}" in told and "Traceback" not in told
    if number == signal.SIGKILL:
        goes_on(tmp_path / "run", *TORCHRUN)


def test_a_signal_while_the_model_is_being_loaded_ends_the_launch(tmp_path):
    process = start(sys.executable, IO, *OPTIONS, "--batch_dir", tmp_path / "run")
    wait_until(lambda: generating(process.pid))
    members = family(process.pid)
    process.send_signal(signal.SIGUSR1)
    code, told = end_of(process, members)
    assert (
        code == 128 + signal.SIGUSR1 and "Traceback" not in told and not whole_rows(tmp_path / "run/completions.jsonl")
    )


def test_a_model_that_only_the_generating_process_can_refuse_is_a_users_mistake(tmp_path):
    (tmp_path / "model").mkdir()
    for path in filter(Path.is_file, (ROOT / "demo_model").iterdir()):
        content = path.read_bytes()
        (tmp_path / "model" / path.name).write_bytes(content[:5000] if path.suffix == ".safetensors" else content)
    result = generate(*OPTIONS, "--batch_dir", tmp_path / "run", "--model_name_or_path", tmp_path / "model")
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stdout == ""
    assert result.stderr.startswith("error: --model_name_or_path") and not (tmp_path / "run").exists()


def test_the_time_that_was_given_ends_a_launch(tmp_path):
    result = generate(*OPTIONS, "--batch_dir", tmp_path / "run", "--max_hours", 0.0005)
    assert result.returncode == 0 and "Stopped: --max_hours 0.0005 are over." in result.stdout, result.stderr
    assert "has not ended" not in result.stderr
