"""Measure the limits of this machine for generation.py, and print bytes and operations per second as one line of JSON.

It uses the first GPU, or a CPU with the number of threads in OMP_NUM_THREADS. The argument is the precision.
"""

import json
import sys
import time
from collections.abc import Callable

import torch

from self_instruct.engines.local.placement import device


def best_seconds(work: Callable[[], object]) -> float:
    """Run `work` three times and return the shortest time."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return best


def main() -> None:
    where, dtype = device(), getattr(torch, sys.argv[1])
    on_cpu = str(where) == "cpu"
    # Much larger than the caches, because a copy from a cache is faster.
    source = torch.ones(1 << (28 if on_cpu else 30), dtype=torch.uint8, device=where)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / best_seconds(lambda: target.copy_(source))
    side = 2048 if on_cpu else 8192
    left, right = (torch.ones(side, side, dtype=dtype, device=where) for _ in range(2))
    operations = 2 * side**3 / best_seconds(lambda: left @ right)
    print(json.dumps({"bytes": copied, "operations": operations}))


if __name__ == "__main__":
    main()
