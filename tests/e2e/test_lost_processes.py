"""Real launches that lose a process or are stopped.

Several ranks, started as srun starts them, share a long script and need no model; a launch of one process uses a real model,
because it replays a script without a generating process.
"""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.processes import alive, children, family, generating, wait_until
from tests.support.runs import IO, ROOT, SECONDS, generate, rows, run, scripted, start, start_ranks, whole_rows
from tests.support.scripts import write_script

MODEL = ["--config", ROOT / "configs" / "quickstart.yaml", "--num_instructions_to_generate", 5000, "--max_new_tokens", 80,
         "--request_batch_size", 2]  # fmt: skip
HORIZON = ["--horizon", 16]  # soon, no rank goes on without the requests of one that is lost
HOST = socket.gethostname()


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return write_script(tmp_path_factory.mktemp("script") / "script.jsonl", 6000)


def under_way(folder, options, ranks=1):
    """Start a launch and wait until each rank has completed a request; return its ranks with all their processes."""
    before = len(whole_rows(folder / "completions.jsonl"))

    def shared() -> bool:
        return {row["rank"] for row in whole_rows(folder / "completions.jsonl")[before:]} == set(range(ranks))

    launch = start_ranks(ranks, IO, *options)
    try:
        wait_until(lambda: shared() or any(process.poll() is not None for process in launch))
    except BaseException:
        for process in launch:
            process.kill()
        raise
    assert all(process.poll() is None for process in launch), [process.communicate(SECONDS) for process in launch]
    return launch, [pid for process in launch for pid in (process.pid, *family(process.pid))]


def end_of(launch, members) -> list[tuple[int, str]]:
    """Wait until no process of the launch is left; return the exit code and output of each rank."""
    try:
        printed = ["".join(process.communicate(timeout=SECONDS)) for process in launch]
        wait_until(lambda: not alive(members))
    finally:
        for pid in alive(members):
            os.kill(pid, signal.SIGKILL)
    return [(process.returncode, text) for process, text in zip(launch, printed, strict=True)]


def journalled(folder) -> list[int]:
    """Return the requests in the journal, and assert that each occurs once."""
    requests = [row["request"] for row in whole_rows(folder / "completions.jsonl")]
    assert len(requests) == len(set(requests))
    return requests


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Start a launch and stop rank 1 at the beginning. Rank 0 ends while the other tests run; it has little to decide."""
    place = tmp_path_factory.mktemp("stopped")
    folder, empty = place / "run", place / "empty.jsonl"
    empty.write_text('{"text": ""}\n' * 6000)
    launch, members = under_way(folder, [*scripted(empty, folder, 20_000), "--min_yield", 0], 2)
    launch[1].send_signal(signal.SIGSTOP)
    yield launch[0], launch[1].pid, folder
    for process in launch:
        process.kill()
    end_of(launch, members)


# test_launch.py stops ranks with SIGINT.
def test_a_launch_that_lost_a_rank_continues_on_any_number_of_ranks(script, stopped, tmp_path):
    folder = tmp_path / "run"
    options = [*scripted(script, folder, 20_000), *HORIZON]
    launch, members = under_way(folder, options, 3)
    launch[0].kill()
    ended = end_of(launch, members)
    assert [code for code, _ in ended] == [-signal.SIGKILL, 1, 1]
    assert all("rank 0" in printed and "Traceback" not in printed for _, printed in ended[1:]), ended
    first = (folder / "completions.jsonl").read_bytes()
    assert journalled(folder)

    launch, members = under_way(folder, options, 2)
    launch[1].kill()
    (code, printed), _ = end_of(launch, members)
    assert (
        code == 1 and f"rank 1 (process {launch[1].pid} on {HOST}) has died" in printed and "Traceback" not in printed
    )
    second = (folder / "completions.jsonl").read_bytes()
    assert second.startswith(first[: first.rfind(b"\n") + 1])

    wanted = max(journalled(folder)) + 2
    result = run(sys.executable, IO, *options, "--max_requests", wanted)
    assert result.returncode == 0 and f"Stopped: --max_requests {wanted} was reached" in result.stdout, result.stderr
    assert (folder / "completions.jsonl").read_bytes().startswith(second)
    assert sorted(journalled(folder)) == list(range(wanted))
    assert not (folder / "launch.key").exists()


def test_a_generating_process_that_is_killed_ends_a_launch_of_one_process(tmp_path):
    (process,), members = under_way(tmp_path / "run", [*MODEL, "--batch_dir", tmp_path / "run"])
    *_, victim = children(process.pid)  # the first is multiprocessing's resource tracker
    os.kill(victim, signal.SIGKILL)
    ((code, printed),) = end_of([process], members)
    assert code == 1 and f"Stopped: rank 0 (process {victim} on {HOST}) has died" in printed
    assert "Traceback" not in printed and journalled(tmp_path / "run")


def test_a_signal_while_the_model_is_being_loaded_ends_the_launch(tmp_path):
    process = start(sys.executable, IO, *MODEL, "--batch_dir", tmp_path / "run")
    wait_until(lambda: generating(process.pid))
    members = family(process.pid)
    process.send_signal(signal.SIGUSR1)
    ((code, printed),) = end_of([process], members)
    assert code == 128 + signal.SIGUSR1 and "Traceback" not in printed
    assert not whole_rows(tmp_path / "run/completions.jsonl")


def test_a_model_that_only_the_generating_process_can_refuse_is_a_user_error(tmp_path):
    (tmp_path / "model").mkdir()
    for path in filter(Path.is_file, (ROOT / "demo_model").iterdir()):
        content = path.read_bytes()
        (tmp_path / "model" / path.name).write_bytes(content[:5000] if path.suffix == ".safetensors" else content)
    result = generate(*MODEL, "--batch_dir", tmp_path / "run", "--model_name_or_path", tmp_path / "model")
    assert result.returncode == 2 and "Traceback" not in result.stderr and result.stdout == ""
    assert result.stderr.startswith("error: --model_name_or_path") and not (tmp_path / "run").exists()


def test_max_hours_ends_a_launch(tmp_path):
    result = generate(*MODEL, "--batch_dir", tmp_path / "run", "--max_hours", 0.0005)
    assert result.returncode == 0 and "Stopped: --max_hours 0.0005 was reached." in result.stdout, result.stderr
    assert "has not ended" not in result.stderr


def test_a_rank_that_is_stopped_is_named_and_the_launch_ends(stopped):
    process, victim, folder = stopped
    ((code, printed),) = end_of([process], [])
    assert code == 1
    assert f"Stopped: rank 1 (process {victim} on {HOST}) has sent no heartbeat for 20 seconds" in printed
    assert journalled(folder) and rows(folder / "completions.jsonl")
