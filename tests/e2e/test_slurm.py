"""The job scripts on a Slurm cluster of two nodes, with preemption, requeues and lost nodes.

Small jobs are submitted together at the start and run side by side. Two jobs, one of one process and one over both nodes, are
used by several tests: each waits for progress, disturbs the job, and asserts that it was requeued with its whole journal; the
last one waits for the end of the larger job. Both are slow while they are disturbed. Each start of the larger job imports torch
in five processes, so it is disturbed only where its launchers, its ranks or its second node matter. Any test can be run alone.
All replay scripts, which needs no model: test_launch.py starts ranks with a model.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.curation_runs import near_copies, written
from tests.support.runs import ROOT, rows, scripted
from tests.support.scripts import write_script
from tests.support.slurm_cluster import NODES, Cluster, obstacle

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")
GENERATE, CURATE, SERVE = (
    ROOT / "configs" / "slurm" / f"{name}.slurm" for name in ("generate", "curate", "serve_and_generate")
)
REQUESTS = 400
PATIENCE_SECONDS = 600.0
MISTAKES = {
    "no GPUs": ({}, "the job has no GPUs"),
    "no script": ({"CPU_PROCESSES": "1", "SCRIPT": "nowhere.py"}, "there is no nowhere.py"),
    "no seeds": ({"CPU_PROCESSES": "1"}, "--seed_tasks_path is missing"),
    "too often": ({"CPU_PROCESSES": "1", "RETRY_AFTER_SECONDS": "0", "MAX_RESTARTS": "0"}, "was started 1 times"),
}


class Job:
    """A running job and its log."""

    def __init__(
        self,
        cluster: Cluster,
        log: Path,
        options: list[object],
        arguments: list[object],
        script: Path = GENERATE,
        **more: str,
    ) -> None:
        self.cluster, self.log = cluster, log
        command = ["sbatch", "--parsable", "--chdir", ROOT, "--output", log, *options, script, *arguments]
        self.number = cluster.command(*command, PYTHON=sys.executable, OMP_NUM_THREADS="1", **more).strip()

    def known(self, name: str) -> str:
        return self.cluster.job(self.number)[name]

    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait(self, reached: Callable[[], bool], lost: tuple[str, ...] = ("FAILED", "CANCELLED")) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline and self.known("JobState") not in lost, self.output()
            time.sleep(0.5)  # each look takes two processes

    def go_on(self, start: int) -> None:
        """Let Slurm start a requeued job for the given time."""
        # Slurm delays a requeued job by two minutes; within the same second its nodes would refuse it.
        self.cluster.command("scontrol", "update", f"JobId={self.number}", "StartTime=now+3seconds")
        self.wait(lambda: f"start {start}" in self.output())


class Generation(Job):
    """A job that generates into the directory `run`, slowly while the file `slow` exists."""

    def __init__(
        self, cluster: Cluster, folder: Path, options: list[object], arguments: list[object], **more: str
    ) -> None:
        self.run, self.slow = folder / "run", folder / "slow"
        self.slow.touch()
        slowly = ["--plugin", ROOT / "tests" / "support" / "slow_rule.py", "--filter_rules", "empty", "slow"]
        arguments = [*arguments, "--batch_dir", self.run, *slowly]
        super().__init__(cluster, folder / "log", options, arguments, SLOW_WHILE=str(self.slow), **more)

    def journal(self) -> bytes:
        """Return the journal's complete lines."""
        path = self.run / "completions.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def disturbed(self, disturb: Callable[[], object], mend: Callable[[], object] = lambda: None) -> str:
        """Wait for one more completion, disturb the job, and release it once Slurm has requeued it; return the output
        since then.
        """
        begun = self.journal().count(b"\n")
        self.wait(lambda: self.journal().count(b"\n") > begun and self.known("JobState") == "RUNNING")
        before, restarts, printed = self.journal(), int(self.known("Restarts")), self.output()
        disturb()
        self.wait(lambda: self.known("JobState") == "PENDING")
        assert int(self.known("Restarts")) == restarts + 1
        mend()
        self.go_on(restarts + 2)
        assert self.journal().startswith(before)
        return self.output()[len(printed) :]


