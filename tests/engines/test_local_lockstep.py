"""Processes that hold one model together, for real."""

import json
import re
import signal
import sys

import pytest
import torch.distributed as dist

from tests.support.engine_runs import engine_of
from tests.support.lockstep_member import SIZE, WORK, generate
from tests.support.runs import IO, ROOT, rows, run
from tests.support.tiny_models import save_tiny_model

FAILURES = ["follower dies", "leader dies", "out of memory", "another token"]
GROUPS = [("llama", "greedy"), ("starcoder2", "sampled"), ("llama", "static"), *(("llama", case) for case in FAILURES)]


@pytest.fixture(scope="module")
def folders(tiny_llama, tmp_path_factory):
    return {"llama": tiny_llama, "starcoder2": save_tiny_model("starcoder2", tmp_path_factory.mktemp("starcoder2"))}


@pytest.fixture(scope="module")
def outcomes(folders) -> dict[str, list]:
    """What leader and follower of each group returned: all groups are parts of one world, two processes each."""
    words = [word for architecture, case in GROUPS for word in (folders[architecture], case)]
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    result = run(sys.executable, "-m", "tests.support.lockstep_member", server.port, *words, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    ranks = json.loads(result.stdout.splitlines()[-1])
    assert all(code != 1 for code, *_ in ranks), result.stderr
    return {case: ranks[at * SIZE : (at + 1) * SIZE] for at, (_, case) in enumerate(GROUPS)}


@pytest.mark.parametrize(("architecture", "case"), GROUPS[:3])
def test_two_processes_write_what_one_does(outcomes, folders, architecture, case):
    sampling, backend = WORK[case]
    alone = generate(engine_of(folders[architecture], sampling, double=False, batch_size=3, backend=backend))
    leader, follower = outcomes[case]
    assert leader[0] == follower[0] == 0, (leader, follower)
    assert leader[1][case] == {str(index): text for index, text in alone.items()}
    assert len(set(alone.values())) == 5 and follower[1] == {}


@pytest.mark.parametrize(("case", "backend"), [("greedy", "slots"), ("static", "static")])
def test_an_interruption_reaches_all_processes_at_the_same_step(outcomes, case, backend):
    leader, follower = outcomes[case]
    assert leader[1][f"stopped {backend}"] == [[0], 12, []] and follower[0] == 0


def test_all_processes_take_as_many_rows_as_the_one_with_least_room(outcomes):
    assert [outcomes[case][0][1]["rows"] for case in WORK] == [5, 7, 9]


@pytest.mark.parametrize("case", ["follower dies", "leader dies"])
def test_a_process_that_is_killed_ends_the_others_with_a_message(outcomes, case):
    dead, other = outcomes[case] if case == "leader dies" else reversed(outcomes[case])
    assert dead[0] == -signal.SIGKILL
    assert other[0] == 2 and "a process that holds a part of the model has ended" in other[2]


@pytest.mark.parametrize(
    ("case", "message"),
    [("out of memory", "out of memory: .*smaller --request_batch_size"), ("another token", "drew different tokens")],
)
def test_a_process_that_cannot_keep_step_says_why_and_ends_the_others(outcomes, case, message):
    leader, follower = outcomes[case]
    assert follower[0] == leader[0] == 2 and "has ended" in leader[2]
    rank = GROUPS.index(("llama", case)) * SIZE + 1
    assert re.search(rf"rank {rank}: .*{message}", follower[2])


def test_a_launch_generates_with_a_model_that_two_processes_hold(tiny_llama, tmp_path):
    result = run(
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, IO,
        "--model_name_or_path", tiny_llama, "--tensor_parallel_size", 2, "--batch_dir", tmp_path / "run",
        "--seed_tasks_path", ROOT / "seeds/code.jsonl", "--num_prompt_instructions", 1,
        "--num_prompt_synthetic_instructions", 0, "--max_new_tokens", 20, "--max_requests", 3,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    journal = rows(tmp_path / "run/completions.jsonl")
    assert [row["request"] for row in journal] == [0, 1, 2] and {row["rank"] for row in journal} == {0}
    assert result.stderr.count("Rows: 16,") == 1
