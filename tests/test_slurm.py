"""The job script on a Slurm cluster of two nodes, disturbed as clusters do: pytest tests/test_slurm.py

One job goes through all of it. Each test waits until it has got on, disturbs it, and sees to it that it was requeued with
all that was journalled; the last one waits for its end. Any of them can be run alone.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.runs import ROOT, rows
from tests.slurm_cluster import NODES, Cluster, obstacle

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=obstacle() or "")
GENERATE = ROOT / "configs" / "slurm" / "generate.slurm"
TARGET = 200
PATIENCE_SECONDS = 250.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    made.start()
    yield made
    made.stop()


def submit(cluster: Cluster, log: Path, options: list[object], arguments: list[object], **variables: str) -> str:
    """Submits the shipped script and returns the job's number."""
    command = ["sbatch", "--parsable", "--chdir", ROOT, "--output", log, *options, GENERATE, *arguments]
    return cluster.command(*command, PYTHON=sys.executable, **variables).strip()


class Job:
    """A job over both nodes with one process on each. Slurm counts GPUs for it; the model runs on the CPUs."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.run, self.log = cluster, folder / "run", folder / "log"
        self.number = submit(
            cluster, self.log, ["--nodes", 2, "--gpus-per-node", 1],
            ["--config", ROOT / "configs" / "quickstart.yaml", "--batch_dir", self.run, "--request_batch_size", 2,
             "--num_instructions_to_generate", TARGET],
            ACCELERATE_USE_CPU="true", RETRY_AFTER_SECONDS="1",
        )  # fmt: skip

    def journal(self) -> bytes:
        """What is journalled by now, without a line that is being written."""
        path = self.run / "completions.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def known(self, name: str) -> str:
        return self.cluster.job(self.number)[name]

    def wait(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline and self.known("JobState") not in ("FAILED", "CANCELLED"), self.told()
            time.sleep(0.2)

    def told(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def disturbed(self, disturb: Callable[[], object], mend: Callable[[], object] = lambda: None) -> str:
        """Disturbs the job when it has got on by two requests, and lets it go on once Slurm has it in its queue again; what it
        told meanwhile.
        """
        begun = len(rows(self.run / "completions.jsonl")) if self.run.exists() else 0
        self.wait(lambda: self.journal().count(b"\n") >= begun + 2 and self.known("JobState") == "RUNNING")
        before, restarts, told = self.journal(), int(self.known("Restarts")), self.told()
        disturb()
        self.wait(lambda: self.known("JobState") == "PENDING")
        assert int(self.known("Restarts")) == restarts + 1
        mend()
        # Slurm lets a requeued job wait for two minutes; within the same second its nodes would refuse it.
        self.cluster.command("scontrol", "update", f"JobId={self.number}", "StartTime=now+3seconds")
        self.wait(lambda: f"start {restarts + 2}: " in self.told())
        assert self.journal().startswith(before)
        return self.told()[len(told) :]


@pytest.fixture(scope="module")
def job(cluster, tmp_path_factory):
    return Job(cluster, tmp_path_factory.mktemp("job"))


def test_the_warning_ahead_of_a_time_limit_ends_the_ranks_cleanly_and_requeues(cluster, job):
    told = job.disturbed(lambda: cluster.command("scancel", "--signal=TERM", "--batch", job.number))
    assert "Stopped: SIGTERM was received" in told and "told to end" in told
    assert "start 1: 2 nodes of 1 processes, from 127.0.0.2" in job.told()


def test_a_requeue_from_outside_ends_the_ranks_cleanly_and_is_not_done_twice(cluster, job):
    told = job.disturbed(lambda: cluster.command("scontrol", "requeue", job.number))
    assert "Stopped: SIGTERM was received" in told and "was told to end" not in told


def test_preemption_with_a_time_of_grace_requeues(cluster, job):
    urgent = ["sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    told = job.disturbed(lambda: cluster.command(*urgent, "--wrap", "sleep 1"))
    # Slurm has signalled the step and not the script.
    assert "Stopped: SIGTERM was received" in told and "was told to end" in told


def test_the_loss_of_a_node_requeues(cluster, job):
    told = job.disturbed(lambda: cluster.kill_node(NODES[1]), lambda: cluster.start_node(NODES[1]))
    assert "Stopped: rank 1 (" in told and "has died" in told


def test_it_finishes_with_nothing_lost_or_doubled(job):
    job.wait(lambda: job.known("JobState") == "COMPLETED")
    assert job.known("ExitCode") == "0:0"
    journal = rows(job.run / "completions.jsonl")
    requests = [row["request"] for row in journal]
    assert len(requests) == len(set(requests)) and {row["rank"] for row in journal} == {0, 1}
    accepted = rows(job.run / "machine_generated_instructions.jsonl")
    ids = [row["provenance"]["id"] for row in accepted] + [row["id"] for row in rows(job.run / "rejected.jsonl")]
    assert len(accepted) == TARGET and len(ids) == len(set(ids))
    assert {row["provenance"]["request"] for row in accepted} <= set(requests)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "the job has no GPUs"),
        ({"CPU_PROCESSES": "1", "SCRIPT": "nowhere.py"}, "there is no nowhere.py"),
        ({"CPU_PROCESSES": "1"}, "--seed_tasks_path is missing"),
        ({"CPU_PROCESSES": "1", "RETRY_AFTER_SECONDS": "0", "MAX_RESTARTS": "0"}, "was started 1 times"),
    ],
)
def test_a_mistake_ends_the_job_with_its_message(cluster, tmp_path, variables, message):
    log = tmp_path / "log"
    with pytest.raises(subprocess.CalledProcessError, match="exit status 2"):
        submit(cluster, log, ["--wait"], [], **variables)
    assert message in log.read_text() and "requeued" not in log.read_text()


def test_a_run_that_fails_late_is_tried_again(cluster, tmp_path):
    number = submit(cluster, tmp_path / "log", [], [], CPU_PROCESSES="1", RETRY_AFTER_SECONDS="0")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while cluster.job(number)["Restarts"] == "0":
        assert time.monotonic() < deadline and cluster.job(number)["JobState"] != "FAILED"
        time.sleep(0.2)
    cluster.command("scancel", number)
    assert "requeued, and goes on" in (tmp_path / "log").read_text()