@pytest.fixture(scope="module")
def small(cluster, tmp_path_factory) -> dict[str, Job]:
    """Submit jobs that fail at once, and one that curates."""
    folder = tmp_path_factory.mktemp("small")
    jobs = {name: Job(cluster, folder / name, [], [], **variables) for name, (variables, _) in MISTAKES.items()}
    jobs["late"] = Job(cluster, folder / "late", [], [], CPU_PROCESSES="1", RETRY_AFTER_SECONDS="0")
    files = [written(folder / f"{name}.jsonl", *near_copies(300, seed)) for seed, name in enumerate("ab")]
    options = ["--input_path", *files, "--output_path", folder / "c.jsonl", "--rouge_threshold", 0.6]
    jobs["curate"] = Job(cluster, folder / "curate", [], options, CURATE)
    return jobs


@pytest.mark.parametrize("name", MISTAKES)
def test_a_user_error_ends_the_job_with_its_message(small, name):
    job = small[name]
    job.wait(lambda: job.known("JobState") == "FAILED", lost=("COMPLETED", "CANCELLED"))
    assert job.known("ExitCode") == "2:0" and job.known("Restarts") == "0"
    assert MISTAKES[name][1] in job.output() and "requeued" not in job.output()


def test_a_job_that_fails_late_is_requeued(cluster, small):
    job = small["late"]
    job.wait(lambda: job.known("Restarts") != "0")
    cluster.command("scancel", job.number)
    assert "requeued, and continues" in job.output()


def test_a_job_curates(small):
    job = small["curate"]
    job.wait(lambda: job.known("JobState") == "COMPLETED")
    assert job.known("ExitCode") == "0:0"
    assert 100 < len(rows(job.log.parent / "c.jsonl")) < 600


def serving(cluster: Cluster, folder: Path, serve: list[object], *arguments: object, **more: str) -> Job:
    """Submit a job with a stand-in for vLLM on both nodes."""
    command = folder / "vllm"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/support/vllm_server.py "$@"\n')
    command.chmod(0o755)
    variables = {"STARTS": str(folder), "FAILING_HOST": NODES[1], "HEALTH_SECONDS": "1", **more}
    return Job(cluster, folder / "log", ["--nodes", 2], [*serve, *arguments], SERVE, VLLM=str(command), **variables)


def shared(run: Path, records: int) -> list[object]:
    return [
        "--seed_tasks_path", ROOT / "seeds" / "code.jsonl", "--batch_dir", run, "--num_instructions_to_generate", records,
        "--num_prompt_instructions", 4, "--api_endpoint", "completions", "--api_context_length", 4096, "--horizon", 4,
    ]  # fmt: skip


def test_servers_on_all_nodes_share_a_run_and_one_that_ends_is_started_again(cluster, tmp_path):
    run = tmp_path / "run"
    job = serving(cluster, tmp_path, ["m", "--max-model-len", 4096, "--"], *shared(run, 150))
    job.wait(lambda: job.known("JobState") == "COMPLETED")
    assert len(rows(run / "machine_generated_instructions.jsonl")) == 150
    assert f"vllm serve on {NODES[1]} ended with 7" in job.output()
    assert f"starting the server at {NODES[1]} again" in job.output()
    started = [(tmp_path / name).read_text().splitlines() for name in NODES]
    assert [len(lines) for lines in started] == [1, 2] and "--nnodes" not in str(started)


def test_a_server_over_two_nodes_that_hangs_is_started_again_on_both(cluster, tmp_path):
    run = tmp_path / "run"
    serve = ["m", "--pipeline-parallel-size", 2, "--"]
    job = serving(
        cluster, tmp_path, serve, *shared(run, 20), NODES_PER_SERVER="2", FAILING_HOST=NODES[0], FAILURE="hang"
    )
    job.wait(lambda: job.known("JobState") == "COMPLETED")
    assert len(rows(run / "machine_generated_instructions.jsonl")) == 20
    assert f"the server at {NODES[0]} failed three health checks" in job.output()
    head, other = ((tmp_path / name).read_text().splitlines() for name in NODES)
    assert len(head) == len(other) == 2
    assert f"--nnodes 2 --master-addr {NODES[0]}" in head[0] and head[0].endswith("--node-rank 0")
    assert other[0] == head[0].replace("--node-rank 0", "--node-rank 1 --headless")


