"""Curation in many tasks on a Slurm cluster of two nodes, one of which loses a task."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.support.curation_runs import curate, files, near_copies, written
from tests.support.slurm_cluster import NODES, obstacle

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")
PATIENCE_SECONDS = 280.0


def wait(reached):
    """Wait for a true value, and return it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := reached()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def tasks_of(step):
    """Return the processes of the running tasks of a step with their nodes."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if b"python" in words[0] and any(word.endswith(f"{step}/executor.pik".encode()) for word in words):
            node = next(text for text in variables if text.startswith(b"SLURMD_NODENAME="))
            found[int(process.name)] = node.decode().partition("=")[2]
    return found


def test_a_task_that_is_killed_on_a_node_is_the_only_one_that_runs_again(cluster, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    one.mkdir()
    many.mkdir()
    given = [written(tmp_path / f"{name}.jsonl", *near_copies(300, seed)) for seed, name in enumerate("ab")]
    assert curate("--input_path", *given, "--output_path", one / "c.jsonl").returncode == 0
    call = [
        "--input_path", *given, "--output_path", many / "c.jsonl", "--executor", "slurm", "--tasks", 2,
        "--sbatch", "time=00:10:00", f"cpus-per-task={os.cpu_count()}",
    ]  # fmt: skip

    def submit():
        done = curate(*call, **cluster.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ended():
        return {path: path.stat().st_mtime_ns for path in many.glob("c.tasks/*/completions/*")}

    def jobs(shown):
        assert shown.startswith("Slurm has the jobs ")
        return shown.removeprefix("Slurm has the jobs ").partition(";")[0].split(", ")

    submitted = jobs(submit())
    assert len(submitted) == 3 and set(jobs(submit())) <= set(submitted)
    nodes = wait(lambda: tasks_of("compare"))
    os.kill(next(iter(nodes)), signal.SIGKILL)
    wait(lambda: not cluster.command("squeue", "--noheader"))
    before = ended()
    assert len(before) == 3 and files(many) == [None] * 3
    assert len(jobs(submit())) == 2
    wait(lambda: not cluster.command("squeue", "--noheader"))
    assert before.items() <= ended().items() and len(ended()) == 5
    assert files(many) == files(one)
    assert "are new" in submit()
    shown = cluster.command("scontrol", "--oneliner", "show", "job")
    assert set(re.findall(r"JobName=curate-filter .* NodeList=(\S+)", shown)) >= set(NODES)


def test_a_job_that_sbatch_refuses_is_a_user_error(cluster, tmp_path):
    source = written(tmp_path / "a.jsonl", *near_copies(20))
    call = ["--input_path", source, "--output_path", tmp_path / "c.jsonl", "--executor", "slurm"]
    done = curate(*call, "--sbatch", "partition=nowhere", **cluster.environment)
    assert done.returncode == 2 and "invalid partition" in done.stderr and "correct --sbatch" in done.stderr
    assert "Traceback" not in done.stderr
