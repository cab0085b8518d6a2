"""Compare ROUGE-L novelty with other methods for the same decisions: python benchmarks/novelty.py [FILE.jsonl ...]
[--sizes 1000 ...]

Texts come from the files, then similar synthetic ones (instructions.py). All methods compare a candidate with the
texts kept before it. Ours runs completely, in its own process; the others are timed on a sample of comparisons in the
same run and extrapolated to all comparisons. Times are CPU seconds, including child processes.
"""

import argparse
import math
import random
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import Pool, get_context

import numpy as np
from instructions import instructions
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rouge_score.rouge_scorer import _score_lcs

from self_instruct.novelty.offline import keep_first
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.novelty.tokens import rouge_tokens

SIZES = (1_000, 10_000, 35_000, 200_000, 1_000_000)
POOLS = (1_000, 10_000, 50_000)
CANDIDATES = 1_000
PAIRS = 20_000  # comparisons that the loop is timed on


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds of a function, including child processes that have ended."""
    begun = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = children.ru_utime + children.ru_stime - begun[1].ru_utime - begun[1].ru_stime
    return time.process_time() - begun[0] + started


def ours(paths: list[str], size: int) -> tuple[float, float, float, np.ndarray, int]:
    """Return CPU seconds, wall-clock seconds, peak GiB, which texts are kept [texts], and how many are real."""
    keep_first(["compile", "before timing"])
    texts, real = instructions(paths, size)
    decisions: list = []
    begun = time.perf_counter()
    used = cpu(lambda: decisions.extend(keep_first(texts)))
    wall = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return used, wall, peak, np.array([decision.kept for decision in decisions]), real


def others(texts: list[str], kept: np.ndarray) -> dict[str, float]:
    """Return the CPU seconds per comparison of each method, timed on samples of the candidates and of the kept texts."""
    rng = random.Random(0)
    pool = [rouge_tokens(texts[at]) for at in rng.choices(np.flatnonzero(kept).tolist(), k=2_000)]
    candidates = [rouge_tokens(text) for text in rng.choices(texts, k=256)]
    few = candidates[: PAIRS // len(pool)]

    def in_processes() -> None:
        for tokens in few:  # the original code starts a process pool for each candidate
            with Pool(4) as processes:
                processes.map(partial(_score_lcs, tokens), pool)

    numbers: dict[str, str] = {}
    strings = [
        "".join(numbers.setdefault(word, chr(len(numbers) + 1)) for word in words) for words in pool + candidates
    ]
    return {
        "rouge_score": cpu(lambda: [max(_score_lcs(one, tokens).fmeasure for one in pool) for tokens in few])
        / (len(few) * len(pool)),
        "processes": cpu(in_processes) / (len(few) * len(pool)),
        "cdist": cpu(lambda: cdist(strings[len(pool) :], strings[: len(pool)], scorer=LCSseq.similarity, dtype=np.uint16))
        / (len(candidates) * len(pool)),
    }  # fmt: skip


def whole_files(paths: list[str], sizes: list[int]) -> None:
    """Time greedy filtering of all texts in order, and print the table."""
    print(f"{'texts':>9} {'real':>7} {'kept':>8} {'rouge_score':>12} {'processes':>11} {'cdist':>9} {'ours, CPU s':>11} "
          f"{'wall s':>7} {'GiB':>5} {'ratio':>9} {'exponent':>8}")  # fmt: skip
    before: tuple[int, float] | None = None
    for size in sizes:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            used, wall, peak, kept, real = process.submit(ours, paths, size).result()
        comparisons = float((np.cumsum(kept) - kept).sum())
        times = {name: each * comparisons for name, each in others(instructions(paths, size)[0], kept).items()}
        exponent = f"{math.log(used / before[1]) / math.log(size / before[0]):.2f}" if before else ""
        print(f"{size:>9,} {real:>7,} {kept.sum():>8,} {times['rouge_score']:>12,.1f} {times['processes']:>11,.1f} "
              f"{times['cdist']:>9,.2f} {used:>11.3f} {wall:>7.2f} {peak:>5.2f} "
              f"{times['rouge_score'] / used:>9,.0f} {exponent:>8}", flush=True)  # fmt: skip
        before = size, used


def in_the_loop(paths: list[str]) -> None:
    """Time the search for the exact nearest text of one candidate after the other, and print the table."""
    print(
        f"\n{'pool':>9} {'add all, s':>11} {'new, ms':>8} {'near, ms':>9} {'all, ms':>8}   processor time a candidate"
    )
    texts, _ = instructions(paths, max(POOLS) + CANDIDATES)
    # The first texts are the candidates, real ones if there is a file; the rest is the pool.
    candidates, pool = texts[:CANDIDATES], texts[CANDIDATES:]
    for size in POOLS:
        index = RougeIndex()
        added = cpu(lambda index=index, size=size: index.add([str(at) for at in range(size)], pool[:size]))
        near, new = [], []
        for text in candidates:
            found = index.nearest(text)
            (near if found and found.score >= 0.7 else new).append(text)
        each = [cpu(lambda some=some, index=index: [index.nearest(text) for text in some]) / max(1, len(some)) * 1000
                for some in (new, near, candidates)]  # fmt: skip
        print(
            f"{size:>9,} {added:>11.3f} {each[0]:>8.3f} {each[1]:>9.3f} {each[2]:>8.3f}   ({len(new)} new, {len(near)} near)"
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    options = parser.parse_args()
    whole_files(options.files, options.sizes)
    in_the_loop(options.files)


if __name__ == "__main__":
    main()