def test_a_mistake_in_the_options_of_the_servers_ends_the_job(cluster, tmp_path):
    run = ["--seed_tasks_path", ROOT / "seeds" / "code.jsonl", "--batch_dir", tmp_path / "run"]
    job = serving(cluster, tmp_path, ["m", "--mistake", 1, "--"], *run, "--num_prompt_instructions", 4)
    job.wait(lambda: job.known("JobState") == "FAILED", lost=("COMPLETED", "CANCELLED"))
    assert "unrecognized arguments: --mistake" in job.output() and "no server is left" in job.output()
    assert job.known("ExitCode") == "2:0" and job.known("Restarts") == "0"


def test_nodes_that_do_not_divide_into_servers_end_the_job(cluster, tmp_path):
    job = serving(cluster, tmp_path, ["m", "--"], NODES_PER_SERVER="3")
    job.wait(lambda: job.known("JobState") == "FAILED", lost=("COMPLETED", "CANCELLED"))
    assert "2 nodes cannot be divided into servers of NODES_PER_SERVER=3 nodes" in job.output()


@pytest.fixture(scope="module")
def alone(cluster, tmp_path_factory) -> Iterator[Generation]:
    """A job of one process, which does not end by itself."""
    folder = tmp_path_factory.mktemp("alone")
    script = write_script(folder / "script.jsonl", REQUESTS)
    job = Generation(cluster, folder, [], scripted(script, folder / "run", 20_000)[:-2], CPU_PROCESSES="1")
    yield job
    cluster.command("scancel", job.number)


def test_preemption_with_a_grace_time_requeues(cluster, alone):
    urgent = ["sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    printed = alone.disturbed(lambda: cluster.command(*urgent, "--wrap", "sleep 1"))
    # Slurm has signalled the step but not the script.
    assert "Stopped: SIGTERM was received" in printed and "was asked to end" in printed


def test_a_requeue_from_outside_ends_the_process_cleanly_and_is_not_done_twice(cluster, alone):
    printed = alone.disturbed(lambda: cluster.command("scontrol", "requeue", alone.number))
    assert "Stopped: SIGTERM was received" in printed and "was asked to end" not in printed


@pytest.fixture(scope="module")
def job(cluster, tmp_path_factory) -> Generation:
    """A job over both nodes with one process on each. Slurm counts GPUs for it, which it does not use."""
    folder = tmp_path_factory.mktemp("job")
    script = write_script(folder / "script.jsonl", REQUESTS)
    return Generation(
        cluster, folder, ["--nodes", 2, "--gpus-per-node", 1],
        [*scripted(script, folder / "run", 50_000), "--horizon", 2],
        ACCELERATE_USE_CPU="true", RETRY_AFTER_SECONDS="1",
    )  # fmt: skip


def test_the_warning_ahead_of_a_time_limit_ends_the_ranks_cleanly_and_requeues(cluster, job):
    printed = job.disturbed(lambda: cluster.command("scancel", "--signal=TERM", "--batch", job.number))
    assert "Stopped: SIGTERM was received" in printed and "asked to end" in printed
    assert "start 1: 2 nodes of 1 processes, from 127.0.0.2" in job.output()


def test_the_loss_of_a_node_requeues(cluster, job):
    job.disturbed(lambda: cluster.kill_node(NODES[1]), lambda: cluster.start_node(NODES[1]))
    # Slurm may lose what a rank prints once it has aborted the step, so the report is read. Rank 0 sees that rank 1 has died,
    # unless Slurm, which has lost the node, stops it first.
    stopped = json.loads((job.run / "report.json").read_bytes())["stopped"]
    assert ("rank 1 (" in stopped and "has died" in stopped) or stopped == "SIGTERM was received"


def test_the_requeued_job_finishes_with_nothing_lost_or_doubled(job):
    job.slow.unlink()
    job.wait(lambda: job.known("JobState") == "COMPLETED")
    assert job.known("ExitCode") == "0:0"
    sys.stdout.write(job.cluster.command("scontrol", "--oneliner", "show", "job", job.number))  # pytest -s shows it
    journal = rows(job.run / "completions.jsonl")
    requests = [row["request"] for row in journal]
    assert sorted(requests) == list(range(REQUESTS)) and {row["rank"] for row in journal} == {0, 1}
    accepted = rows(job.run / "machine_generated_instructions.jsonl")
    ids = [row["provenance"]["id"] for row in accepted] + [row["id"] for row in rows(job.run / "rejected.jsonl")]
    assert len(accepted) > REQUESTS / 4 and len(ids) == len(set(ids))
