"""The process keeps the memory that each step on a CPU frees."""

import subprocess
import sys

import pytest

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


def page_faults(argument: str) -> int:
    """Return the page faults of a step, the median of five: a single step may still get new memory from the system."""
    command = [sys.executable, "-c", FAULTS, argument]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_each_step_reuses_the_memory_of_the_last_one():
    assert page_faults("keep") < page_faults("return") / 10
