"""The process keeps the memory that each step on a CPU frees."""

import sys
from pathlib import Path

import pytest

from tests.support.runs import run

FAULTS = """
import resource, sys, torch
from self_instruct.engines.local.hardware import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    tensors = [torch.ones(12_000_000) for _ in range(4)]
step(); step()
faults = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(5):
    step()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(sorted(after - before for before, after in zip(faults, faults[1:]))[2])
"""


def page_faults(script: Path, argument: str) -> int:
    """Return the page faults of a step, the median of five: a single step may still get new memory from the system."""
    ended = run(
        sys.executable, script, argument, "--model_name_or_path"
    )  # the option chooses a fork that has torch loaded
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_each_step_reuses_the_memory_of_the_last_one(tmp_path):
    script = tmp_path / "faults.py"
    script.write_text(FAULTS)
    assert page_faults(script, "keep") < page_faults(script, "return") / 10
