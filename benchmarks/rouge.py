"""ROUGE-L novelty, ours beside the classical loop of rouge_score: python benchmarks/rouge.py [FILE.jsonl]

Both score the same candidates against the same pool in one run; the ratio is of those two times. The loop is timed on
fewer candidates where it would take minutes, and its time a candidate is compared.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rouge_score import rouge_scorer, tokenizers

from self_instruct.novelty.rouge import RougeIndex

POOLS = (175, 1_000, 5_000, 20_000)


def texts(path: str | None, number: int) -> list[str]:
    """Instructions of a file, or sentences drawn from a small vocabulary with a long tail."""
    if path:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        found = [json.loads(line)["instruction"] for line in lines]
        return [found[at % len(found)] for at in range(number)]
    rng = random.Random(0)
    words = [f"word{at}" for at in range(5_000)]
    weights = [1 / (at + 1) for at in range(len(words))]
    return [
        " ".join(rng.choices(words, weights, k=max(3, round(rng.lognormvariate(2.7, 0.5))))) for _ in range(number)
    ]


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Prints the table."""
    path = sys.argv[1] if len(sys.argv) > 1 else None
    everything = texts(path, max(POOLS) + 200)
    tokenizer = tokenizers.DefaultTokenizer(use_stemmer=False)
    print(f"{'pool':>8} {'rouge_score, ms':>16} {'ours, ms':>10} {'ratio':>8}   a candidate")
    for size in POOLS:
        pool, candidates = everything[:size], everything[-200:]
        tokens = [tokenizer.tokenize(text) for text in pool]
        few = candidates[: max(3, 20_000 // size)]
        theirs = timed(lambda few=few, tokens=tokens: [
            max(rouge_scorer._score_lcs(one, tokenizer.tokenize(text)).fmeasure for one in tokens) for text in few
        ]) / len(few)  # fmt: skip
        index = RougeIndex()
        index.add([str(at) for at in range(size)], pool)
        ours = timed(lambda index=index, some=candidates: [index.nearest(text) for text in some]) / len(candidates)
        print(f"{size:>8,} {theirs * 1000:>16.2f} {ours * 1000:>10.3f} {theirs / ours:>8,.0f}")


if __name__ == "__main__":
    main()
